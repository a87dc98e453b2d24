/**
 * The helper for FTP through NAT: the data connection is announced in the control connection, in active mode by the
 * client (PORT, EPRT), in passive mode by the server (227, 229), whose address must become the virtual one.
 * Sources: RFC 959, RFC 2428; behaviour of IPVS.
 */
import { readInt32, readUint8 } from '../../wire/bytes.ts';
import { PROTOCOL_TCP } from '../../wire/ipv4.ts';
import {
  EPRT_COMMAND,
  EPSV_REPLY,
  FTP_FOUND,
  FtpAddress,
  PASV_REPLY,
  PORT_COMMAND,
  readFtpAddress,
  toUpper,
} from './ftp-text.ts';
import {
  type ControlConnection,
  type ControlState,
  HELPER_DATA_CONNECTION,
  HELPER_DROP,
  HELPER_NOTHING,
  type Helper,
  type HelperOutcome,
} from './helper.ts';
import { replaceInPayload, type Segment } from './payload.ts';

export const ftp: Helper = { name: 'ftp', protocol: PROTOCOL_TCP, ports: [21], inbound, outbound };

/** What the client asked for last: `ControlState.mode`. */
const MODE_ACTIVE = 0;
const MODE_PASSIVE = 1;
const MODE_EXTENDED_PASSIVE = 2;

const PASV = Uint8Array.from('PASV\r\n', (character) => character.charCodeAt(0));
const EPSV = Uint8Array.from('EPSV', (character) => character.charCodeAt(0));
/** A command for passive mode is at least this long. */
const PASSIVE_COMMAND_BYTES = 6;
const CR = 0x0d;
const BLANK = 0x20;
const BAR = 0x7c;
const COMMA = 0x2c;
const DIGIT_0 = 0x30;
const TCP_SEQUENCE = 4;

/** One for all: filled and used up within one call. */
const address = new FtpAddress();
/** Room for `255,255,255,255,255,255` and `|||65535|`. */
const text = new Uint8Array(24);

function inbound(
  state: ControlState,
  control: ControlConnection,
  segment: Segment,
  payloadAt: number,
  outcome: HelperOutcome,
): number {
  const { bytes, end } = segment;
  if (findPassiveCommand(state, control.ipv6, bytes, payloadAt, end)) return HELPER_NOTHING;
  const plain = !control.ipv6 && readFtpAddress(PORT_COMMAND, bytes, payloadAt, end, false, address) === FTP_FOUND;
  if (!plain && readFtpAddress(EPRT_COMMAND, bytes, payloadAt, end, control.ipv6, address) !== FTP_FOUND) {
    return HELPER_NOTHING;
  }
  state.mode = MODE_ACTIVE;
  state.passiveReply = null;
  // The data connection comes from one port below the control connection's: 20 for 21.
  outcome.client.set(address.words);
  outcome.clientPort = address.port;
  outcome.virtual.set(control.virtual);
  outcome.virtualPort = (control.virtualPort - 1) & 0xffff;
  outcome.server.set(control.server);
  outcome.serverPort = (control.serverPort - 1) & 0xffff;
  return HELPER_DATA_CONNECTION;
}

/** Looks for PASV and EPSV anywhere in the payload; true when the search is over, even if it changed nothing. */
function findPassiveCommand(state: ControlState, ipv6: boolean, bytes: Uint8Array, at: number, end: number): boolean {
  for (; at + PASSIVE_COMMAND_BYTES <= end; at++) {
    if (!ipv6 && beginsWith(bytes, at, PASV)) {
      askForPassive(state, MODE_PASSIVE);
      return true;
    }
    if (!beginsWith(bytes, at, EPSV)) continue;
    const next = readUint8(bytes, at + 4);
    if (next === BLANK) {
      const family = DIGIT_0 + (ipv6 ? 2 : 1);
      const isOurs = at + 7 <= end && readUint8(bytes, at + 5) === family && readUint8(bytes, at + 6) === CR;
      if (isOurs) askForPassive(state, MODE_EXTENDED_PASSIVE);
      return true;
    }
    if (next === CR) {
      askForPassive(state, MODE_EXTENDED_PASSIVE);
      return true;
    }
  }
  return false;
}

function askForPassive(state: ControlState, mode: number): void {
  state.mode = mode;
  state.passiveReply = null;
}

/** The caller knows that there are as many bytes. */
function beginsWith(bytes: Uint8Array, at: number, command: Uint8Array): boolean {
  for (let i = 0; i < command.length; i++) {
    if (toUpper(readUint8(bytes, at + i)) !== command[i]) return false;
  }
  return true;
}

function outbound(
  state: ControlState,
  control: ControlConnection,
  segment: Segment,
  payloadAt: number,
  ceiling: number,
  outcome: HelperOutcome,
): number {
  const { bytes, end } = segment;
  const sequence = readInt32(bytes, segment.transportAt + TCP_SEQUENCE);
  // The reply that was changed is changed again when it comes again, else its receiver would see two versions of it.
  if (state.mode === MODE_ACTIVE || (state.passiveReply !== null && state.passiveReply !== sequence)) {
    return HELPER_NOTHING;
  }
  const extended = state.mode === MODE_EXTENDED_PASSIVE;
  const form = extended ? EPSV_REPLY : PASV_REPLY;
  if (readFtpAddress(form, bytes, payloadAt, end, control.ipv6, address) !== FTP_FOUND) return HELPER_NOTHING;
  const textBytes = extended ? writeExtended(address.port) : writeNumbers(control.virtual[3] as number, address.port);
  const newEnd = replaceInPayload(segment, address.textAt, address.textEnd, text, textBytes, ceiling);
  if (newEnd < 0) return HELPER_DROP;
  if (newEnd !== end) state.outbound.record(sequence, newEnd - end);
  state.passiveReply = sequence;
  outcome.end = newEnd;
  outcome.client.set(control.client);
  outcome.clientPort = 0;
  outcome.virtual.set(control.virtual);
  outcome.virtualPort = address.port;
  outcome.server.set(address.hasAddress ? address.words : control.server);
  outcome.serverPort = address.port;
  return HELPER_DATA_CONNECTION;
}

/** `192,0,2,1,200,21` into `text`; answers its length. */
function writeNumbers(word: number, port: number): number {
  let at = 0;
  for (const shift of [24, 16, 8, 0]) {
    at = writeDecimal(at, (word >>> shift) & 0xff);
    text[at++] = COMMA;
  }
  at = writeDecimal(at, port >>> 8);
  text[at++] = COMMA;
  return writeDecimal(at, port & 0xff);
}

/** `|||51300|` into `text`; answers its length. */
function writeExtended(port: number): number {
  text.fill(BAR, 0, 3);
  const at = writeDecimal(3, port);
  text[at] = BAR;
  return at + 1;
}

function writeDecimal(at: number, number: number): number {
  const digits = String(number);
  for (let i = 0; i < digits.length; i++) text[at + i] = digits.charCodeAt(i);
  return at + digits.length;
}

/**
 * The XDP program of one link: which frames go to the AF_XDP socket of their queue. Those that a claim names, sent to
 * this link's MAC: whole TCP, UDP and SCTP packets over IPv4 without options or IPv6 without extension headers, no longer
 * than a chunk takes. Everything else passes, as if the program were not there: ARP and neighbour discovery, ICMP,
 * fragments, frames of a VLAN, super-frames.
 *
 * The rules are G1 and G2 of data-plane/guard-entries.ts, for the frames to which they apply most often.
 */
import { EbpfAssembler, type Register, STACK } from '../../wire/ebpf.ts';
import { CLAIM_KEY, FAMILY_BITS, KIND_IPV6, KIND_SERVER, PREFIX_KEY } from './claim-keys.ts';

/** Descriptors of the maps it reads. */
export interface ProgramMaps {
  /** Hash: claim -> anything. */
  readonly claims: number;
  /** Trie: prefix of the host's own addresses -> local port range. */
  readonly hostAddresses: number;
  /** AF_XDP sockets by receive queue. */
  readonly sockets: number;
}

export interface ProgramOptions {
  /** Six bytes. */
  readonly mac: Uint8Array;
  /** Longer frames pass. */
  readonly frameBytesMax: number;
  /**
   * Frames whose checksum is unfinished pass. Only those can be super-frames, which a program cannot tell from others:
   * of use where super-frames reach the program at all.
   */
  readonly passesUnfinished: boolean;
  /** Everything that is not too long goes to the socket, whatever it is: for tests of the back end. */
  readonly takesAll: boolean;
}

/** What XDP programs return. Source: linux/bpf.h. */
export const XDP_PASS = 2;
export const XDP_REDIRECT = 4;
/** Helpers of the kernel, by number. Source: bpf-helpers(7). */
export const MAP_LOOKUP = 1;
export const REDIRECT_MAP = 51;
/** struct xdp_md: begin and end of the frame, and its receive queue. */
export const CONTEXT = { data: 0, dataEnd: 4, queue: 16 } as const;

const ETHERTYPE_AT = 12;
const IP_AT = 14;
const TRANSPORT_PORTS_BYTES = 8;
const TCP = 6;
const UDP = 17;
const SCTP = 132;
const PROTOCOLS = [TCP, UDP, SCTP];

/** Places on the stack, counted down from its end; registers that keep something. */
const TO_SERVICE = -24;
const FROM_SERVER = -48;
const DESTINATION = -72;
const context: Register = 6;
const frame: Register = 7;
const destinationPort: Register = 8;
const sum: Register = 9;

export function xdpProgram(maps: ProgramMaps, options: ProgramOptions): Uint8Array {
  const { mac, frameBytesMax, takesAll, passesUnfinished } = options;
  const code = new EbpfAssembler();
  const macView = new DataView(mac.buffer, mac.byteOffset, 6);
  code
    .register('move', context, 1)
    .load('word', frame, context, CONTEXT.data)
    .load('word', 3, context, CONTEXT.dataEnd)
    .register('move', 2, frame)
    .value('add', 2, frameBytesMax + 1)
    .jumpIfRegister('atMost', 2, 3, 'pass');
  if (!takesAll) {
    mustHold(code, IP_AT + 20 + TRANSPORT_PORTS_BYTES);
    code
      .load('word', 2, frame, 0)
      .jumpIf('notEqual32', 2, macView.getInt32(0, true), 'pass')
      .load('half', 2, frame, 4)
      .jumpIf('notEqual', 2, macView.getUint16(4, true), 'pass')
      .load('half', 2, frame, ETHERTYPE_AT)
      .jumpIf('equal', 2, networkOrder(0x86dd), 'ipv6')
      .jumpIf('notEqual', 2, networkOrder(0x0800), 'pass');
    keysOfIpv4(code, passesUnfinished);
    code.jump('ask').label('ipv6');
    keysOfIpv6(code, passesUnfinished);
    code.label('ask');
    ask(code, maps);
  }
  return code
    .label('take')
    .map(1, maps.sockets)
    .load('word', 2, context, CONTEXT.queue)
    .value('move', 3, XDP_PASS) // What it returns when the queue has no socket.
    .call(REDIRECT_MAP)
    .exit()
    .label('pass')
    .value('move', 0, XDP_PASS)
    .exit()
    .finish();
}

/** Passes what is shorter; 3 holds the end of the frame. */
function mustHold(code: EbpfAssembler, bytes: number): void {
  code.register('move', 2, frame).value('add', 2, bytes).jumpIfRegister('above', 2, 3, 'pass');
}

function keysOfIpv4(code: EbpfAssembler, passesUnfinished: boolean): void {
  const headerBytes = 20;
  code
    .load('byte', 2, frame, IP_AT)
    .jumpIf('notEqual', 2, 0x45, 'pass')
    .load('half', 2, frame, IP_AT + 6)
    .value('and', 2, networkOrder(0x3fff))
    .jumpIf('notEqual', 2, 0, 'pass');
  const transport = { protocolAt: IP_AT + 9, portsAt: IP_AT + headerBytes, kind: 0, name: 'ipv4' };
  protocolAndPorts(code, transport);
  if (passesUnfinished) {
    // Addresses, and the length of what is behind the header.
    code
      .load('half', sum, frame, IP_AT + 2)
      .networkHalf(sum)
      .value('add', sum, -headerBytes)
      .networkHalf(sum);
    addWords(code, IP_AT + 12, 2);
    passUnfinished(code, transport);
  }
  for (const [key, addressAt] of [
    [TO_SERVICE + CLAIM_KEY.address, IP_AT + 16],
    [FROM_SERVER + CLAIM_KEY.address, IP_AT + 12],
    [DESTINATION + PREFIX_KEY.address, IP_AT + 16],
  ] as const) {
    code.load('word', 2, frame, addressAt).store('word', STACK, key, 2);
    for (const at of [4, 8, 12]) code.storeValue('word', STACK, key + at, 0);
  }
  code
    .storeValue('word', STACK, DESTINATION + PREFIX_KEY.bits, FAMILY_BITS + 32)
    .storeValue('word', STACK, DESTINATION + PREFIX_KEY.family, 4);
}

function keysOfIpv6(code: EbpfAssembler, passesUnfinished: boolean): void {
  const headerBytes = 40;
  mustHold(code, IP_AT + headerBytes + TRANSPORT_PORTS_BYTES);
  code
    .load('byte', 2, frame, IP_AT)
    .value('and', 2, 0xf0)
    .jumpIf('notEqual', 2, 0x60, 'pass')
    // Link-local addresses (fe80::/10) and groups (ff02::/16) are nobody's service.
    .load('half', 2, frame, IP_AT + 24)
    .jumpIf('equal', 2, networkOrder(0xff02), 'pass')
    .value('and', 2, networkOrder(0xffc0))
    .jumpIf('equal', 2, networkOrder(0xfe80), 'pass');
  const transport = { protocolAt: IP_AT + 6, portsAt: IP_AT + headerBytes, kind: KIND_IPV6, name: 'ipv6' };
  protocolAndPorts(code, transport);
  if (passesUnfinished) {
    code.load('half', sum, frame, IP_AT + 4);
    addWords(code, IP_AT + 8, 8);
    passUnfinished(code, transport);
  }
  for (const at of [0, 4, 8, 12]) {
    code
      .load('word', 2, frame, IP_AT + 24 + at)
      .store('word', STACK, TO_SERVICE + CLAIM_KEY.address + at, 2)
      .store('word', STACK, DESTINATION + PREFIX_KEY.address + at, 2)
      .load('word', 2, frame, IP_AT + 8 + at)
      .store('word', STACK, FROM_SERVER + CLAIM_KEY.address + at, 2);
  }
  code
    .storeValue('word', STACK, DESTINATION + PREFIX_KEY.bits, FAMILY_BITS + 128)
    .storeValue('word', STACK, DESTINATION + PREFIX_KEY.family, 6);
}

interface Transport {
  readonly protocolAt: number;
  readonly portsAt: number;
  readonly kind: number;
  /** For labels. */
  readonly name: string;
}

/** Writes those parts of both claims' keys, and keeps the destination port. */
function protocolAndPorts(code: EbpfAssembler, { protocolAt, portsAt, kind, name }: Transport): void {
  const next = `${name} is known`;
  code.load('byte', 2, frame, protocolAt);
  for (const protocol of PROTOCOLS) code.jumpIf('equal', 2, protocol, next);
  code
    .jump('pass')
    .label(next)
    .store('byte', STACK, TO_SERVICE + CLAIM_KEY.protocol, 2)
    .store('byte', STACK, FROM_SERVER + CLAIM_KEY.protocol, 2)
    .storeValue('byte', STACK, TO_SERVICE + CLAIM_KEY.kind, kind)
    .storeValue('byte', STACK, FROM_SERVER + CLAIM_KEY.kind, kind | KIND_SERVER)
    .load('half', 2, frame, portsAt)
    .store('half', STACK, FROM_SERVER + CLAIM_KEY.port, 2)
    .load('half', destinationPort, frame, portsAt + 2)
    .store('half', STACK, TO_SERVICE + CLAIM_KEY.port, destinationPort)
    .networkHalf(destinationPort);
}

/**
 * An unfinished checksum holds the sum of the pseudo-header alone, whose other parts are in `sum`; of SCTP, nothing.
 * Sums are of 16-bit words in this machine's order, which makes no difference (RFC 1071). A complete checksum that looks
 * the same passes as well, and does no harm. 3 holds the end of the frame.
 */
function passUnfinished(code: EbpfAssembler, { protocolAt, portsAt, name }: Transport): void {
  code.load('byte', 4, frame, protocolAt).jumpIf('equal', 4, UDP, `${name} udp`).jumpIf('equal', 4, TCP, `${name} tcp`);
  mustHold(code, portsAt + 12);
  code
    .load('word', 2, frame, portsAt + 8)
    .jumpIf('equal', 2, 0, 'pass')
    .jump(`${name} finished`);
  code.label(`${name} tcp`);
  mustHold(code, portsAt + 18);
  code.load('half', 2, frame, portsAt + 16).jump(`${name} compare`);
  code
    .label(`${name} udp`)
    .load('half', 2, frame, portsAt + 6)
    .label(`${name} compare`);
  code.value('shiftLeft', 4, 8).register('add', sum, 4);
  for (const bits of [32, 16, 16]) {
    code
      .register('move', 5, sum)
      .value('shiftRight', 5, bits)
      .value('shiftLeft', sum, 64 - bits)
      .value('shiftRight', sum, 64 - bits)
      .register('add', sum, 5);
  }
  code.jumpIfRegister('equal', 2, sum, 'pass').label(`${name} finished`);
}

function addWords(code: EbpfAssembler, at: number, words: number): void {
  for (let i = 0; i < words; i++) code.load('word', 2, frame, at + 4 * i).register('add', sum, 2);
}

/** Goes to `pass` when no claim names the frame, falls through to `take` otherwise. */
function ask(code: EbpfAssembler, maps: ProgramMaps): void {
  lookUp(code, maps.claims, TO_SERVICE).jumpIf('notEqual', 0, 0, 'take');
  code.storeValue('half', STACK, TO_SERVICE + CLAIM_KEY.port, 0);
  lookUp(code, maps.claims, TO_SERVICE).jumpIf('notEqual', 0, 0, 'take');
  lookUp(code, maps.claims, FROM_SERVER).jumpIf('notEqual', 0, 0, 'from-server');
  code.storeValue('half', STACK, FROM_SERVER + CLAIM_KEY.port, 0);
  lookUp(code, maps.claims, FROM_SERVER).jumpIf('equal', 0, 0, 'pass');
  code.label('from-server');
  // Does it answer a socket of the host?
  lookUp(code, maps.hostAddresses, DESTINATION)
    .jumpIf('equal', 0, 0, 'take')
    .load('half', 2, 0, 0)
    .jumpIfRegister('below', destinationPort, 2, 'take')
    .load('half', 2, 0, 2)
    .jumpIfRegister('atMost', destinationPort, 2, 'pass');
}

function lookUp(code: EbpfAssembler, map: number, key: number): EbpfAssembler {
  return code.map(1, map).register('move', 2, STACK).value('add', 2, key).call(MAP_LOOKUP);
}

/** A 16-bit number as a little-endian load reads it from the network. */
function networkOrder(value: number): number {
  return ((value & 0xff) << 8) | (value >> 8);
}

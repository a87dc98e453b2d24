/**
 * The addresses in FTP's control connection, read as IPVS reads them: mildly, and only where they are looked for.
 * Sources: RFC 959, 4.1.2 and 5.3.2 (PORT, PASV, 227); RFC 2428 (EPRT, EPSV, 229).
 */
import { parseIpv4, parseIpv6 } from '../../wire/address.ts';
import { readUint8 } from '../../wire/bytes.ts';

/** Where an address and a port are said. */
export interface FtpForm {
  /** First bytes of the payload, in upper case; letters match in any case. */
  readonly prefix: Uint8Array;
  /** Text before the address ends with this, once or more. */
  readonly skip: number;
  /** RFC 2428: between delimiters. Else six numbers with commas. */
  readonly extended: boolean;
  /** RFC 2428: protocol and address may be left out. */
  readonly addressOptional: boolean;
}

const BLANK = 0x20;
const PARENTHESIS = 0x28;
const COMMA = 0x2c;
const DIGIT_0 = 0x30;
const DIGIT_9 = 0x39;

const form = (prefix: string, skip: number, extended: boolean, addressOptional: boolean): FtpForm => ({
  prefix: Uint8Array.from(prefix, (character) => character.charCodeAt(0)),
  skip,
  extended,
  addressOptional,
});

export const PORT_COMMAND = form('PORT', BLANK, false, false);
export const EPRT_COMMAND = form('EPRT', BLANK, true, false);
export const PASV_REPLY = form('227 ', PARENTHESIS, false, false);
export const EPSV_REPLY = form('229 ', PARENTHESIS, true, true);

/** Answers of `readFtpAddress`. */
export const FTP_FOUND = 1;
export const FTP_OTHER_LINE = 0;
/** It begins like one, and is cut short or malformed. */
export const FTP_MALFORMED = -1;

/** What a line says; one object, filled anew for every line. */
export class FtpAddress {
  /** False: no address was said, only a port. */
  hasAddress = false;
  /** Four words, IPv4 in the last. */
  readonly words = new Int32Array(4);
  port = 0;
  /** What stands for address and port: `bytes[textAt..textEnd)`. */
  textAt = 0;
  textEnd = 0;
}

/**
 * Reads the address in a payload `[at, end)` that begins like `form`, for a connection of this family. `into` holds
 * something useful only after FTP_FOUND.
 */
export function readFtpAddress(
  form: FtpForm,
  bytes: Uint8Array,
  at: number,
  end: number,
  ipv6: boolean,
  into: FtpAddress,
): number {
  const { prefix } = form;
  for (let i = 0; i < prefix.length; i++) {
    if (at + i >= end) return FTP_MALFORMED;
    if (toUpper(readUint8(bytes, at + i)) !== prefix[i]) return FTP_OTHER_LINE;
  }
  const addressAt = findAddress(form, bytes, at + prefix.length, end);
  if (addressAt < 0) return FTP_MALFORMED;
  into.textAt = addressAt;
  const found = form.extended
    ? readDelimited(form.addressOptional, bytes, addressAt, end, ipv6, into)
    : readNumbers(bytes, addressAt, end, into);
  return found ? FTP_FOUND : FTP_MALFORMED;
}

/** What follows the first run of `skip`; without delimiters, an earlier digit does too. -1: the payload ends before. */
function findAddress(form: FtpForm, bytes: Uint8Array, at: number, end: number): number {
  let skipped = false;
  for (; at < end; at++) {
    const byte = readUint8(bytes, at);
    if (byte === form.skip) skipped = true;
    else if (skipped || (!form.extended && isDigit(byte))) return at;
  }
  return -1;
}

/** `h1,h2,h3,h4,p1,p2`: numbers count modulo 256, and something must follow the last. */
function readNumbers(bytes: Uint8Array, at: number, end: number, into: FtpAddress): boolean {
  let number = 0;
  let address = 0;
  let port = 0;
  let index = 0;
  for (; at < end; at++) {
    const byte = readUint8(bytes, at);
    if (isDigit(byte)) {
      number = (number * 10 + byte - DIGIT_0) & 0xff;
      continue;
    }
    if (index < 4) address = (address << 8) | number;
    else port = (port << 8) | number;
    number = 0;
    if (byte !== COMMA || index === 5) break;
    index++;
  }
  if (index !== 5 || at === end) return false;
  into.words.fill(0);
  into.words[3] = address;
  into.hasAddress = true;
  into.port = port;
  into.textEnd = at;
  return true;
}

/** `|1|10.0.0.1|5130|` or `|||5130|`, with any visible character for the bar. */
function readDelimited(
  addressOptional: boolean,
  bytes: Uint8Array,
  at: number,
  end: number,
  ipv6: boolean,
  into: FtpAddress,
): boolean {
  const delimiter = readUint8(bytes, at);
  if (delimiter < 33 || delimiter > 126 || end - at < 3) return false;
  into.hasAddress = readUint8(bytes, at + 1) !== delimiter;
  let portAt = at + 3;
  if (into.hasAddress) {
    const family = DIGIT_0 + (ipv6 ? 2 : 1);
    if (readUint8(bytes, at + 1) !== family || readUint8(bytes, at + 2) !== delimiter) return false;
    const addressEnd = bytes.subarray(0, end).indexOf(delimiter, at + 3);
    if (addressEnd < 0 || !readAddress(bytes, at + 3, addressEnd, ipv6, into.words)) return false;
    portAt = addressEnd + 1;
  } else if (!addressOptional || readUint8(bytes, at + 2) !== delimiter) {
    return false;
  }
  return readPort(bytes, portAt, end, delimiter, into);
}

function readPort(bytes: Uint8Array, at: number, end: number, delimiter: number, into: FtpAddress): boolean {
  let port = 0;
  for (; at < end && isDigit(readUint8(bytes, at)); at++) {
    port = (port * 10 + readUint8(bytes, at) - DIGIT_0) & 0xffff;
  }
  if (at === end || port === 0 || readUint8(bytes, at) !== delimiter) return false;
  into.port = port;
  into.textEnd = at + 1;
  return true;
}

/** Longest text of an IPv6 address: what is longer is not looked at. */
const ADDRESS_TEXT_MAX = 45;

function readAddress(bytes: Uint8Array, at: number, end: number, ipv6: boolean, words: Int32Array): boolean {
  if (end - at > ADDRESS_TEXT_MAX) return false;
  const text = String.fromCharCode(...bytes.subarray(at, end));
  if (ipv6) return parseIpv6(text, words, 0);
  const word = parseIpv4(text);
  if (word === null) return false;
  words.fill(0);
  words[3] = word;
  return true;
}

export function toUpper(byte: number): number {
  return byte >= 0x61 && byte <= 0x7a ? byte - 0x20 : byte;
}

function isDigit(byte: number): boolean {
  return byte >= DIGIT_0 && byte <= DIGIT_9;
}

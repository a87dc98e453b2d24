/**
 * Persistence by SIP dialogue: what belongs together has the same Call-ID.
 * Format: RFC 3261, sections 7.3 (headers, folding, compact names) and 25.1 (`callid`, `word`); lines may also end in
 * CR or LF alone (RFC 2543). What IPVS accepts is a little less, and a little more, than the grammar.
 */
import { PROTOCOL_UDP } from '../../wire/ipv4.ts';
import type { EngineData, PersistenceEngine } from './engine.ts';

export const sip: PersistenceEngine = {
  name: 'sip',
  summary: 'the Call-ID of SIP over UDP',
  protocols: [PROTOCOL_UDP],
  startsFromServers: true,
  find: findCallId,
};

const DATA_BYTES_MAX = 255;
const CR = 0x0d;
const LF = 0x0a;
const BLANK = 0x20;
const TAB = 0x09;
const COLON = 0x3a;
const AT_SIGN = 0x40;
/** `call-id` in lower case, and its compact form. */
const NAME = Uint8Array.from([0x63, 0x61, 0x6c, 0x6c, 0x2d, 0x69, 0x64]);
const COMPACT_NAME = 0x69;

/** By byte: may stand in a word; is a letter. Letters are those of Latin-1. */
const IN_WORD = new Uint8Array(256);
const IS_LETTER = new Uint8Array(256);
for (let byte = 0; byte < 256; byte++) {
  const character = String.fromCharCode(byte);
  IS_LETTER[byte] = /[A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u00ff]/.test(character) ? 1 : 0;
  IN_WORD[byte] = IS_LETTER[byte] === 1 || /[0-9!"%'()*+\-./:<>?[\\\]_`{}~]/.test(character) ? 1 : 0;
}

/**
 * Finds the first Call-ID that is well formed. The line before it is the request or status line at least, and the
 * value must be ended by a line end inside the datagram.
 */
function findCallId(bytes: Uint8Array, at: number, end: number, into: EngineData): boolean {
  let lineAt = nextLine(bytes, at, end);
  while (lineAt < end) {
    const afterName = skipName(bytes, lineAt, end);
    if (afterName > 0) {
      const valueAt = skipColon(bytes, afterName, end);
      // A name without its colon: this is no SIP message.
      if (valueAt < 0) return false;
      const byteCount = callIdBytes(bytes, valueAt, end);
      if (byteCount > 0) return accept(bytes, valueAt, byteCount, end, into);
    }
    lineAt = nextLine(bytes, lineAt, end);
  }
  return false;
}

function accept(bytes: Uint8Array, at: number, byteCount: number, end: number, into: EngineData): boolean {
  const after = at + byteCount;
  if (byteCount > DATA_BYTES_MAX || after >= end || !isLineEnd(bytes[after] as number)) return false;
  into.at = at;
  into.byteCount = byteCount;
  return true;
}

/** Where the line behind the one that `at` is in begins, or `end`. */
function nextLine(bytes: Uint8Array, at: number, end: number): number {
  while (at < end && !isLineEnd(bytes[at] as number)) at++;
  return skipLineEnd(bytes, at, end);
}

/** Steps over one CR, LF or CR LF. */
function skipLineEnd(bytes: Uint8Array, at: number, end: number): number {
  if (at >= end) return end;
  return bytes[at] === CR && at + 1 < end && bytes[at + 1] === LF ? at + 2 : at + 1;
}

/** What follows the header's name when the line begins with it, or -1. */
function skipName(bytes: Uint8Array, at: number, end: number): number {
  let matched = 0;
  while (matched < NAME.length && at + matched < end && toLower(bytes[at + matched] as number) === NAME[matched]) {
    matched++;
  }
  if (matched === NAME.length) return at + matched;
  const isCompact =
    at + 1 < end && toLower(bytes[at] as number) === COMPACT_NAME && IS_LETTER[bytes[at + 1] as number] === 0;
  return isCompact ? at + 1 : -1;
}

/** Where the value begins, behind blanks, colon and blanks; -1 when it is not so. */
function skipColon(bytes: Uint8Array, at: number, end: number): number {
  const colonAt = skipBlanks(bytes, at, end);
  if (colonAt < 0 || colonAt >= end || bytes[colonAt] !== COLON || colonAt + 1 >= end) return -1;
  return skipBlanks(bytes, colonAt + 1, end);
}

/** Steps over blanks and, once, over a line end when the next line continues this one; -1: the line ends here. */
function skipBlanks(bytes: Uint8Array, at: number, end: number): number {
  while (at < end && bytes[at] === BLANK) at++;
  if (at >= end || !isLineEnd(bytes[at] as number)) return at;
  at = skipLineEnd(bytes, at, end);
  const continuesAt = at;
  while (at < end && (bytes[at] === BLANK || bytes[at] === TAB)) at++;
  return at === continuesAt ? -1 : at;
}

/** Length of `word` or `word@word` at `at`, or 0. */
function callIdBytes(bytes: Uint8Array, at: number, end: number): number {
  const wordEnd = skipWord(bytes, at, end);
  if (wordEnd === at) return 0;
  if (wordEnd >= end || bytes[wordEnd] !== AT_SIGN) return wordEnd - at;
  const hostEnd = skipWord(bytes, wordEnd + 1, end);
  return hostEnd === wordEnd + 1 ? 0 : hostEnd - at;
}

function skipWord(bytes: Uint8Array, at: number, end: number): number {
  while (at < end && IN_WORD[bytes[at] as number] === 1) at++;
  return at;
}

function isLineEnd(byte: number): boolean {
  return byte === CR || byte === LF;
}

function toLower(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte;
}

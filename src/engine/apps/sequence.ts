/**
 * Sequence numbers after a helper has changed the length of a payload: from there on, one side counts differently
 * from the other. A stretch of the stream is shifted by `previousDelta` up to the changed packet and by `delta`
 * behind it. The three numbers are those of the synchronisation messages of IPVS.
 */
import { readInt32, readUint8, readUint16, writeInt32, writeUint16 } from '../../wire/bytes.ts';
import { adjustChecksum, changeOf16, changeOf32 } from '../../wire/checksum.ts';
import { TCP_HEADER_BYTES_MIN, tcpHeaderBytes } from '../../wire/tcp.ts';

const SEQUENCE = 4;
const ACKNOWLEDGEMENT = 8;
const CHECKSUM = 16;
const OPTION_END = 0;
const OPTION_NOTHING = 1;
const OPTION_SACK = 5;

/** The shift of one direction's sequence numbers. Numbers are 32-bit words and compare as distances. */
export class SequenceShift {
  /** Something was changed in this direction: the flag OUT_SEQ or IN_SEQ of its connection. */
  active = false;
  /** Number of the packet that was changed last, as its sender counts. */
  initial = 0;
  delta = 0;
  previousDelta = 0;

  /** Notes that the packet that begins with `sequence` (as sent) became longer by `difference`. */
  record(sequence: number, difference: number): void {
    // A packet that comes again was noted the first time.
    if (this.active && !isAfter(sequence, this.initial)) return;
    this.previousDelta = this.delta;
    this.delta = (this.delta + difference) | 0;
    this.initial = sequence | 0;
    this.active = true;
  }

  /** The number that the receiver knows `sequence` by. */
  shifted(sequence: number): number {
    return (sequence + (isAfter(sequence, this.initial) ? this.delta : this.previousDelta)) | 0;
  }

  /** The sender's own number for `acknowledgement`, which the receiver counted. */
  unshifted(acknowledgement: number): number {
    const before = (acknowledgement - this.previousDelta) | 0;
    return isAfter(before, this.initial) ? (acknowledgement - this.delta) | 0 : before;
  }

  /** False while both numbers are 0: nothing is to be done. */
  get shifts(): boolean {
    return this.delta !== 0 || this.previousDelta !== 0;
  }
}

function isAfter(a: number, b: number): boolean {
  return ((a - b) | 0) > 0;
}

/**
 * Shifts the numbers of one segment in `[tcpAt, end)`: its sequence by `own`, the shift of its direction, its
 * acknowledgements (selective ones too) back by `other`. The checksum is repaired unless it is unfinished. A header
 * that is not whole is left alone.
 */
export function shiftSequences(
  bytes: Uint8Array,
  tcpAt: number,
  end: number,
  own: SequenceShift,
  other: SequenceShift,
  partialChecksum: boolean,
): void {
  const headerBytes = tcpHeaderBytes(bytes, tcpAt, end);
  if (headerBytes === 0) return;
  let change = 0;
  if (own.shifts) change += replaceWord(bytes, tcpAt + SEQUENCE, own.shifted(readInt32(bytes, tcpAt + SEQUENCE)), 0);
  if (other.shifts) {
    const acknowledged = readInt32(bytes, tcpAt + ACKNOWLEDGEMENT);
    change += replaceWord(bytes, tcpAt + ACKNOWLEDGEMENT, other.unshifted(acknowledged), 0);
    change += shiftSelective(bytes, tcpAt + TCP_HEADER_BYTES_MIN, tcpAt + headerBytes, tcpAt, other);
  }
  if (partialChecksum || change === 0) return;
  const field = tcpAt + CHECKSUM;
  writeUint16(bytes, field, adjustChecksum(readUint16(bytes, field), change));
}

/** The blocks of selective acknowledgements (RFC 2018) among the options in `[at, end)`. */
function shiftSelective(bytes: Uint8Array, at: number, end: number, tcpAt: number, other: SequenceShift): number {
  let change = 0;
  while (at < end) {
    const kind = readUint8(bytes, at);
    if (kind === OPTION_END) break;
    if (kind === OPTION_NOTHING) {
      at++;
      continue;
    }
    const optionBytes = at + 1 < end ? readUint8(bytes, at + 1) : 0;
    if (optionBytes < 2 || at + optionBytes > end) break;
    if (kind === OPTION_SACK) {
      for (let edgeAt = at + 2; edgeAt + 4 <= at + optionBytes; edgeAt += 4) {
        const odd = (edgeAt - tcpAt) & 1;
        change += replaceWord(bytes, edgeAt, other.unshifted(readInt32(bytes, edgeAt)), odd);
      }
    }
    at += optionBytes;
  }
  return change;
}

/** Writes `word` and answers what that adds to the sum. `odd`: the word does not begin on a 16-bit boundary of it. */
function replaceWord(bytes: Uint8Array, at: number, word: number, odd: number): number {
  const before = readInt32(bytes, at);
  writeInt32(bytes, at, word);
  if (odd === 0) return changeOf32(before, word);
  const swap = (half: number) => ((half & 0xff) << 8) | (half >>> 8);
  return changeOf16(swap(before >>> 16), swap(word >>> 16)) + changeOf16(swap(before & 0xffff), swap(word & 0xffff));
}

/**
 * What a capture of the running balancer hands on for each packet: the frame as it came, the frame as it left, and the
 * decision between them. Little endian, one record after the other:
 *
 *     0  4  bytes of the record                  20  4  link it leaves by, or -1
 *     4  8  microseconds since 1970 (float)      24  4  bytes that came, -1: none   28  4  of these kept
 *    12  1  verdict   13  1  reason              32  4  bytes that left, -1: none   36  4  of these kept
 *    14  1  flags     15  1  nothing             40     the frame that came, the frame that left
 *    16  4  link it came by, or -1
 */

export const TAP_HEADER_BYTES = 40;

export const TapFlag = {
  /** The checksum of the frame is left to the network card. */
  CAME_PARTIAL: 1,
  LEFT_PARTIAL: 2,
  /** One frame that stands for many (GSO, GRO). */
  CAME_SUPER: 4,
  LEFT_SUPER: 8,
} as const;

export interface TapFrame {
  readonly bytes: Uint8Array;
  /** What the frame had; more than `bytes.length` when only its beginning was wanted. */
  readonly originalBytes: number;
  readonly partialChecksum: boolean;
  readonly superFrame: boolean;
}

export interface TapRecord {
  /** Microseconds since 1970. */
  readonly timeUs: number;
  readonly verdict: number;
  readonly reason: number;
  /** Index of the link, -1: none. */
  readonly ingress: number;
  readonly egress: number;
  /** `null`: the balancer said it itself, or it had waited. */
  readonly came: TapFrame | null;
  /** `null`: nothing left. */
  readonly left: TapFrame | null;
}

/** Frame bytes in an arena. */
export interface TapSlice {
  readonly bytes: Uint8Array;
  readonly at: number;
  /** -1: there is no frame. */
  readonly originalBytes: number;
  readonly keptBytes: number;
}

export const NO_SLICE: TapSlice = { bytes: new Uint8Array(0), at: 0, originalBytes: -1, keptBytes: 0 };

export interface TapDecision {
  readonly timeUs: number;
  readonly verdict: number;
  readonly reason: number;
  readonly flags: number;
  readonly ingress: number;
  readonly egress: number;
}

export function tapRecordBytes(came: TapSlice, left: TapSlice): number {
  return TAP_HEADER_BYTES + came.keptBytes + left.keptBytes;
}

/** Writes a record at `at` of `bytes`, which `view` shows as well; the caller has checked that there is room. Returns one past its last byte. */
export function writeTapRecord(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  decision: TapDecision,
  came: TapSlice,
  left: TapSlice,
): number {
  const end = at + tapRecordBytes(came, left);
  view.setUint32(at, end - at, true);
  view.setFloat64(at + 4, decision.timeUs, true);
  view.setUint8(at + 12, decision.verdict);
  view.setUint8(at + 13, decision.reason);
  view.setUint8(at + 14, decision.flags);
  view.setUint8(at + 15, 0);
  view.setInt32(at + 16, decision.ingress, true);
  view.setInt32(at + 20, decision.egress, true);
  view.setInt32(at + 24, came.originalBytes, true);
  view.setInt32(at + 28, came.keptBytes, true);
  view.setInt32(at + 32, left.originalBytes, true);
  view.setInt32(at + 36, left.keptBytes, true);
  const frameAt = at + TAP_HEADER_BYTES;
  bytes.set(came.bytes.subarray(came.at, came.at + came.keptBytes), frameAt);
  bytes.set(left.bytes.subarray(left.at, left.at + left.keptBytes), frameAt + came.keptBytes);
  return end;
}

/** Whole records in `bytes`. Throws RangeError when they are damaged. */
export function* readTapRecords(bytes: Uint8Array): Generator<TapRecord> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < bytes.length; ) {
    if (bytes.length - at < TAP_HEADER_BYTES) throw new RangeError('a record of a capture is cut off');
    const recordBytes = view.getUint32(at, true);
    const cameKept = view.getInt32(at + 28, true);
    const leftKept = view.getInt32(at + 36, true);
    if (cameKept < 0 || leftKept < 0 || recordBytes !== TAP_HEADER_BYTES + cameKept + leftKept) {
      throw new RangeError('a record of a capture contradicts itself');
    }
    if (at + recordBytes > bytes.length) throw new RangeError('a record of a capture is cut off');
    const flags = view.getUint8(at + 14);
    const frameAt = at + TAP_HEADER_BYTES;
    const frame = (from: number, kept: number, original: number, partial: number, large: number): TapFrame | null =>
      original < 0
        ? null
        : {
            bytes: bytes.slice(from, from + kept),
            originalBytes: original,
            partialChecksum: (flags & partial) !== 0,
            superFrame: (flags & large) !== 0,
          };
    yield {
      timeUs: view.getFloat64(at + 4, true),
      verdict: view.getUint8(at + 12),
      reason: view.getUint8(at + 13),
      ingress: view.getInt32(at + 16, true),
      egress: view.getInt32(at + 20, true),
      came: frame(frameAt, cameKept, view.getInt32(at + 24, true), TapFlag.CAME_PARTIAL, TapFlag.CAME_SUPER),
      left: frame(frameAt + cameKept, leftKept, view.getInt32(at + 32, true), TapFlag.LEFT_PARTIAL, TapFlag.LEFT_SUPER),
    };
    at += recordBytes;
  }
}

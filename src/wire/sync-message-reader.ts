/**
 * Reads synchronisation datagrams. Whatever their lengths claim, nothing outside the datagram is read: a connection
 * that does not hold what it says ends the reading, those before it count. The layout is in `sync-message.ts`.
 */
import { readInt32, readUint8, readUint16 } from './bytes.ts';
import {
  SYNC_CONNECTION_BYTES,
  SYNC_ENGINE_NAME_BYTES_MAX,
  SYNC_FLAG_HASHED,
  SYNC_FLAGS_SEQUENCE,
  SYNC_HEADER_BYTES,
  SYNC_IPV6_CONNECTION_BYTES,
  SYNC_OPTION_ENGINE_DATA,
  SYNC_OPTION_ENGINE_NAME,
  SYNC_OPTION_MAY_BE_IGNORED,
  SYNC_OPTION_SEQUENCE,
  SYNC_SEQUENCE_BYTES,
  SYNC_TYPE_IPV6,
  SYNC_V0_CONNECTION_BYTES,
  SYNC_V0_HEADER_BYTES,
  type SyncConnection,
} from './sync-message.ts';

/** Flags that a version 1 message may set: method, NOOUTPUT, INACTIVE, both SEQ, NO_CPORT, TEMPLATE. */
const FLAGS_BELIEVED = 0x1f87;
const NO_BYTES: Uint8Array = new Uint8Array(0);

/** Answers of `next`. */
export const SYNC_END = 0;
export const SYNC_CONNECTION = 1;
/** There was one, with an option that the reader must know and does not; more may follow. */
export const SYNC_UNKNOWN = 2;

export class SyncMessageReader {
  version: 0 | 1 = 1;
  #bytes: Uint8Array = NO_BYTES;
  #at = 0;
  #end = 0;
  #left = 0;

  /**
   * Begins with the datagram in `[at, end)`. False when it is none, or not for us: `syncId` is ours, 0 to hear all.
   * The bytes must stay as they are while they are read.
   */
  open(bytes: Uint8Array, at: number, end: number, syncId: number): boolean {
    this.#left = 0;
    if (end - at < SYNC_V0_HEADER_BYTES || readUint16(bytes, at + 2) !== end - at) return false;
    if (syncId !== 0 && readUint8(bytes, at + 1) !== syncId) return false;
    const isNew =
      end - at >= SYNC_HEADER_BYTES &&
      readUint8(bytes, at) === 0 &&
      readUint8(bytes, at + 5) === 1 &&
      readUint16(bytes, at + 6) === 0;
    this.version = isNew ? 1 : 0;
    this.#bytes = bytes;
    this.#at = at + (isNew ? SYNC_HEADER_BYTES : SYNC_V0_HEADER_BYTES);
    this.#end = end;
    this.#left = readUint8(bytes, isNew ? at + 4 : at);
    return true;
  }

  /** Reads the next connection into `into`: SYNC_CONNECTION, SYNC_UNKNOWN or SYNC_END. */
  next(into: SyncConnection): number {
    if (this.#left === 0) return SYNC_END;
    this.#left--;
    const answer = this.version === 1 ? this.#readConnection(into) : this.#readOldConnection(into);
    if (answer === SYNC_END) this.#left = 0;
    return answer;
  }

  #readConnection(into: SyncConnection): number {
    const bytes = this.#bytes;
    const at = this.#at;
    if (this.#end - at < SYNC_CONNECTION_BYTES) return SYNC_END;
    const versionAndLength = readUint16(bytes, at + 2);
    const connectionEnd = at + (versionAndLength & 0x0fff);
    if (connectionEnd > this.#end || versionAndLength >>> 12 !== 0) return SYNC_END;
    const type = readUint8(bytes, at);
    into.ipv6 = (type & SYNC_TYPE_IPV6) !== 0;
    if (!into.ipv6 && type !== 0) return SYNC_END;
    const fixedEnd = at + (into.ipv6 ? SYNC_IPV6_CONNECTION_BYTES : SYNC_CONNECTION_BYTES);
    if (fixedEnd > connectionEnd) return SYNC_END;
    this.#at = connectionEnd + (-(versionAndLength & 0x0fff) & 3);
    into.protocol = readUint8(bytes, at + 1);
    into.flags = readInt32(bytes, at + 4) & FLAGS_BELIEVED;
    into.state = readUint16(bytes, at + 8);
    into.clientPort = readUint16(bytes, at + 10);
    into.virtualPort = readUint16(bytes, at + 12);
    into.destinationPort = readUint16(bytes, at + 14);
    into.mark = readInt32(bytes, at + 16);
    into.timeoutSeconds = readInt32(bytes, at + 20) >>> 0;
    const addressBytes = into.ipv6 ? 16 : 4;
    readWords(bytes, at + 24, into.ipv6, into.client);
    readWords(bytes, at + 24 + addressBytes, into.ipv6, into.virtual);
    readWords(bytes, at + 24 + 2 * addressBytes, into.ipv6, into.destination);
    return readOptions(bytes, fixedEnd, connectionEnd, into);
  }

  #readOldConnection(into: SyncConnection): number {
    const bytes = this.#bytes;
    const at = this.#at;
    if (this.#end - at < SYNC_V0_CONNECTION_BYTES) return SYNC_END;
    into.flags = readUint16(bytes, at + 20) & ~SYNC_FLAG_HASHED;
    into.hasSequences = (into.flags & SYNC_FLAGS_SEQUENCE) !== 0;
    this.#at = at + SYNC_V0_CONNECTION_BYTES + (into.hasSequences ? SYNC_SEQUENCE_BYTES : 0);
    if (this.#at > this.#end) return SYNC_END;
    into.ipv6 = false;
    into.protocol = readUint8(bytes, at + 1);
    into.clientPort = readUint16(bytes, at + 2);
    into.virtualPort = readUint16(bytes, at + 4);
    into.destinationPort = readUint16(bytes, at + 6);
    readWords(bytes, at + 8, false, into.client);
    readWords(bytes, at + 12, false, into.virtual);
    readWords(bytes, at + 16, false, into.destination);
    into.state = readUint16(bytes, at + 22);
    into.mark = 0;
    into.timeoutSeconds = 0;
    into.engineData = NO_BYTES;
    into.engineName = '';
    for (let i = 0; i < 6; i++) into.sequences[i] = into.hasSequences ? readNativeWord(bytes, at + 24 + 4 * i) : 0;
    return SYNC_CONNECTION;
  }
}

/** The options in `[at, end)`; each may come once. */
function readOptions(bytes: Uint8Array, at: number, end: number, into: SyncConnection): number {
  into.hasSequences = false;
  into.sequences.fill(0);
  into.engineData = NO_BYTES;
  into.engineName = '';
  while (at < end) {
    if (at + 2 > end) return SYNC_END;
    const type = readUint8(bytes, at);
    const dataAt = at + 2;
    const byteCount = readUint8(bytes, at + 1);
    at = dataAt + byteCount;
    if (byteCount === 0 || at > end) return SYNC_END;
    switch (type & ~SYNC_OPTION_MAY_BE_IGNORED) {
      case SYNC_OPTION_SEQUENCE:
        if (byteCount !== SYNC_SEQUENCE_BYTES || into.hasSequences) return SYNC_END;
        into.hasSequences = true;
        for (let i = 0; i < 6; i++) into.sequences[i] = readInt32(bytes, dataAt + 4 * i);
        break;
      case SYNC_OPTION_ENGINE_DATA:
        if (into.engineData.length > 0) return SYNC_END;
        into.engineData = bytes.slice(dataAt, at);
        break;
      case SYNC_OPTION_ENGINE_NAME:
        if (byteCount > SYNC_ENGINE_NAME_BYTES_MAX || into.engineName !== '') return SYNC_END;
        into.engineName = String.fromCharCode(...bytes.subarray(dataAt, at));
        break;
      default:
        // The rest of this connection is not looked at: it may depend on what is unknown.
        if ((type & SYNC_OPTION_MAY_BE_IGNORED) === 0) return SYNC_UNKNOWN;
    }
  }
  return SYNC_CONNECTION;
}

function readWords(bytes: Uint8Array, at: number, ipv6: boolean, into: Int32Array): void {
  into.fill(0);
  for (let i = ipv6 ? 0 : 3; i < 4; i++) {
    into[i] = readInt32(bytes, at);
    at += 4;
  }
}

function readNativeWord(bytes: Uint8Array, at: number): number {
  const low = readUint8(bytes, at) | (readUint8(bytes, at + 1) << 8);
  return low | (readUint8(bytes, at + 2) << 16) | (readUint8(bytes, at + 3) << 24);
}

/** Writes synchronisation datagrams, one connection after the other. The layout is in `sync-message.ts`. */
import { writeInt32, writeUint8, writeUint16 } from './bytes.ts';
import {
  SYNC_CONNECTION_BYTES,
  SYNC_CONNECTIONS_MAX,
  SYNC_FLAGS_ON_WIRE,
  SYNC_FLAGS_SEQUENCE,
  SYNC_HEADER_BYTES,
  SYNC_IPV6_CONNECTION_BYTES,
  SYNC_LENGTH_MAX,
  SYNC_OPTION_ENGINE_DATA,
  SYNC_OPTION_ENGINE_NAME,
  SYNC_OPTION_SEQUENCE,
  SYNC_SEQUENCE_BYTES,
  SYNC_TYPE_IPV6,
  SYNC_V0_CONNECTION_BYTES,
  SYNC_V0_HEADER_BYTES,
  type SyncConnection,
} from './sync-message.ts';

const OPTION_HEADER_BYTES = 2;

export class SyncMessageWriter {
  readonly version: 0 | 1;
  readonly #bytes: Uint8Array;
  #at: number;
  #count = 0;

  /** An empty message of at most `bytesMax` bytes, or of what `first` needs if that is more. */
  constructor(version: 0 | 1, syncId: number, bytesMax: number, first: SyncConnection) {
    const headerBytes = version === 1 ? SYNC_HEADER_BYTES : SYNC_V0_HEADER_BYTES;
    const capacity = Math.min(SYNC_LENGTH_MAX, Math.max(bytesMax, headerBytes + bytesOf(version, first)));
    this.version = version;
    this.#bytes = new Uint8Array(capacity);
    this.#at = headerBytes;
    this.#bytes[1] = syncId;
    if (version === 1) this.#bytes[5] = 1;
  }

  get count(): number {
    return this.#count;
  }

  /** Appends a copy; false, with nothing changed, when the connection does not fit any more. */
  append(connection: SyncConnection): boolean {
    const at = this.version === 1 ? (this.#at + 3) & ~3 : this.#at;
    const end = at + bytesOf(this.version, connection);
    if (end > this.#bytes.length || this.#count === SYNC_CONNECTIONS_MAX) return false;
    if (this.version === 1) writeConnection(this.#bytes, at, end - at, connection);
    else writeOldConnection(this.#bytes, at, connection);
    this.#at = end;
    this.#count++;
    return true;
  }

  /** Version 0 sends a message as soon as the longest connection would not fit any more. */
  get isFull(): boolean {
    const longest = SYNC_V0_CONNECTION_BYTES + SYNC_SEQUENCE_BYTES;
    return this.version === 0 && this.#at + longest > this.#bytes.length;
  }

  /** The datagram. Nothing may be appended afterwards. */
  finish(): Uint8Array {
    const bytes = this.#bytes;
    writeUint16(bytes, 2, this.#at);
    bytes[this.version === 1 ? 4 : 0] = this.#count;
    return bytes.subarray(0, this.#at);
  }
}

function bytesOf(version: 0 | 1, connection: SyncConnection): number {
  const sequences = (connection.flags & SYNC_FLAGS_SEQUENCE) !== 0;
  if (version === 0) return SYNC_V0_CONNECTION_BYTES + (sequences ? SYNC_SEQUENCE_BYTES : 0);
  let bytes = connection.ipv6 ? SYNC_IPV6_CONNECTION_BYTES : SYNC_CONNECTION_BYTES;
  if (sequences) bytes += OPTION_HEADER_BYTES + SYNC_SEQUENCE_BYTES;
  if (connection.engineData.length > 0) {
    bytes += OPTION_HEADER_BYTES + connection.engineData.length;
    if (connection.engineName !== '') bytes += OPTION_HEADER_BYTES + connection.engineName.length;
  }
  return bytes;
}

function writeConnection(bytes: Uint8Array, at: number, byteCount: number, connection: SyncConnection): void {
  writeUint8(bytes, at, connection.ipv6 ? SYNC_TYPE_IPV6 : 0);
  writeUint8(bytes, at + 1, connection.protocol);
  writeUint16(bytes, at + 2, byteCount);
  writeInt32(bytes, at + 4, connection.flags & SYNC_FLAGS_ON_WIRE);
  writeUint16(bytes, at + 8, connection.state);
  writeUint16(bytes, at + 10, connection.clientPort);
  writeUint16(bytes, at + 12, connection.virtualPort);
  writeUint16(bytes, at + 14, connection.destinationPort);
  writeInt32(bytes, at + 16, connection.mark);
  writeInt32(bytes, at + 20, connection.timeoutSeconds);
  at = writeAddress(bytes, at + 24, connection.ipv6, connection.client);
  at = writeAddress(bytes, at, connection.ipv6, connection.virtual);
  at = writeAddress(bytes, at, connection.ipv6, connection.destination);
  if ((connection.flags & SYNC_FLAGS_SEQUENCE) !== 0) {
    writeUint8(bytes, at, SYNC_OPTION_SEQUENCE);
    writeUint8(bytes, at + 1, SYNC_SEQUENCE_BYTES);
    for (let i = 0; i < 6; i++) writeInt32(bytes, at + 2 + 4 * i, connection.sequences[i] as number);
    at += OPTION_HEADER_BYTES + SYNC_SEQUENCE_BYTES;
  }
  if (connection.engineData.length === 0) return;
  const { engineData, engineName } = connection;
  writeUint8(bytes, at, SYNC_OPTION_ENGINE_DATA);
  writeUint8(bytes, at + 1, engineData.length);
  bytes.set(engineData, at + 2);
  if (engineName === '') return;
  at += OPTION_HEADER_BYTES + engineData.length;
  writeUint8(bytes, at, SYNC_OPTION_ENGINE_NAME);
  writeUint8(bytes, at + 1, engineName.length);
  for (let i = 0; i < engineName.length; i++) writeUint8(bytes, at + 2 + i, engineName.charCodeAt(i));
}

function writeAddress(bytes: Uint8Array, at: number, ipv6: boolean, words: Int32Array): number {
  for (let i = ipv6 ? 0 : 3; i < 4; i++) {
    writeInt32(bytes, at, words[i] as number);
    at += 4;
  }
  return at;
}

/** Version 0. Its sequence data is in the sender's own byte order; ours is the one of the machines IPVS runs on. */
function writeOldConnection(bytes: Uint8Array, at: number, connection: SyncConnection): void {
  writeUint8(bytes, at, 0);
  writeUint8(bytes, at + 1, connection.protocol);
  writeUint16(bytes, at + 2, connection.clientPort);
  writeUint16(bytes, at + 4, connection.virtualPort);
  writeUint16(bytes, at + 6, connection.destinationPort);
  writeInt32(bytes, at + 8, connection.client[3] as number);
  writeInt32(bytes, at + 12, connection.virtual[3] as number);
  writeInt32(bytes, at + 16, connection.destination[3] as number);
  writeUint16(bytes, at + 20, connection.flags & SYNC_FLAGS_ON_WIRE);
  writeUint16(bytes, at + 22, connection.state);
  if ((connection.flags & SYNC_FLAGS_SEQUENCE) === 0) return;
  for (let i = 0; i < 6; i++) {
    const word = connection.sequences[i] as number;
    for (let byte = 0; byte < 4; byte++) bytes[at + 24 + 4 * i + byte] = word >>> (8 * byte);
  }
}

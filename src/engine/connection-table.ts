/**
 * The connection table: one arena of rows, buckets linked through the rows, one key - the client's endpoint, which
 * is in every packet from the client (as source) and in every packet back to it (as destination). Full NAT enters a
 * connection a second time, under the director's own endpoint, because there the answer goes to that.
 *
 * The arena is reserved for its full size at once; the system hands out memory only as rows are touched, so a small
 * table costs little and growing never copies.
 */
import type { Endpoints } from '../wire/endpoints.ts';
import {
  CLIENT_AND_VIRTUAL_PORT,
  CLIENT_EGRESS,
  CLIENT0,
  CLIENT3,
  CONTROLLER,
  ConnectionFlag,
  DESTINATION,
  DESTINATION_AND_LOCAL_PORT,
  FLAGS,
  KIND,
  KIND_IPV6,
  LOCAL_NEXT,
  LOCAL3,
  NEXT,
  NO_ROW,
  ROW_SHIFT,
  ROW_WORDS,
  SERVER0,
  SERVER3,
  TIMER_BUCKET,
  VIRTUAL0,
  VIRTUAL3,
} from './connection.ts';

const CACHE_LINE_BYTES = 64;
/** Large blocks of memory begin 16 bytes into a page with glibc; this puts rows at the beginning of cache lines. */
const ARENA_OFFSET_BYTES = 48;

export class ConnectionTable {
  readonly rows: Int32Array;
  readonly capacity: number;
  readonly #buckets: Int32Array;
  readonly #localBuckets: Int32Array;
  readonly #mask: number;
  /** Secret of the hash, from the engine's seed. */
  readonly seed: number;
  /** Rows below this were used at least once. */
  #highWater = 0;
  #free = NO_ROW;
  #localCount = 0;
  count = 0;
  /** Connections whose client port is not known yet. */
  withoutClientPort = 0;
  /** First three words of the local address of full-NAT connections over IPv6, by row; made when the first comes. */
  localPrefixes: Int32Array = new Int32Array(0);
  /** What a persistence engine found, of the templates that go by it. */
  readonly templateData = new Map<number, { readonly name: string; readonly bytes: Uint8Array }>();

  constructor(capacity: number, seed: number) {
    this.capacity = capacity;
    const arena = new ArrayBuffer(capacity * ROW_WORDS * 4 + CACHE_LINE_BYTES);
    this.rows = new Int32Array(arena, ARENA_OFFSET_BYTES, capacity * ROW_WORDS);
    let buckets = 256;
    while (buckets < 2 * capacity) buckets *= 2;
    // Rows are stored plus one, so that fresh zeroed memory means "empty" and need not be touched.
    this.#buckets = new Int32Array(buckets);
    this.#localBuckets = new Int32Array(buckets);
    this.#mask = buckets - 1;
    this.seed = seed | 0;
  }

  /** One past the highest row ever used: the bound for walks over all rows. */
  get highWater(): number {
    return this.#highWater;
  }

  isUsed(row: number): boolean {
    return row < this.#highWater && (this.rows[(row << ROW_SHIFT) + KIND] as number) !== -1;
  }

  /** A cleared row that is in no bucket yet, or NO_ROW when the table is full. */
  allocate(): number {
    let row = this.#free;
    const rows = this.rows;
    if (row !== NO_ROW) this.#free = rows[(row << ROW_SHIFT) + NEXT] as number;
    else if (this.#highWater < this.capacity) row = this.#highWater++;
    else return NO_ROW;
    const base = row << ROW_SHIFT;
    rows.fill(0, base, base + ROW_WORDS);
    rows[base + NEXT] = NO_ROW;
    rows[base + LOCAL_NEXT] = NO_ROW;
    rows[base + TIMER_BUCKET] = -1;
    rows[base + DESTINATION] = -1;
    rows[base + CONTROLLER] = NO_ROW;
    rows[base + CLIENT_EGRESS] = -1;
    this.count++;
    return row;
  }

  /** Gives a row back; it must be in no bucket and have no timer. */
  release(row: number): void {
    const base = row << ROW_SHIFT;
    if (this.templateData.size !== 0) this.templateData.delete(row);
    if (this.syncStates.length !== 0) this.syncStates[row] = 0;
    this.rows[base + KIND] = -1;
    this.rows[base + NEXT] = this.#free;
    this.#free = row;
    this.count--;
  }

  insert(row: number): void {
    const rows = this.rows;
    const base = row << ROW_SHIFT;
    const bucket = this.#clientBucket(base);
    rows[base + NEXT] = (this.#buckets[bucket] as number) - 1;
    this.#buckets[bucket] = row + 1;
    rows[base + FLAGS] = (rows[base + FLAGS] as number) | ConnectionFlag.HASHED;
    if (((rows[base + FLAGS] as number) & ConnectionFlag.NO_CLIENT_PORT) !== 0) this.withoutClientPort++;
    if (((rows[base + FLAGS] as number) & ConnectionFlag.FULL_NAT) !== 0) {
      const local = this.#localBucket(base);
      rows[base + LOCAL_NEXT] = (this.#localBuckets[local] as number) - 1;
      this.#localBuckets[local] = row + 1;
      this.#localCount++;
    }
  }

  remove(row: number): void {
    const rows = this.rows;
    const base = row << ROW_SHIFT;
    const flags = rows[base + FLAGS] as number;
    if ((flags & ConnectionFlag.HASHED) === 0) return;
    rows[base + FLAGS] = flags & ~ConnectionFlag.HASHED;
    if ((flags & ConnectionFlag.NO_CLIENT_PORT) !== 0) this.withoutClientPort--;
    this.#unlink(this.#buckets, this.#clientBucket(base), NEXT, row);
    if ((flags & ConnectionFlag.FULL_NAT) !== 0) {
      this.#unlink(this.#localBuckets, this.#localBucket(base), LOCAL_NEXT, row);
      this.#localCount--;
    }
  }

  /** The bucket of an IPv4 client endpoint, for looking ahead. */
  bucketOf(protocol: number, address: number, port: number): number {
    return this.#hash(protocol, 0, 0, 0, address, port);
  }

  /** Brings the row into the processor's cache. */
  touch(row: number): number {
    return this.rows[row << ROW_SHIFT] as number;
  }

  /** The connection this packet belongs to when it comes from the client. */
  findInbound(packet: Endpoints): number {
    const row = this.#findRequest(packet, packet.sourcePort, 0);
    if (row !== NO_ROW || this.withoutClientPort === 0) return row;
    return this.#findRequest(packet, 0, ConnectionFlag.NO_CLIENT_PORT);
  }

  /** `kindFlag`: what the flags must say about the client's port. */
  #findRequest(packet: Endpoints, clientPort: number, kindFlag: number): number {
    const rows = this.rows;
    const ports = (clientPort << 16) | packet.destinationPort;
    const kind = packet.protocol | (packet.ipv6 ? KIND_IPV6 : 0);
    const bucket = this.#hash(
      packet.protocol,
      packet.source0,
      packet.source1,
      packet.source2,
      packet.source3,
      clientPort,
    );
    for (
      let row = (this.#buckets[bucket] as number) - 1;
      row !== NO_ROW;
      row = rows[(row << ROW_SHIFT) + NEXT] as number
    ) {
      const base = row << ROW_SHIFT;
      if (
        rows[base + CLIENT3] === packet.source3 &&
        rows[base + CLIENT_AND_VIRTUAL_PORT] === ports &&
        rows[base + VIRTUAL3] === packet.destination3 &&
        rows[base + KIND] === kind &&
        ((rows[base + FLAGS] as number) & (ConnectionFlag.TEMPLATE | ConnectionFlag.NO_CLIENT_PORT)) === kindFlag &&
        (!packet.ipv6 || (this.#sameSource(base + CLIENT0, packet) && this.#sameDestination(base + VIRTUAL0, packet)))
      ) {
        return row;
      }
    }
    return NO_ROW;
  }

  /**
   * The template of a client network: `key.source` is the network, `key.destination` the virtual endpoint or mark,
   * `tag` stands for what a persistence engine found (LOCAL3 of the row), 0 for none.
   */
  findTemplate(key: Endpoints, tag: number): number {
    const rows = this.rows;
    const kind = key.protocol | (key.ipv6 ? KIND_IPV6 : 0);
    const bucket = this.#hash(key.protocol, key.source0, key.source1, key.source2, key.source3, tag);
    for (
      let row = (this.#buckets[bucket] as number) - 1;
      row !== NO_ROW;
      row = rows[(row << ROW_SHIFT) + NEXT] as number
    ) {
      const base = row << ROW_SHIFT;
      if (
        rows[base + CLIENT3] === key.source3 &&
        rows[base + CLIENT_AND_VIRTUAL_PORT] === key.destinationPort &&
        rows[base + LOCAL3] === tag &&
        rows[base + VIRTUAL3] === key.destination3 &&
        rows[base + KIND] === kind &&
        ((rows[base + FLAGS] as number) & ConnectionFlag.TEMPLATE) !== 0 &&
        (!key.ipv6 || (this.#sameSource(base + CLIENT0, key) && this.#sameDestination(base + VIRTUAL0, key)))
      ) {
        return row;
      }
    }
    return NO_ROW;
  }

  /** The connection this packet belongs to when it goes back to the client (not full NAT). */
  findOutbound(packet: Endpoints): number {
    const rows = this.rows;
    const kind = packet.protocol | (packet.ipv6 ? KIND_IPV6 : 0);
    const bucket = this.#hash(
      packet.protocol,
      packet.destination0,
      packet.destination1,
      packet.destination2,
      packet.destination3,
      packet.destinationPort,
    );
    for (
      let row = (this.#buckets[bucket] as number) - 1;
      row !== NO_ROW;
      row = rows[(row << ROW_SHIFT) + NEXT] as number
    ) {
      const base = row << ROW_SHIFT;
      if (
        rows[base + CLIENT3] !== packet.destination3 ||
        (rows[base + CLIENT_AND_VIRTUAL_PORT] as number) >>> 16 !== packet.destinationPort ||
        rows[base + KIND] !== kind
      ) {
        continue;
      }
      const flags = rows[base + FLAGS] as number;
      if ((flags & (ConnectionFlag.TEMPLATE | ConnectionFlag.FULL_NAT)) !== 0) continue;
      const masquerade = (flags & ConnectionFlag.METHOD_MASK) === 0;
      const sender = rows[base + (masquerade ? SERVER3 : VIRTUAL3)];
      const port = masquerade
        ? (rows[base + DESTINATION_AND_LOCAL_PORT] as number) >>> 16
        : (rows[base + CLIENT_AND_VIRTUAL_PORT] as number) & 0xffff;
      if (sender !== packet.source3 || port !== packet.sourcePort) continue;
      if (packet.ipv6 && !this.#isReplyPrefix(base, masquerade ? SERVER0 : VIRTUAL0, packet)) continue;
      return row;
    }
    return NO_ROW;
  }

  /** Full NAT: the connection whose server sends this packet to the director's own endpoint. */
  findLocal(packet: Endpoints): number {
    if (this.#localCount === 0) return NO_ROW;
    const rows = this.rows;
    const kind = packet.protocol | (packet.ipv6 ? KIND_IPV6 : 0);
    const ports = (packet.sourcePort << 16) | packet.destinationPort;
    const bucket = this.#hash(
      packet.protocol,
      packet.destination0,
      packet.destination1,
      packet.destination2,
      packet.destination3,
      packet.destinationPort,
    );
    for (
      let row = (this.#localBuckets[bucket] as number) - 1;
      row !== NO_ROW;
      row = rows[(row << ROW_SHIFT) + LOCAL_NEXT] as number
    ) {
      const base = row << ROW_SHIFT;
      if (
        rows[base + LOCAL3] === packet.destination3 &&
        rows[base + DESTINATION_AND_LOCAL_PORT] === ports &&
        rows[base + SERVER3] === packet.source3 &&
        rows[base + KIND] === kind &&
        (!packet.ipv6 || (this.#sameSource(base + SERVER0, packet) && this.#sameLocal(row, packet)))
      ) {
        return row;
      }
    }
    return NO_ROW;
  }

  /** Remembers the first three words of a local IPv6 address; before `insert`. */
  setLocalPrefix(row: number, w0: number, w1: number, w2: number): void {
    if (this.localPrefixes.length === 0) this.localPrefixes = new Int32Array(3 * this.capacity);
    this.localPrefixes[3 * row] = w0;
    this.localPrefixes[3 * row + 1] = w1;
    this.localPrefixes[3 * row + 2] = w2;
  }

  /** The state that was told to a backup last, by row; made when the first is told. */
  syncStates: Uint8Array = new Uint8Array(0);

  rememberSyncState(row: number, state: number): void {
    if (this.syncStates.length === 0) this.syncStates = new Uint8Array(this.capacity);
    this.syncStates[row] = state;
  }

  /** How many buckets there are, and the rows in one of them, for whoever samples the table. */
  get bucketCount(): number {
    return this.#mask + 1;
  }

  /** NO_ROW: the bucket is empty. */
  firstInBucket(bucket: number): number {
    return (this.#buckets[bucket] as number) - 1;
  }

  #sameLocal(row: number, packet: Endpoints): boolean {
    const prefixes = this.localPrefixes;
    return (
      prefixes[3 * row] === packet.destination0 &&
      prefixes[3 * row + 1] === packet.destination1 &&
      prefixes[3 * row + 2] === packet.destination2
    );
  }

  #sameSource(at: number, packet: Endpoints): boolean {
    const rows = this.rows;
    return rows[at] === packet.source0 && rows[at + 1] === packet.source1 && rows[at + 2] === packet.source2;
  }

  #sameDestination(at: number, packet: Endpoints): boolean {
    const rows = this.rows;
    return (
      rows[at] === packet.destination0 && rows[at + 1] === packet.destination1 && rows[at + 2] === packet.destination2
    );
  }

  #isReplyPrefix(base: number, sender: number, packet: Endpoints): boolean {
    return this.#sameDestination(base + CLIENT0, packet) && this.#sameSource(base + sender, packet);
  }

  #clientBucket(base: number): number {
    const rows = this.rows;
    return this.#hash(
      (rows[base + KIND] as number) & 0xff,
      rows[base + CLIENT0] as number,
      rows[base + CLIENT0 + 1] as number,
      rows[base + CLIENT0 + 2] as number,
      rows[base + CLIENT3] as number,
      ((rows[base + FLAGS] as number) & ConnectionFlag.TEMPLATE) !== 0
        ? (rows[base + LOCAL3] as number)
        : (rows[base + CLIENT_AND_VIRTUAL_PORT] as number) >>> 16,
    );
  }

  #localBucket(base: number): number {
    const rows = this.rows;
    const row = base >> ROW_SHIFT;
    const ipv6 = ((rows[base + KIND] as number) & KIND_IPV6) !== 0;
    return this.#hash(
      (rows[base + KIND] as number) & 0xff,
      ipv6 ? (this.localPrefixes[3 * row] as number) : 0,
      ipv6 ? (this.localPrefixes[3 * row + 1] as number) : 0,
      ipv6 ? (this.localPrefixes[3 * row + 2] as number) : 0,
      rows[base + LOCAL3] as number,
      (rows[base + DESTINATION_AND_LOCAL_PORT] as number) & 0xffff,
    );
  }

  /** Mixes the endpoint with a secret seed, so that nobody outside can aim for one bucket. */
  #hash(protocol: number, w0: number, w1: number, w2: number, w3: number, port: number): number {
    let h = Math.imul(w3 ^ this.seed, 0x9e3779b1);
    h = Math.imul(h ^ (h >>> 15) ^ ((port << 8) | protocol), 0x85ebca6b);
    if ((w0 | w1 | w2) !== 0) {
      h = Math.imul(h ^ (h >>> 13) ^ w2, 0xc2b2ae35);
      h = Math.imul(h ^ (h >>> 15) ^ w1, 0x9e3779b1);
      h = Math.imul(h ^ (h >>> 13) ^ w0, 0x85ebca6b);
    }
    h ^= h >>> 16;
    h = Math.imul(h, 0xc2b2ae35);
    return (h ^ (h >>> 13)) & this.#mask;
  }

  #unlink(buckets: Int32Array, bucket: number, column: number, row: number): void {
    const rows = this.rows;
    const next = rows[(row << ROW_SHIFT) + column] as number;
    let current = (buckets[bucket] as number) - 1;
    if (current === row) {
      buckets[bucket] = next + 1;
      return;
    }
    while (current !== NO_ROW) {
      const base = current << ROW_SHIFT;
      const following = rows[base + column] as number;
      if (following === row) {
        rows[base + column] = next;
        return;
      }
      current = following;
    }
  }
}

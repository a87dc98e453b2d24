/**
 * A fast path in memory that does what the doc comment of `FastPath` says, by another road than src/engine: it reads
 * and writes whole frames and computes with internet-checksum.ts. It is strict about how it is used.
 */
import type { FastPath, Flow, FlowCounts } from '../../src/wire/fast-path.ts';
import { internetChecksum, onesComplementSum } from './internet-checksum.ts';

const ETHERNET_BYTES = 14;
const TCP = 6;
const UDP = 17;
const FIN = 0x01;
const SYN = 0x02;
const RST = 0x04;
const ACK = 0x10;

/** How a frame came in. */
export interface Arrival {
  /** MAC of the link. */
  readonly mac: Uint8Array;
  /** Of a super-frame: payload of each segment, 0: it is none. */
  readonly segmentBytes: number;
}

export interface Carried {
  readonly linkIndex: number;
  readonly bytes: Uint8Array;
}

interface KnownFlow {
  readonly flow: Flow;
  readonly key: string;
  counts: FlowCounts | null;
}

export class ModelFastPath implements FastPath {
  readonly #nowMs: () => number;
  readonly #flows = new Map<number, KnownFlow>();
  readonly #byKey = new Map<string, KnownFlow>();
  /** Removed since the last `add`: they may be asked once more. */
  readonly #removed = new Map<number, KnownFlow>();
  #lastId = -1;
  /** Flows beyond this are refused. */
  capacity: number = Number.POSITIVE_INFINITY;
  /** All that was carried. */
  packets = 0;
  /** Every flow that was ever added, in order. */
  readonly added: Flow[] = [];
  /** Called before a flow is taken out: the kernel may carry a packet until that very moment. */
  beforeRemoval: () => void = () => {};

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  get size(): number {
    return this.#flows.size;
  }

  /** Packets that nobody has asked about yet. */
  get untold(): number {
    return [...this.#flows.values()].reduce((sum, { counts }) => sum + (counts?.packets ?? 0), 0);
  }

  flows(): Flow[] {
    return [...this.#flows.values()].map(({ flow }) => flow);
  }

  add(flow: Flow): number {
    this.#removed.clear();
    const copy = { ...flow, destinationMac: flow.destinationMac.slice(), sourceMac: flow.sourceMac.slice() };
    const from = wordBytes(flow.ipv6, [flow.source0, flow.source1, flow.source2, flow.source3]);
    const to = wordBytes(flow.ipv6, [flow.destination0, flow.destination1, flow.destination2, flow.destination3]);
    const key = keyOf(flow.protocol, from, flow.sourcePort, to, flow.destinationPort);
    if (this.#byKey.has(key) || this.#flows.size >= this.capacity) return -1;
    const known: KnownFlow = { flow: copy, key, counts: null };
    this.#lastId++;
    this.#flows.set(this.#lastId, known);
    this.#byKey.set(key, known);
    this.added.push(copy);
    return this.#lastId;
  }

  remove(id: number): void {
    const known = this.#flows.get(id);
    if (known === undefined) throw new Error(`flow ${id} is removed, but there is none`);
    this.beforeRemoval();
    this.#flows.delete(id);
    this.#byKey.delete(known.key);
    this.#removed.set(id, known);
  }

  take(id: number, counts: FlowCounts): boolean {
    const known = this.#flows.get(id) ?? this.#removed.get(id);
    if (known === undefined) throw new Error(`flow ${id} is asked for, but there is none`);
    this.#removed.delete(id);
    if (known.counts === null) return false;
    Object.assign(counts, known.counts);
    known.counts = null;
    return true;
  }

  /** The frame as it leaves, with the padding that it came with; `null`: it goes the usual way. */
  carry(frame: Uint8Array, arrival: Arrival): Carried | null {
    if (!isSame(frame.subarray(0, 6), arrival.mac)) return null;
    const type = ((frame[12] ?? 0) << 8) | (frame[13] ?? 0);
    const ip = type === 0x0800 ? readIpv4(frame) : type === 0x86dd ? readIpv6(frame) : null;
    if (ip === null) return null;
    const headerBytes = plainHeaderBytes(frame, ip);
    if (headerBytes === 0) return null;
    const known = this.#byKey.get(
      keyOf(ip.protocol, ip.from, uint16(frame, ip.transportAt), ip.to, uint16(frame, ip.transportAt + 2)),
    );
    if (known === undefined) return null;
    const { flow } = known;
    const ipBytes = ip.end - ETHERNET_BYTES;
    const longest =
      arrival.segmentBytes === 0 ? ipBytes : ip.transportAt - ETHERNET_BYTES + headerBytes + arrival.segmentBytes;
    if (longest > flow.mtu) return null;
    known.counts = {
      packets: (known.counts?.packets ?? 0) + 1,
      bytes: (known.counts?.bytes ?? 0) + ipBytes,
      lastMs: this.#nowMs(),
    };
    this.packets++;
    return { linkIndex: flow.linkIndex, bytes: rewritten(frame, ip, flow) };
  }
}

interface IpHeader {
  readonly protocol: number;
  readonly from: Uint8Array;
  readonly to: Uint8Array;
  readonly fromAt: number;
  readonly toAt: number;
  readonly transportAt: number;
  readonly end: number;
}

function readIpv4(frame: Uint8Array): IpHeader | null {
  const at = ETHERNET_BYTES;
  if (frame.length < at + 20 || frame[at] !== 0x45) return null;
  const totalLength = uint16(frame, at + 2);
  if (totalLength < 20 || at + totalLength > frame.length) return null;
  if (internetChecksum(frame.subarray(at, at + 20)) !== 0) return null;
  // All but "don't fragment".
  if ((uint16(frame, at + 6) & 0xbfff) !== 0) return null;
  if ((frame[at + 8] as number) <= 1) return null;
  return {
    protocol: frame[at + 9] as number,
    from: frame.subarray(at + 12, at + 16),
    to: frame.subarray(at + 16, at + 20),
    fromAt: at + 12,
    toAt: at + 16,
    transportAt: at + 20,
    end: at + totalLength,
  };
}

function readIpv6(frame: Uint8Array): IpHeader | null {
  const at = ETHERNET_BYTES;
  if (frame.length < at + 40 || (frame[at] as number) >> 4 !== 6) return null;
  const end = at + 40 + uint16(frame, at + 4);
  if (end > frame.length || (frame[at + 7] as number) <= 1) return null;
  return {
    protocol: frame[at + 6] as number,
    from: frame.subarray(at + 8, at + 24),
    to: frame.subarray(at + 24, at + 40),
    fromAt: at + 8,
    toAt: at + 24,
    transportAt: at + 40,
    end,
  };
}

/** Bytes of the transport header if it is one that flows take, else 0. */
function plainHeaderBytes(frame: Uint8Array, { protocol, transportAt, end }: IpHeader): number {
  if (protocol === TCP) {
    if (end - transportAt < 20) return 0;
    const headerBytes = ((frame[transportAt + 12] as number) >> 4) * 4;
    if (headerBytes < 20 || headerBytes > end - transportAt) return 0;
    return ((frame[transportAt + 13] as number) & (ACK | SYN | FIN | RST)) === ACK ? headerBytes : 0;
  }
  if (protocol !== UDP || end - transportAt < 8) return 0;
  return uint16(frame, transportAt + 6) === 0 ? 0 : 8;
}

function rewritten(frame: Uint8Array, ip: IpHeader, flow: Flow): Uint8Array {
  const result = frame.slice();
  result.set(flow.destinationMac, 0);
  result.set(flow.sourceMac, 6);
  const { transportAt } = ip;
  result.set(wordBytes(flow.ipv6, [flow.newSource0, flow.newSource1, flow.newSource2, flow.newSource3]), ip.fromAt);
  result.set(
    wordBytes(flow.ipv6, [flow.newDestination0, flow.newDestination1, flow.newDestination2, flow.newDestination3]),
    ip.toAt,
  );
  setUint16(result, transportAt, flow.newSourcePort);
  setUint16(result, transportAt + 2, flow.newDestinationPort);
  const ends = (bytes: Uint8Array): Uint8Array[] => [
    bytes.subarray(ip.fromAt, transportAt),
    bytes.subarray(transportAt, transportAt + 4),
  ];
  const isChanged = !ends(frame).every((part, index) => isSame(part, ends(result)[index] as Uint8Array));
  if (isChanged) {
    // RFC 1624, equation 3: a wrong checksum stays wrong by as much.
    const checksumAt = transportAt + (ip.protocol === TCP ? 16 : 6);
    const before = frame.subarray(checksumAt, checksumAt + 2);
    const check = 65_535 - onesComplementSum(complement(before), ...ends(frame).map(complement), ...ends(result));
    setUint16(result, checksumAt, check === 0 && ip.protocol === UDP ? 0xffff : check);
  }
  const hopsAt = ETHERNET_BYTES + (flow.ipv6 ? 7 : 8);
  result[hopsAt] = (result[hopsAt] as number) - 1;
  if (!flow.ipv6) {
    setUint16(result, ETHERNET_BYTES + 10, 0);
    setUint16(result, ETHERNET_BYTES + 10, internetChecksum(result.subarray(ETHERNET_BYTES, transportAt)));
  }
  return result;
}

function keyOf(protocol: number, from: Uint8Array, fromPort: number, to: Uint8Array, toPort: number): string {
  return `${protocol} ${from.join('.')} ${fromPort} ${to.join('.')} ${toPort}`;
}

function wordBytes(ipv6: boolean, words: readonly number[]): Uint8Array {
  const used = ipv6 ? words : words.slice(3);
  return Uint8Array.from(used.flatMap((word) => [24, 16, 8, 0].map((shift) => (word >>> shift) & 0xff)));
}

function complement(bytes: Uint8Array): Uint8Array {
  return bytes.map((byte) => byte ^ 0xff);
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

function uint16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

function setUint16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8;
  bytes[at + 1] = value & 0xff;
}

/** The flows of the fast path and what they have carried: maps that the programs ask, and records we both have mapped. */
import type { Bpf, MapShape } from '../../native/bpf.ts';
import type { Libc } from '../../native/libc.ts';
import { NativeReserve } from '../../native/native-reserve.ts';
import type { FastPath, Flow, FlowCounts } from '../../wire/fast-path.ts';
import { type FlowMaps, NOTE_BYTES } from './flow-programs.ts';
import { flowKey, KEY4, KEY6, RECORD, writeRecord } from './flow-record.ts';

/** 8 MiB of records. Two a connection. */
export const FLOWS_MAX = 65_536;
const NUMBER_BYTES = 4;
const PAGE_BYTES = 4096;
const WORD = 2 ** 32;
/** Keys that are deleted beside each flow that is added: fewer than come, so they never pile up. */
const DELETED_AT_ONCE = 64;

export class FlowTable implements FastPath {
  readonly maps: FlowMaps;
  readonly #libc: Libc;
  readonly #bpf: Bpf;
  readonly #reserve: NativeReserve;
  readonly #at: number;
  readonly #length: number;
  readonly #words: Uint32Array;
  /** Milliseconds of the engine's clock at 0 of the kernel's. */
  readonly #epochMs: number;
  readonly #keys: (Uint8Array | undefined)[] = [];
  /** Flows that are removed and still have a key in the map, oldest first. */
  #leaving: number[] = [];
  /** What was told of each flow so far. */
  readonly #packets: Float64Array;
  readonly #bytes: Float64Array;
  /**
   * Free numbers, oldest first: a frame that is on its way through a program while its flow ends may still be counted,
   * and that must not be in the record of another.
   */
  readonly #free: Uint32Array;
  #firstFree = 0;
  #freeCount: number;
  readonly #number = new Uint8Array(NUMBER_BYTES);

  /** `name`: of its maps. Throws a LibcError: EPERM, ENOMEM, EINVAL (a kernel before 5.5). */
  constructor(libc: Libc, bpf: Bpf, name: string, flowsMax: number = FLOWS_MAX) {
    this.#libc = libc;
    this.#bpf = bpf;
    const opened: number[] = [];
    const create = (type: MapShape['type'], keyBytes: number, valueBytes: number, entriesMax = flowsMax): number => {
      const map = bpf.createMap({ type, keyBytes, valueBytes, entriesMax, name });
      opened.push(map);
      return map;
    };
    try {
      const flows4 = create('hash', KEY4.bytes, NUMBER_BYTES);
      const flows6 = create('hash', KEY6.bytes, NUMBER_BYTES);
      const records = create('array', NUMBER_BYTES, RECORD.length, flowsMax + 1);
      const notes = create('perProcessor', NUMBER_BYTES, NOTE_BYTES, 1);
      this.maps = { flows4, flows6, records, countAt: flowsMax, notes };
      this.#length = Math.ceil(((flowsMax + 1) * RECORD.length) / PAGE_BYTES) * PAGE_BYTES;
      this.#reserve = new NativeReserve(libc, this.#length);
      this.#at = this.#reserve.layRing(records, this.#length);
    } catch (error) {
      for (const map of opened) libc.close(map);
      throw error;
    }
    this.#words = new Uint32Array(this.#reserve.buffer);
    // Both clocks are the system's monotonic one; Node's begins with the thread.
    this.#epochMs = performance.now() - Number(process.hrtime.bigint() / 1000n) / 1000;
    this.#packets = new Float64Array(flowsMax);
    this.#bytes = new Float64Array(flowsMax);
    this.#free = Uint32Array.from({ length: flowsMax }, (_, number) => number);
    this.#freeCount = flowsMax;
  }

  add(flow: Flow): number {
    this.#forget(DELETED_AT_ONCE);
    if (this.#freeCount === 0) return -1;
    const number = this.#free[this.#firstFree] as number;
    writeRecord(this.#reserve.bytes, this.#recordAt(number), flow);
    this.#packets[number] = 0;
    this.#bytes[number] = 0;
    const key = flowKey(flow);
    new DataView(this.#number.buffer).setUint32(0, number, true);
    if (!this.#enter(key)) return -1;
    this.#firstFree = (this.#firstFree + 1) % this.#free.length;
    this.#freeCount--;
    this.#keys[number] = key;
    this.#count(1);
    return number;
  }

  /** No packet is longer than nothing: that ends it, without a system call, even for thousands at once. */
  remove(flow: number): void {
    const mtuAt = (this.#recordAt(flow) + RECORD.mtu) >> 2;
    if (this.#keys[flow] === undefined || this.#words[mtuAt] === 0) return;
    this.#words[mtuAt] = 0;
    this.#leaving.push(flow);
    this.#count(-1);
  }

  #count(change: number): void {
    this.#words[this.#recordAt(this.maps.countAt) >> 2] += change;
  }

  /** False: a flow has that key, or the map is full. */
  #enter(key: Uint8Array): boolean {
    const map = mapOf(this.maps, key);
    if (this.#bpf.addEntry(map, key, this.#number)) return true;
    if (this.#leaving.length === 0) return false;
    // It may be that of a flow that is removed.
    this.#forget(this.#leaving.length);
    return this.#bpf.addEntry(map, key, this.#number);
  }

  /** Deletes the keys of that many removed flows; their numbers are free again. */
  #forget(count: number): void {
    if (this.#leaving.length === 0) return;
    const flows = this.#leaving.splice(0, count);
    const keys = flows.map((flow) => this.#keys[flow] as Uint8Array);
    for (const { bytes } of [KEY4, KEY6]) {
      const same = keys.filter((key) => key.length === bytes);
      if (same.length > 0) this.#bpf.deleteEntries(mapOf(this.maps, same[0] as Uint8Array), Buffer.concat(same), bytes);
    }
    for (const flow of flows) {
      this.#keys[flow] = undefined;
      this.#free[(this.#firstFree + this.#freeCount++) % this.#free.length] = flow;
    }
  }

  take(flow: number, counts: FlowCounts): boolean {
    const at = this.#recordAt(flow);
    const packets = this.#read(at + RECORD.packets);
    const before = this.#packets[flow] as number;
    if (packets === before) return false;
    const bytes = this.#read(at + RECORD.bytes);
    counts.packets = packets - before;
    counts.bytes = bytes - (this.#bytes[flow] as number);
    counts.lastMs = this.#epochMs + this.#read(at + RECORD.lastNs) / 1e6;
    this.#packets[flow] = packets;
    this.#bytes[flow] = bytes;
    return true;
  }

  /** Programs that are attached keep the maps. */
  close(): void {
    this.#reserve.lift(this.#at, this.#length);
    const { flows4, flows6, records, notes } = this.maps;
    for (const map of [flows4, flows6, records, notes]) this.#libc.close(map);
  }

  #recordAt(flow: number): number {
    return this.#at + flow * RECORD.length;
  }

  /** A number of 64 bits that others add to. */
  #read(at: number): number {
    const words = this.#words;
    const place = at >> 2;
    for (;;) {
      const high = words[place + 1] as number;
      const low = words[place] as number;
      if (words[place + 1] === high) return high * WORD + low;
    }
  }
}

function mapOf({ flows4, flows6 }: FlowMaps, key: Uint8Array): number {
  return key.length === KEY4.bytes ? flows4 : flows6;
}

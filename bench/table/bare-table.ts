/** The connection table without an engine around it: what one lookup costs. */
import { CLIENT_AND_VIRTUAL_PORT, CLIENT3, KIND, NO_ROW, ROW_SHIFT, VIRTUAL3 } from '../../src/engine/connection.ts';
import { ConnectionTable } from '../../src/engine/connection-table.ts';
import type { Endpoints } from '../../src/wire/endpoints.ts';
import { BATCH, clientOf, portOf, VIP } from '../flows.ts';
import { Stopwatch } from '../stopwatch.ts';

const TCP = 6;
const LOOKUPS = 2_000_000;

export interface LookupCost {
  /** One at a time: each waits for the memory of the one before. */
  readonly singleNanoseconds: number;
  /** As the engine does it: the memory of a whole batch is asked for first, then each is looked up. */
  readonly inBatchNanoseconds: number;
  /** One read from memory of the size of the rows, when the next address is only known then: a lookup needs two. */
  readonly readNanoseconds: number;
}

class Ends implements Endpoints {
  readonly ipv6 = false;
  readonly protocol = TCP;
  readonly source0 = 0;
  readonly source1 = 0;
  readonly source2 = 0;
  source3 = 0;
  sourcePort = 0;
  readonly destination0 = 0;
  readonly destination1 = 0;
  readonly destination2 = 0;
  readonly destination3 = VIP;
  readonly destinationPort = 80;
}

/** Fills a table of its own and looks its connections up in a scattered order. */
export function measureLookups(connections: number): LookupCost {
  const table = new ConnectionTable(connections, 7);
  for (let i = 0; i < connections; i++) {
    const base = table.allocate() << ROW_SHIFT;
    table.rows[base + KIND] = TCP;
    table.rows[base + CLIENT3] = clientOf(i) | 0;
    table.rows[base + VIRTUAL3] = VIP;
    table.rows[base + CLIENT_AND_VIRTUAL_PORT] = (portOf(i) << 16) | 80;
    table.insert(i);
  }
  const ends = Array.from({ length: BATCH }, () => new Ends());
  const buckets = new Int32Array(BATCH);
  const heads = new Int32Array(BATCH);
  const step = Math.floor(connections * 0.6180339887) | 1;
  let c = 0;
  let touched = 0;
  const round = (warm: boolean): number => {
    const watch = new Stopwatch();
    for (let done = 0; done < LOOKUPS; done += BATCH) {
      for (let i = 0; i < BATCH; i++) {
        c = (c + step) % connections;
        ends[i].source3 = clientOf(c) | 0;
        ends[i].sourcePort = portOf(c);
      }
      watch.begin();
      if (warm) {
        for (let i = 0; i < BATCH; i++) buckets[i] = table.bucketOf(TCP, ends[i].source3, ends[i].sourcePort);
        for (let i = 0; i < BATCH; i++) heads[i] = table.firstInBucket(buckets[i]);
        for (let i = 0; i < BATCH; i++) if (heads[i] !== NO_ROW) touched ^= table.touch(heads[i]);
      }
      for (let i = 0; i < BATCH; i++) {
        if (table.findInbound(ends[i]) === NO_ROW) throw new Error('a connection of the table was not found');
      }
      watch.end();
    }
    return watch.mean() / BATCH;
  };
  // Once to warm up; the best of three, since others only ever make it slower.
  round(false);
  round(true);
  const singleNanoseconds = Math.min(round(false), round(false), round(false));
  const inBatchNanoseconds = Math.min(round(true), round(true), round(true));
  if (touched === 1) console.error('(never printed, but the compiler does not know)');
  return { singleNanoseconds, inBatchNanoseconds, readNanoseconds: measureReads(table) };
}

/** Follows a chain that leads through all rows in a scattered order, one word of each. */
function measureReads({ rows, count }: ConnectionTable): number {
  const step = Math.floor(count * 0.6180339887) | 1;
  let from = 0;
  for (let i = 0; i < count; i++) {
    const to = (from + step) % count;
    rows[from << ROW_SHIFT] = to;
    from = to;
  }
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 3; round++) {
    const watch = new Stopwatch();
    for (let done = 0; done < LOOKUPS; done += BATCH) {
      watch.begin();
      for (let i = 0; i < BATCH; i++) from = rows[from << ROW_SHIFT] as number;
      watch.end();
    }
    best = Math.min(best, watch.mean() / BATCH);
  }
  if (from < 0) throw new Error('the chain through the rows is broken');
  return best;
}

/**
 * Looks ahead: with many connections a packet waits longest for memory, once for its bucket and once for its row.
 * Touching those of a whole batch first lets the processor fetch them side by side. Changes nothing, decides nothing.
 */
import { readUint16 } from '../wire/bytes.ts';
import { ETHERNET_HEADER_BYTES, ETHERTYPE_IPV4, etherType } from '../wire/ethernet.ts';
import { IPV4_HEADER_BYTES_MIN, ipv4Destination, ipv4Protocol, ipv4Source } from '../wire/ipv4.ts';
import type { PacketBatch } from '../wire/packet-batch.ts';
import { NO_ROW } from './connection.ts';
import type { EngineContext } from './context.ts';

/** Below this the table fits in the processor's caches and looking ahead costs more than it saves. */
export const WARM_CONNECTIONS_MIN = 32_768;

const PORTS_AT = ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES_MIN;
const FRAME_BYTES_MIN = PORTS_AT + 4;
const NO_BUCKET = -1;
const buckets = new Int32Array(1024);
const heads = new Int32Array(1024);

/** Returns a number that depends on all that was touched, so that no compiler leaves it out. */
export function warm(context: EngineContext, batch: PacketBatch): number {
  const { connections, services } = context;
  const { bytes } = batch;
  const count = Math.min(batch.count, heads.length);
  // Three loops, since the processor has only so many instructions in hand: those that wait for memory stand close
  // together, and the thinking is done before.
  for (let slot = 0; slot < count; slot++) {
    const at = batch.start[slot] as number;
    buckets[slot] = NO_BUCKET;
    if ((batch.end[slot] as number) - at < FRAME_BYTES_MIN || etherType(bytes, at) !== ETHERTYPE_IPV4) continue;
    const ipAt = at + ETHERNET_HEADER_BYTES;
    const destination = ipv4Destination(bytes, ipAt);
    const request = services.isServiceAddress(false, 0, 0, 0, destination);
    buckets[slot] = connections.bucketOf(
      ipv4Protocol(bytes, ipAt),
      request ? ipv4Source(bytes, ipAt) : destination,
      readUint16(bytes, at + PORTS_AT + (request ? 0 : 2)),
    );
  }
  for (let slot = 0; slot < count; slot++) {
    const bucket = buckets[slot] as number;
    heads[slot] = bucket === NO_BUCKET ? NO_ROW : connections.firstInBucket(bucket);
  }
  let touched = 0;
  for (let slot = 0; slot < count; slot++) {
    const row = heads[slot] as number;
    if (row !== NO_ROW) touched ^= connections.touch(row);
  }
  return touched;
}

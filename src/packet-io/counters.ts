/** Counters of a back end, as the live ones keep them. */
import type { PacketIoCounters } from './packet-io.ts';

export function createCounters(): PacketIoCounters {
  return { received: 0, transmitted: 0, receiveDrops: 0, transmitErrors: {} };
}

/** Counts one frame the link refused, under an errno name or a word of ours. */
export function countTransmitError(counters: PacketIoCounters, reason: string): void {
  counters.transmitErrors[reason] = (counters.transmitErrors[reason] ?? 0) + 1;
}

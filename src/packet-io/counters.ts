/** Counters of a back end, as the live ones keep them. */
import type { LinkCounters, PacketIoCounters } from './packet-io.ts';

export function createCounters(): PacketIoCounters {
  return { received: 0, transmitted: 0, receiveDrops: 0, transmitErrors: {} };
}

/** Counters of one link within those of the whole: what is counted here is counted there as well. */
export function createLinkCounters(name: string): LinkCounters {
  return { link: name, ...createCounters(), ring: null };
}

/** Counts frames the link refused, under an errno name or a word of ours. */
export function countTransmitError(
  counters: Pick<PacketIoCounters, 'transmitErrors'>,
  reason: string,
  frames = 1,
): void {
  counters.transmitErrors[reason] = (counters.transmitErrors[reason] ?? 0) + frames;
}

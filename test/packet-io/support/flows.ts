/** A flow of the fast path from what its packets are like when they come and when they leave. */
import type { PacketSpec } from './frames.ts';

/** All but the way out. */
export function flowOf(came: PacketSpec, left: PacketSpec) {
  const ipv6 = came.ipv6 ?? false;
  return {
    ipv6,
    protocol: came.protocol === 'tcp' ? 6 : 17,
    ...words('source', came.source ?? [], ipv6),
    ...words('destination', came.destination ?? [], ipv6),
    sourcePort: came.sourcePort ?? 40_000,
    destinationPort: came.destinationPort ?? 80,
    ...words('newSource', left.source ?? [], ipv6),
    ...words('newDestination', left.destination ?? [], ipv6),
    newSourcePort: left.sourcePort ?? 40_000,
    newDestinationPort: left.destinationPort ?? 80,
  };
}

/** `source0` to `source3`, as signed words. */
function words(name: string, address: readonly number[], ipv6: boolean): Record<string, number> {
  const bytes = Buffer.from(ipv6 ? address : [...Array(12).fill(0), ...address]);
  return Object.fromEntries([0, 1, 2, 3].map((i) => [`${name}${i}`, bytes.readInt32BE(4 * i)]));
}

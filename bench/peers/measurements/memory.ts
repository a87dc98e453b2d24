/** Resident memory of the peer's processes, after it has worked. */
import type { Measurement } from '../measurement.ts';
import { residentBytes } from '../processor.ts';

export const memory: Measurement = {
  name: 'memory',
  title: 'resident memory',
  needs: 'tcp',
  run: async ({ peer, pids }) =>
    peer.group === 'proxy' || peer.group === 'uipvs' ? { memory: residentBytes(pids) / 2 ** 20 } : {},
};

/** A world's engine as the daemon that `uipvs` talks to. */
import type { ConnectedDaemon } from '../../src/cli/cli.ts';
import { PACKET_ENGINE_CAPABILITIES } from '../../src/data-plane/capabilities.ts';
import { InProcessDataPlane } from '../../src/data-plane/in-process.ts';
import type { World } from '../support/world.ts';

export function engineDaemon(world: World): ConnectedDaemon {
  const plane = new InProcessDataPlane({
    engine: world.engine,
    capabilities: PACKET_ENGINE_CAPABILITIES,
    nowMs: () => world.nowMs,
  });
  return Object.assign(plane, {
    status: async () => {
      throw new Error('nobody asks for the status here');
    },
    health: async () => [],
    close: async () => {},
  });
}

/**
 * A process that carries connections of the proxy: it accepts from ports that the daemon has opened, and chooses servers
 * by itself, knowing what the others carry. It ends with the daemon.
 */
import type { Server } from 'node:net';
import { judgeBy } from '../front.ts';
import { ProxyDataPlane } from '../proxy-data-plane.ts';
import { ForeignLoads, ownLoads } from './loads.ts';
import type { FromHelper, ToHelper } from './messages.ts';

/** Ctrl-C in a terminal reaches the whole group; the daemon decides when conversations end. */
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});

let plane: ProxyDataPlane | null = null;
let foreign: ForeignLoads | null = null;

process.on('message', (message, handle) => void hear(message as ToHelper, handle as Server | undefined));
process.on('disconnect', () => process.exit(0));

function say(message: FromHelper): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
}

async function hear(message: ToHelper, server: Server | undefined): Promise<void> {
  if (message.type === 'start') {
    const { connectionsMax, sendProxy, acceptProxy } = message.options;
    plane = new ProxyDataPlane({ connectionsMax, sendProxy, judgePeer: judgeBy(acceptProxy), adoptsPorts: true });
    foreign = new ForeignLoads(plane.table);
    return;
  }
  if (plane === null || foreign === null) return;
  switch (message.type) {
    case 'command':
      try {
        const answer = await plane.execute(message.command);
        say({ type: 'answer', id: message.id, answer });
      } catch (error) {
        say({ type: 'error', id: message.id, message: (error as Error).message });
      }
      return;
    case 'port':
      if (server !== undefined) await plane.adopt(message.key, server);
      say({ type: 'answer', id: message.id, answer: null });
      return;
    case 'loads':
      say({ type: 'answer', id: message.id, answer: ownLoads(plane.table, foreign) });
      return;
    case 'others':
      foreign.set(message.loads);
  }
}

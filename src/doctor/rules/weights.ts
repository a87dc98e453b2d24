/** A service none of whose servers takes new connections: all weights are 0, or there is no server. */
import { formatServiceKey } from '../../model/service.ts';
import type { DaemonFacts } from '../facts/daemon.ts';
import { valueOr } from '../facts.ts';
import type { Evidence, Finding } from '../finding.ts';
import { defineRule, foundOr } from '../rule.ts';
import { connectOf, count, listed, type Server, serversOfService, setWeight } from '../services.ts';

export const weights = defineRule({
  name: 'weights',
  summary: 'no server of a service takes new connections',
  needs: ['daemon'],
  examine: ({ daemon }, all) => {
    const connects = valueOr(all.connects, []);
    const found = daemon.services.flatMap((service): Finding[] => {
      const servers = serversOfService(service);
      if (servers.some(({ destination }) => destination.spec.weight > 0)) return [];
      const down = servers.flatMap((server) => reportedDown(daemon, server));
      // Weights that a health check has set are its answer to servers that are down; it puts them back itself.
      const alive = servers.filter((server) => connectOf(connects, server)?.outcome === 'connected');
      const free = alive.filter((server) => reportedDown(daemon, server).length === 0);
      const name = formatServiceKey(service.spec.key);
      return [
        {
          service: name,
          servers: servers.map(({ address }) => address),
          what:
            servers.length === 0
              ? `the service ${name} has no server`
              : `the weight of every server of ${name} is 0, so none takes a new connection`,
          evidence: [
            {
              says:
                servers.length === 0
                  ? 'the table lists no server below it'
                  : `${count(servers.length, 'server')} with weight 0: ${listed(servers.map((server) => server.name))}`,
              shownBy: 'uipvsadm -Ln',
            },
            ...down.map((says): Evidence => ({ says, shownBy: 'uipvs health' })),
            ...alive.map(
              (server): Evidence => ({
                says: `${server.name} accepts a TCP connection from here`,
                shownBy: `nc -vz ${server.address} ${server.port}`,
              }),
            ),
          ],
          why: 'new clients get no answer; connections that stand go on',
          cures:
            free.length === 0
              ? []
              : [
                  {
                    on: 'here',
                    does: `gives the weight 1 to ${count(free.length, 'server')} that accepts connections; set the weights you want`,
                    commands: free.map((server) => setWeight(server, 1)),
                    undo: free.map((server) => setWeight(server, 0)),
                  },
                ],
        },
      ];
    });
    return foundOr(found, {
      fine: `${count(daemon.services.length, 'service')} with a server of a weight above 0 each`,
    });
  },
});

/** What the program that checks it says when it is not up. */
function reportedDown({ health }: DaemonFacts, { address, port, name }: Server): string[] {
  return health.flatMap(({ stale, report }) =>
    report.services.flatMap(({ servers }) =>
      servers
        .filter((server) => !stale && server.address === address && server.port === port && server.state !== 'up')
        .map(
          ({ state, result }) => `${report.program} has ${name} ${state}${result === null ? '' : `: ${result.reason}`}`,
        ),
    ),
  );
}

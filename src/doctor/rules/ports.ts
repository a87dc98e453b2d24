/** Source ports that run out: of a client that opens connections faster than it forgets them, or of full NAT. */
import { formatEndpoint } from '../../model/service.ts';
import type { DaemonFacts } from '../facts/daemon.ts';
import type { ClientFlow } from '../facts/traffic.ts';
import { valueOr } from '../facts.ts';
import type { Finding } from '../finding.ts';
import { defineRule, foundOr } from '../rule.ts';
import { count } from '../services.ts';

/** net.ipv4.ip_local_port_range of a Linux client that nobody has changed: 32768 to 60999. */
const CLIENT_PORTS = 28_232;
const NEARLY = 0.9;
/** So many ports taken again while their connection was closing, and so large a share, are no chance. */
const REUSES_MIN = 10;
const REUSE_SHARE = 0.3;
const CLOSING = ['TIME_WAIT', 'FIN_WAIT', 'CLOSE', 'CLOSE_WAIT', 'LAST_ACK'];

export const ports = defineRule({
  name: 'ports',
  summary: 'source ports run out',
  needs: ['before', 'daemon'],
  examine: ({ before, daemon }, all) => {
    const traffic = valueOr(all.traffic, null);
    const found = [...usedUp(before, daemon), ...crowded(daemon), ...reused(before, traffic?.clients ?? [])];
    return foundOr(unique(found), {
      fine: `${count(daemon.connections.length, 'connection')}: no client is near ${CLIENT_PORTS} to one service, and none takes ports again that are still closing`,
    });
  },
});

/** One finding a client and service is enough. */
function unique(found: readonly Finding[]): Finding[] {
  return found.filter(
    (each, index) =>
      found.findIndex(
        ({ service, what }) => service === each.service && what.split(' ')[0] === each.what.split(' ')[0],
      ) === index,
  );
}

/** Full NAT: the engine itself had none left. */
function usedUp(before: DaemonFacts, daemon: DaemonFacts): Finding[] {
  const now = daemon.status.counters?.drops['ports-used-up'] ?? 0;
  const lately = now - (before.status.counters?.drops['ports-used-up'] ?? 0);
  if (lately <= 0) return [];
  return [
    {
      service: null,
      servers: [],
      what: `the director has no source port left for full NAT: ${count(lately, 'connection')} turned away during the watch`,
      evidence: [
        {
          says: `"ports-used-up" is ${now}, ${lately} more than at the beginning of the watch`,
          shownBy: 'uipvs status',
        },
      ],
      why: 'behind full NAT all clients share the ports of one address of the director for each server',
      cures: [
        {
          on: 'here',
          does: 'gives the service several addresses (an SNAT rule with a range), or leaves fewer ports to the host’s own programs',
          commands: [['sysctl', '-w', 'net.ipv4.ip_local_port_range=50000 60999']],
          undo: null,
        },
      ],
    },
  ];
}

/** One client holds almost every port it can have towards one service. */
function crowded({ connections }: DaemonFacts): Finding[] {
  const held = new Map<string, { client: string; service: string; ports: Set<number>; closing: number }>();
  for (const { template, protocol, client, virtual, state } of connections) {
    if (template || protocol !== 'TCP') continue;
    const service = `tcp ${formatEndpoint(virtual.address, virtual.port)}`;
    const name = `${client.address} ${service}`;
    const entry = held.get(name) ?? { client: client.address, service, ports: new Set<number>(), closing: 0 };
    entry.ports.add(client.port);
    if (CLOSING.includes(state)) entry.closing++;
    held.set(name, entry);
  }
  return [...held.values()]
    .filter((entry) => entry.ports.size >= CLIENT_PORTS * NEARLY)
    .map(({ client, service, ports: taken, closing }) =>
      finding(client, service, {
        says: `${client} holds ${taken.size} ports towards ${service}, ${closing} of them closing; Linux has ${CLIENT_PORTS} unless told otherwise`,
        shownBy: `uipvsadm -Lnc | grep -c '${client}:'`,
      }),
    );
}

/** New connections from ports whose last connection is not over yet: the client goes round in a small circle. */
function reused(before: DaemonFacts, flows: readonly ClientFlow[]): Finding[] {
  const closing = new Set(
    before.connections
      .filter(({ state, template }) => !template && CLOSING.includes(state))
      .map(({ client, virtual }) => `${client.address} ${client.port} ${virtual.address} ${virtual.port}`),
  );
  const clients = new Map<
    string,
    { client: string; service: string; opened: number; reused: number; ports: Set<number> }
  >();
  for (const { client, clientPort, virtual, virtualPort, openings } of flows) {
    if (openings === 0) continue;
    const service = `tcp ${formatEndpoint(virtual, virtualPort)}`;
    const name = `${client} ${service}`;
    const entry = clients.get(name) ?? { client, service, opened: 0, reused: 0, ports: new Set<number>() };
    entry.opened += openings;
    entry.ports.add(clientPort);
    // The second opening of a flow within the watch takes its port again, too.
    entry.reused += openings - 1 + (closing.has(`${client} ${clientPort} ${virtual} ${virtualPort}`) ? 1 : 0);
    clients.set(name, entry);
  }
  return [...clients.values()]
    .filter((entry) => entry.reused >= REUSES_MIN && entry.reused >= entry.opened * REUSE_SHARE)
    .map((entry) =>
      finding(entry.client, entry.service, {
        says: `${entry.client} opened ${count(entry.opened, 'connection')} from ${count(entry.ports.size, 'port')} only, ${entry.reused} times from a port whose last connection was still closing`,
        shownBy: `uipvsadm -Lnc | grep '${entry.client}:'`,
      }),
    );
}

function finding(client: string, service: string, evidence: Finding['evidence'][number]): Finding {
  return {
    service,
    servers: [],
    what: `${client} runs out of source ports towards ${service}`,
    evidence: [evidence],
    why: 'a client needs a port of its own for each connection and keeps it for 60 s after the end: what is measured then is the client, with errors "Cannot assign requested address" and connections that wait',
    cures: [
      {
        on: client,
        does: 'lets it use more ports, and those that are closing (or let it keep connections: `ab -k`; or use more client addresses)',
        commands: [
          ['sysctl', '-w', 'net.ipv4.ip_local_port_range=1024 65535'],
          ['sysctl', '-w', 'net.ipv4.tcp_tw_reuse=1'],
        ],
        undo: null,
      },
    ],
  };
}

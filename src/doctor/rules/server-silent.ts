/** A server that has its share of the clients and does not answer them, whatever the checks say. */

import type { ArpFacts } from '../facts/arp.ts';
import type { ConnectProbe } from '../facts/connects.ts';
import type { DaemonFacts } from '../facts/daemon.ts';
import type { DirectProbe } from '../facts/direct.ts';
import type { TrafficFacts } from '../facts/traffic.ts';
import { valueOr } from '../facts.ts';
import type { Cure, Evidence, Finding } from '../finding.ts';
import { defineRule, foundOr } from '../rule.ts';
import {
  connectionStates,
  connectOf,
  count,
  isTcp,
  packetsDuringWatch,
  type Server,
  serversOf,
  setWeight,
} from '../services.ts';
import { answersComeBack } from './answers.ts';

/** Fewer could be connections that are just being made. */
const WAITING_MIN = 2;

export const serverSilent = defineRule({
  name: 'server-silent',
  summary: 'a server that is in the table does not answer clients',
  needs: ['before', 'daemon', 'connects'],
  explains: ['weights'],
  examine: ({ before, daemon, connects }, all) => {
    const servers = serversOf(daemon).filter((server) => isTcp(server) && server.destination.spec.method !== 'local');
    if (servers.length === 0) return { notApplicable: 'no TCP service has a server on another host' };
    const direct = valueOr(all.direct, []);
    const traffic = valueOr(all.traffic, null);
    const mute = traffic === null ? [] : muteServers(before, daemon, traffic, servers);
    const found = servers.flatMap((server): Finding[] => {
      const quiet = mute.find((each) => each.server === server);
      if (quiet !== undefined) return [muteFinding(quiet)];
      const closed = closedFinding(daemon, server, connectOf(connects, server), direct, valueOr(all.hosts, null));
      if (closed !== null) return [closed];
      const reachable = connectOf(connects, server);
      // One that does not answer this host either is the business of the checks, and of the rule on firewalls.
      if (reachable?.outcome !== 'connected') return [];
      const probe = directProbeOf(direct, server);
      const waiting = connectionStates(daemon, server)['SYN_RECV'] ?? 0;
      const method = server.destination.spec.method;
      const lost =
        method === 'masquerade'
          ? waiting >= WAITING_MIN && answersComeBack(before, daemon, [], server) === 'no'
          : refusesVirtual(probe) || (waiting >= WAITING_MIN && onlyWaiting(connectionStates(daemon, server)));
      if (!lost) return [];
      const during = packetsDuringWatch(before, server);
      return [
        {
          service: server.serviceName,
          servers: [server.address],
          what: `${server.name} accepts connections from this host, but clients of ${server.serviceName} get no answer from it`,
          evidence: [
            {
              says: `a TCP connection from here to ${server.name} stood after ${reachable.tookMs} ms`,
              shownBy: `nc -vz ${server.address} ${server.port}`,
            },
            ...(waiting > 0
              ? [
                  {
                    says: `${count(waiting, 'connection')} of clients to it in SYN_RECV: ${count(during.inPackets, 'packet')} went in during the watch and ${method === 'masquerade' ? `${during.outPackets} came out` : 'no client acknowledged an answer'}`,
                    shownBy: 'uipvsadm -Lnc',
                  },
                ]
              : []),
            ...(probe === null ? [] : directEvidence(probe)),
          ],
          why: 'checks go to the server’s own address and pass, so it stays in and loses its share of the clients',
          cures: curesFor(server, probe),
        },
      ];
    });
    const asked = servers.filter((server) => connectOf(connects, server)?.outcome === 'connected');
    return foundOr(found, {
      fine: `no sign that one of ${count(asked.length, 'server')} that accept connections turns clients away`,
    });
  },
});

function directProbeOf(probes: readonly DirectProbe[], { address, service }: Server): DirectProbe | null {
  const { key } = service.spec;
  return (
    probes.find(({ server, virtual }) => server === address && 'address' in key && virtual === key.address) ?? null
  );
}

function refusesVirtual(probe: DirectProbe | null): boolean {
  return probe?.outcome === 'refused' || probe?.outcome === 'silent';
}

/** The director of direct routing and tunnels sees clients only: one that was answered has acknowledged it. */
function onlyWaiting({ SYN_RECV: _, ...others }: Record<string, number>): boolean {
  return Object.keys(others).length === 0;
}

function directEvidence({ virtual, port, mac, outcome }: DirectProbe): Evidence[] {
  const says = {
    answered: `a SYN for ${virtual}:${port} straight to its MAC ${mac} was answered`,
    refused: `a SYN for ${virtual}:${port} straight to its MAC ${mac} was answered with RST: the address is there, and nothing listens on it`,
    silent: `a SYN for ${virtual}:${port} straight to its MAC ${mac} was not answered: the server does not take the address for its own, or a filter drops it`,
    'not-asked': null,
  }[outcome];
  return says === null ? [] : [{ says, shownBy: `ss -ltn; ip address   (on the server)` }];
}

function curesFor({ address, service, port, destination }: Server, probe: DirectProbe | null): Cure[] {
  const { key } = service.spec;
  const virtual = 'address' in key ? key.address : 'VIRTUAL_ADDRESS';
  const prefix = virtual.includes(':') ? 128 : 32;
  if (destination.spec.method === 'masquerade') {
    return [
      {
        on: address,
        does: `shows what drops the clients: a filter on that host, or a program that answers some addresses only`,
        commands: [
          ['nft', '-a', 'list', 'ruleset'],
          ['ss', '-ltn', `sport = :${port}`],
        ],
        undo: null,
      },
    ];
  }
  if (probe?.outcome === 'refused') {
    return [
      {
        on: address,
        does: `shows where its program listens; let it listen on every address, or on ${virtual}, too`,
        commands: [['ss', '-ltnp', `sport = :${port}`]],
        undo: null,
      },
    ];
  }
  return [
    {
      on: address,
      does: 'makes the virtual address its own, quietly',
      commands: [
        ['sysctl', '-w', 'net.ipv4.conf.all.arp_ignore=1'],
        ['sysctl', '-w', 'net.ipv4.conf.all.arp_announce=2'],
        ['ip', 'address', 'add', `${virtual}/${prefix}`, 'dev', 'lo'],
      ],
      undo: null,
    },
    {
      on: address,
      does: 'or, if it has the address: does not drop what came by another link than its route (0 on all, and on that link)',
      commands: [
        ['sysctl', '-w', 'net.ipv4.conf.all.rp_filter=0'],
        ['sysctl', '-w', 'net.ipv4.conf.default.rp_filter=0'],
      ],
      undo: null,
    },
  ];
}

/**
 * It has weight, and nobody takes a connection there: the port is closed, which checks by ping do not see, or the host is
 * gone and nobody checks it. A server of direct routing may listen on the virtual address alone; its probe knows.
 */
function closedFinding(
  daemon: DaemonFacts,
  server: Server,
  probe: ConnectProbe | null,
  direct: readonly DirectProbe[],
  hosts: ArpFacts | null,
): Finding | null {
  const { weight, method } = server.destination.spec;
  if (probe === null || weight === 0) return null;
  if (method !== 'masquerade' && directProbeOf(direct, server)?.outcome !== 'refused') return null;
  const checked = checkOf(daemon, server);
  const asked = hosts?.probes.find(({ address }) => address === server.address);
  const gone = probe.outcome === 'silent' && asked?.answers.length === 0 && checked === null;
  const refused = probe.outcome === 'refused';
  if (!refused && !gone) return null;
  return {
    service: server.serviceName,
    servers: [server.address],
    what: `${server.name} ${refused ? 'refuses connections' : 'is not there'}, and has its share of the clients of ${server.serviceName} all the same`,
    evidence: [
      {
        says: refused
          ? `a TCP connection from here to ${server.name} was refused after ${probe.tookMs} ms: nothing listens there`
          : `a TCP connection from here to ${server.name} got no answer, and ${asked?.asked} questions by ARP got none either`,
        shownBy: `nc -vz -w 3 ${server.address} ${server.port}`,
      },
      { says: `its weight is ${weight}`, shownBy: 'uipvsadm -Ln' },
      {
        says: checked === null ? 'no program that checks servers tells of it' : `it is in by this check: ${checked}`,
        shownBy: 'uipvs health',
      },
    ],
    why: 'the scheduler goes on sending clients there; only a check that asks for what clients want takes it out',
    cures: [
      {
        on: server.address,
        does: 'shows what listens there; start its program again',
        commands: [['ss', '-ltnp']],
        undo: null,
      },
      {
        on: 'here',
        does: 'until then: gives it no new clients',
        commands: [setWeight(server, 0)],
        undo: [setWeight(server, weight)],
      },
    ],
  };
}

/** What is asked by the program that tells of the server; `null`: nobody does. */
function checkOf({ health }: DaemonFacts, { address, port }: Server): string | null {
  for (const { stale, report } of health) {
    for (const { check, servers } of stale ? [] : report.services) {
      if (servers.some((each) => each.address === address && each.port === port)) return check;
    }
  }
  return null;
}

interface Mute {
  readonly server: Server;
  /** Connections of clients that it took and that sent something, and how many of its neighbours' were answered. */
  readonly taken: number;
  readonly answeredByOthers: number;
}

/**
 * Servers whose kernel takes connections while the program behind it says nothing: clients sent data and none came
 * back, where other servers of the service answered. Seen where answers come by here, so with NAT.
 */
function muteServers(
  before: DaemonFacts,
  daemon: DaemonFacts,
  traffic: TrafficFacts,
  servers: readonly Server[],
): Mute[] {
  const counts = servers
    .filter(({ destination }) => destination.spec.method === 'masquerade')
    .map((server) => {
      const flows = traffic.servers.filter(({ server: address, serverPort, synAcks, to, toPort }) => {
        if (address !== server.address || serverPort !== server.port || synAcks === 0) return false;
        return asked(before, daemon, traffic, to, toPort);
      });
      return { server, taken: flows.length, answered: flows.filter(({ dataSegments }) => dataSegments > 0).length };
    });
  return counts.flatMap(({ server, taken, answered }) => {
    const others = counts.filter((each) => each.server !== server && each.server.serviceName === server.serviceName);
    const answeredByOthers = others.reduce((sum, each) => sum + each.answered, 0);
    return taken >= WAITING_MIN && answered === 0 && answeredByOthers >= WAITING_MIN
      ? [{ server, taken, answeredByOthers }]
      : [];
  });
}

/** Whether the client of this connection has sent data. With full NAT the server knows it by an address of ours. */
function asked(before: DaemonFacts, daemon: DaemonFacts, traffic: TrafficFacts, to: string, toPort: number): boolean {
  const translated = [...daemon.connections, ...before.connections].find(
    ({ local }) => local?.address === to && local.port === toPort,
  )?.client;
  const client = translated ?? { address: to, port: toPort };
  return traffic.clients.some(
    (flow) => flow.client === client.address && flow.clientPort === client.port && flow.dataSegments > 0,
  );
}

function muteFinding({ server, taken, answeredByOthers }: Mute): Finding {
  return {
    service: server.serviceName,
    servers: [server.address],
    what: `${server.name} takes connections of clients of ${server.serviceName} and answers no request`,
    evidence: [
      {
        says: `it took ${count(taken, 'connection')} on which clients sent data during the watch, and sent no byte on any; other servers answered on ${answeredByOthers}`,
        shownBy: `tcpdump -n host ${server.address} and port ${server.port}`,
      },
    ],
    why: 'its kernel takes connections and answers pings while the program hangs: checks of these kinds pass, and its share of the clients waits',
    cures: [
      {
        on: server.address,
        does: 'shows the program and its state (T: stopped, D: waits for a disk); wake it or start it anew',
        commands: [['ss', '-ltnp', `sport = :${server.port}`]],
        undo: null,
      },
      {
        on: 'here',
        does: 'then let the check ask for a page, so that such a server is taken out: in ldirectord.cf `checktype=negotiate` with `service=http` and `request=`; what is asked now:',
        commands: [['uipvs', 'health']],
        undo: null,
      },
    ],
  };
}

/** A server that is there for checks, and does not answer clients. */

import type { DirectProbe } from '../facts/direct.ts';
import { valueOr } from '../facts.ts';
import type { Cure, Evidence, Finding } from '../finding.ts';
import { defineRule, foundOr } from '../rule.ts';
import { connectionStates, connectOf, count, isTcp, packetsDuringWatch, type Server, serversOf } from '../services.ts';
import { answersComeBack } from './answers.ts';

/** Fewer could be connections that are just being made. */
const WAITING_MIN = 2;

export const serverSilent = defineRule({
  name: 'server-silent',
  summary: 'a server answers checks and this host, but not clients',
  needs: ['before', 'daemon', 'connects'],
  explains: ['weights'],
  examine: ({ before, daemon, connects }, all) => {
    const servers = serversOf(daemon).filter((server) => isTcp(server) && server.destination.spec.method !== 'local');
    if (servers.length === 0) return { notApplicable: 'no TCP service has a server on another host' };
    const direct = valueOr(all.direct, []);
    const found = servers.flatMap((server): Finding[] => {
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

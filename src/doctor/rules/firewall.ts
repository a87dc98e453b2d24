/** A packet filter that drops what goes between this host and its servers, or clients and the service. */
import { type AddressServiceKey, formatServiceKey, type ServiceStatus } from '../../model/service.ts';
import { type ArpFacts, virtualAddresses } from '../facts/arp.ts';
import type { ConnectProbe } from '../facts/connects.ts';
import { type DropRule, mayMatch } from '../facts/firewall.ts';
import type { HostFacts } from '../facts/host.ts';
import type { ClientFlow, TrafficFacts } from '../facts/traffic.ts';
import { valueOr } from '../facts.ts';
import type { Cure, Evidence, Finding } from '../finding.ts';
import { ownAddressBeside } from '../probe/reach.ts';
import { defineRule, foundOr } from '../rule.ts';
import { connectOf, count, isPacketEngine, isTcp, type Server, serversOf } from '../services.ts';
import { askingCommand } from './arp-problem.ts';

export const firewall = defineRule({
  name: 'firewall',
  summary: 'a packet filter drops what the balancing needs',
  needs: ['daemon', 'host', 'connects'],
  explains: ['weights', 'server-silent', 'return-path', 'gateway'],
  examine: ({ daemon, host, connects }, all) => {
    const filter = valueOr(all.firewall, null);
    const virtuals = virtualAddresses(daemon.services);
    const servers = serversOf(daemon).filter(isTcp);
    const found: Finding[] = [];
    for (const server of servers) {
      const probe = connectOf(connects, server);
      if (probe === null || probe.outcome === 'connected' || probe.outcome === 'refused') continue;
      const here = filter?.drops.filter((rule) => dropsProbe(rule, probe, sourceOf(host, server, virtuals))) ?? [];
      if (here.length > 0) found.push(byThisHost(server, probe, here));
      else if (probe.outcome === 'silent' && filter !== null) {
        found.push(...byTheServer(server, valueOr(all.hosts, null)));
      }
    }
    // What clients send for a service never gets to the host's own filters with the packet engine.
    const filtered = isPacketEngine(daemon) ? [] : (filter?.drops ?? []);
    for (const rule of filtered) {
      const closed = daemon.services.filter((service) => policyShuts(rule, service, valueOr(all.traffic, null)));
      for (const service of closed) found.push(byPolicy(rule, service, valueOr(all.traffic, null)));
      if (closed.length > 0) continue;
      const service = daemon.services.find(
        ({ spec: { key } }) => 'address' in key && dropsClients(rule, key.address, key.port),
      );
      if (service !== undefined) found.push(byThisHostForClients(rule, serversOf({ ...daemon, services: [service] })));
    }
    if (found.length > 0) return foundOr(found, { fine: '' });
    if (filter === null) return { cannotTell: (all.firewall as { why: string }).why };
    const asked = servers.filter((server) => connectOf(connects, server) !== null);
    return {
      fine: `${count(filter.drops.length, 'rule')} of this host ${filter.drops.length === 1 ? 'drops' : 'drop'} packets, none of them those to ${count(asked.length, 'server')} or of clients`,
    };
  },
});

function sourceOf(host: HostFacts, { address }: Server, virtuals: readonly string[]): string {
  for (const link of host.links) {
    const own = ownAddressBeside(link, address, virtuals);
    if (own !== null) return own;
  }
  return address.includes(':') ? '::' : '0.0.0.0';
}

/** By its words it could, and by its count it did; where it does not count its words must name the server or its port. */
function dropsProbe(rule: DropRule, { address, port, outcome }: ConnectProbe, own: string): boolean {
  const out = { source: own, destination: address, sourcePort: null, destinationPort: port };
  const back = { source: address, destination: own, sourcePort: port, destinationPort: null };
  const matches =
    (['output', 'postrouting', 'egress', null].includes(rule.hook) && mayMatch(rule.text, out)) ||
    (['input', 'prerouting', 'ingress', null].includes(rule.hook) && mayMatch(rule.text, back));
  if (!matches) return false;
  if (rule.packets !== null) return rule.packets > (rule.packetsBefore ?? 0);
  if (rule.text === 'policy drop') return outcome === 'denied' && rule.hook === 'output';
  return rule.text.includes(address) || new RegExp(`\\b${port}\\b`).test(rule.text);
}

/** It names the service, and its count grew while clients came. */
function dropsClients(rule: DropRule, address: string, port: number): boolean {
  if (rule.hook !== 'input' && rule.hook !== 'prerouting' && rule.hook !== 'ingress') return false;
  const packet = { source: '0.0.0.0', destination: address, sourcePort: null, destinationPort: port };
  const named = rule.text.includes(address) || (port > 0 && new RegExp(`dport\\s+\\S*\\b${port}\\b`).test(rule.text));
  return named && mayMatch(rule.text, packet) && rule.packets !== null && rule.packets > (rule.packetsBefore ?? 0);
}

function byThisHost(server: Server, probe: ConnectProbe, rules: readonly DropRule[]): Finding {
  return {
    service: server.serviceName,
    servers: [server.address],
    what: `a packet filter of this host drops what goes to or comes from ${server.name}`,
    evidence: [
      {
        says: `a TCP connection from here to ${server.name} ${probe.outcome === 'denied' ? `was refused by this host (${probe.error})` : `got no answer in ${probe.tookMs} ms`}`,
        shownBy: `nc -vz -w 3 ${server.address} ${server.port}`,
      },
      ...rules.map(ruleEvidence),
    ],
    why: 'checks find the server dead, and what this host itself sends to it is lost',
    cures: rules.flatMap(removal),
  };
}

function byThisHostForClients(rule: DropRule, servers: readonly Server[]): Finding {
  return {
    service: servers[0]?.serviceName ?? null,
    servers: [],
    what: `a packet filter of this host drops packets of clients for ${servers[0]?.serviceName ?? 'the service'}`,
    evidence: [ruleEvidence(rule)],
    why: 'those clients get no answer',
    cures: removal(rule),
  };
}

/** It answers ARP and neither takes nor refuses a connection: a host without a filter refuses by RST. */
function byTheServer(server: Server, hosts: ArpFacts | null): Finding[] {
  const asked = hosts?.probes.find(({ address, answers }) => address === server.address && answers.length > 0);
  const mac = asked?.answers[0]?.mac;
  if (mac === undefined) return [];
  return [
    {
      service: server.serviceName,
      servers: [server.address],
      what: `${server.name} drops connections without a word: a packet filter on that host, or a program that takes none any more`,
      evidence: [
        {
          says: `three SYNs from here to ${server.name} within 2.5 s: neither SYN and ACK nor RST came back`,
          shownBy: `nc -vz -w 3 ${server.address} ${server.port}`,
        },
        {
          says: `the host is up: asked right then, it answered ARP, at ${mac}`,
          shownBy: askingCommand(asked?.link ?? 'LINK', server.address),
        },
        { says: 'no rule of this host can have dropped them', shownBy: 'nft -a list ruleset' },
      ],
      why: 'checks by connection find the server dead; with checks by ping it stays in and swallows its share of the clients',
      cures: [
        {
          on: server.address,
          does: `shows the filter's rules, with the handles to delete them by, and the waiting line of the program (Recv-Q at its limit)`,
          commands: [
            ['nft', '-a', 'list', 'ruleset'],
            ['ss', '-ltn', `sport = :${server.port}`],
          ],
          undo: null,
        },
      ],
    },
  ];
}

function ruleEvidence({ chain, text, packets, packetsBefore, shownBy }: DropRule): Evidence {
  const counted =
    packets === null
      ? 'it does not count'
      : `${count(packets, 'packet')} so far${packetsBefore === null ? '' : `, ${packets - packetsBefore} of them during this examination`}`;
  return { says: `${chain} has \`${text}\`: ${counted}`, shownBy };
}

function removal({ remove, chain }: DropRule): Cure[] {
  if (remove === null) return [];
  return [
    { on: 'here', does: `deletes that rule of ${chain}; then also where it is kept`, commands: [remove], undo: null },
  ];
}

/** Rules that are not for a new connection that comes from elsewhere. */
const NOT_FOR_NEW = /\bct state (?!.*\bnew\b)|\biif(name)? "?lo"?\b|\bct status\b/;

/** The chain drops what no rule accepts, none of its rules would accept a client's SYN, and SYNs got no answer. */
function policyShuts(
  { hook, text, exceptions }: DropRule,
  { spec: { key } }: ServiceStatus,
  traffic: TrafficFacts | null,
): boolean {
  if (hook !== 'input' || text !== 'policy drop' || exceptions === undefined || !('address' in key)) return false;
  const ways = unanswered(key, traffic);
  if (ways.length === 0) return false;
  return ways.every(({ client }) => {
    const syn = { source: client, destination: key.address, sourcePort: null, destinationPort: key.port };
    return exceptions.every((rule) => NOT_FOR_NEW.test(rule) || !mayMatch(rule, syn));
  });
}

/** SYNs for the service whose clients never acknowledged an answer. */
function unanswered(key: AddressServiceKey, traffic: TrafficFacts | null): readonly ClientFlow[] {
  const flows =
    traffic?.clients.filter(({ virtual, virtualPort }) => virtual === key.address && virtualPort === key.port) ?? [];
  return flows.some(({ acknowledgments }) => acknowledgments > 0) ? [] : flows.filter(({ syns }) => syns > 0);
}

function byPolicy(rule: DropRule, { spec: { key } }: ServiceStatus, traffic: TrafficFacts | null): Finding {
  const name = formatServiceKey(key);
  const ways = 'address' in key ? unanswered(key, traffic) : [];
  const syns = ways.reduce((sum, flow) => sum + flow.syns, 0);
  const port = 'address' in key ? key.port : 0;
  return {
    service: name,
    servers: [],
    what: `the packet filter of this host lets no client through to ${name}`,
    evidence: [
      {
        says: `${count(syns, 'SYN')} for it came in during the watch, and none of ${count(ways.length, 'connection')} got an answer`,
        shownBy: `tcpdump -n tcp port ${port}`,
      },
      {
        says: `${rule.chain} has \`policy drop\`, and none of its ${count(rule.exceptions?.length ?? 0, 'other rule')} accepts a new connection to port ${port}`,
        shownBy: rule.shownBy,
      },
    ],
    why: 'clients wait until they give up; not even a refusal comes back',
    cures: [
      {
        on: 'here',
        does: 'accepts them; then also where the filter is kept (/etc/nftables.conf)',
        commands: [['nft', 'add', 'rule', ...rule.chain.split(' '), 'tcp', 'dport', String(port), 'accept']],
        undo: null,
      },
    ],
  };
}

/**
 * Direct routing with servers in two networks: requests come in by one link, answers go out by the other. A strict
 * reverse path filter drops the requests as forged.
 */
import { ADDRESSES } from '../addresses.ts';
import { dr } from '../labs/dr.ts';
import { clientIsAnswered, everyServerTakesPart, serversAnswerDirector, tableIsComplete } from '../standing/checks.ts';
import type { Check, Fault, StandingKind } from '../standing/kind.ts';
import { hostsOf, type LabHost, type LabLink } from '../topology.ts';

const plan = ADDRESSES.ipv4;
const SERVERS = ['rs1', 'rs2', 'rs3'];
/** A new link takes `default`; the larger of `all` and its own counts. */
const NO_FILTER = { 'net.ipv4.conf.all.rp_filter': '0', 'net.ipv4.conf.default.rp_filter': '0' };
const set = (value: number) => `sysctl -qw net.ipv4.conf.all.rp_filter=${value}`;

const inClients = (name: string, address: string): LabLink => ({
  name,
  network: 'clients',
  addresses: [`${address}/24`],
});

function inTwoNetworks(host: LabHost): LabHost {
  if (host.role === 'client') {
    return { ...host, links: [inClients('eth0', plan.clientBehindGateway)], gateway: plan.gateway };
  }
  if (host.role === 'director') return { ...host, links: [...host.links, inClients('eth1', plan.gateway)] };
  const address = `10.0.0.1${SERVERS.indexOf(host.name) + 1}`;
  return {
    ...host,
    links: [...host.links, inClients('eth1', address)],
    settings: { ...host.settings, ...NO_FILTER },
  };
}

const lab: StandingKind = {
  ...dr,
  topology: {
    ...dr.topology,
    networks: { ...dr.topology.networks, clients: plan.clientNetwork },
    hosts: dr.topology.hosts.map(inTwoNetworks),
  },
};

const filtersAreLoose: Check = {
  item: 'no real server has the strict reverse path filter (1) on the link that requests come in by',
  test: async (visit) => {
    const values = await Promise.all(
      hostsOf(visit.lab.topology, 'server').map(async ({ name }) => {
        const said = await visit.mustSh(name, 'sysctl -n net.ipv4.conf.all.rp_filter net.ipv4.conf.eth0.rp_filter');
        return { name, value: Math.max(...said.trim().split('\n').map(Number)) };
      }),
    );
    return {
      passed: values.every(({ value }) => value !== 1),
      evidence: values.map(({ name, value }) => `${name} ${value}`).join(', '),
    };
  },
};

export const rpFilter: Fault = {
  name: 'rpfilter',
  lab,
  symptom: 'The servers got a second network card for their answers, and since then nobody gets the website.',
  breaks: SERVERS.map((on) => ({ on, line: set(1) })),
  checks: [serversAnswerDirector, tableIsComplete, filtersAreLoose, clientIsAnswered(), everyServerTakesPart()],
  hints: [
    'Do the requests reach a server? uipvs lab sh rs1 -- tcpdump -nc 3 -i eth0 tcp port 80 (ask from the client meanwhile). They do.',
    'And yet no program sees them: uipvs lab sh rs1 -- nstat -az TcpExtIPReversePathFilter',
    'The client is reached by eth1, but asks come in by eth0. What does a host think of a packet that comes in by the wrong link?',
    'Look at net.ipv4.conf.all.rp_filter on the servers: 1 is strict (RFC 3704). Set it to 2 (loose) or 0.',
  ],
  cure: SERVERS.map((on) => ({ on, line: set(2) })),
};

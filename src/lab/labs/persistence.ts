/** Persistence: a client comes back to the server it had, whatever the scheduler says. */
import { ADDRESSES, endpoint } from '../addresses.ts';
import { clientIsAnswered, serversAnswerDirector, tableIsComplete } from '../standing/checks.ts';
import type { Check, StandingKind } from '../standing/kind.ts';
import { type LabHost, realServers, tutorialTopology } from '../topology.ts';

/** The client calls from these, as three users would. */
const SOURCES = [ADDRESSES.ipv4.clientBehindGateway, '10.0.0.101', '10.0.0.102'];
const TIMEOUT_SECONDS = 300;
const base = tutorialTopology('masq', { fallback: false });
const topology = { ...base, hosts: base.hosts.map(withMoreAddresses) };
const service = ['-t', endpoint(topology.virtualAddress, topology.virtualPort)];

function withMoreAddresses(host: LabHost): LabHost {
  if (host.role !== 'client') return host;
  return { ...host, links: host.links.map((link) => ({ ...link, addresses: SOURCES.map((at) => `${at}/24`) })) };
}

const eachStays: Check = {
  item: 'each of three clients gets one server, again and again',
  test: async (visit) => {
    const served = await Promise.all(
      SOURCES.map(async (source) => ({ source, ...(await visit.ask({ count: 8, source, concurrency: 2 })) })),
    );
    return {
      passed: served.every(({ byServer, answered }) => answered === 8 && Object.keys(byServer).length === 1),
      evidence: served.map(({ source, byServer }) => `${source}: ${Object.keys(byServer).join(', ')}`).join('; '),
    };
  },
};

const differentServers: Check = {
  item: 'the three clients have three servers: the scheduler chose when each came first',
  test: async (visit) => {
    const servers = await Promise.all(
      SOURCES.map(async (source) => Object.keys((await visit.ask({ count: 1, source })).byServer)[0] ?? 'nobody'),
    );
    return { passed: new Set(servers).size === SOURCES.length, evidence: servers.join(', ') };
  },
};

const templates: Check = {
  item: 'the director keeps a template for each client',
  test: async (visit) => {
    const listing = await visit.mustSh('director', 'ipvsadm -Lnc');
    const clients = SOURCES.filter((source) => listing.includes(` ${source}:0 `));
    return {
      passed: clients.length === SOURCES.length,
      evidence: clients.length > 0 ? `templates of ${clients.join(', ')}` : 'none is listed',
    };
  },
};

export const persistence: StandingKind = {
  name: 'persistence',
  summary: 'persistence: each client of three stays with the server that it got first, for 300 seconds',
  topology,
  servers: 'web',
  daemon: [],
  table: {
    by: 'ipvsadm',
    commands: [
      ['-A', ...service, '-s', 'rr', '-p', String(TIMEOUT_SECONDS)],
      ...realServers(topology).map(({ address, port }) => ['-a', ...service, '-r', endpoint(address, port), '-m']),
    ],
  },
  checks: [serversAnswerDirector, tableIsComplete, clientIsAnswered(), eachStays, differentServers, templates],
  hints: [
    'Ask as one of three users: uipvs lab sh client -- curl -s --interface 10.0.0.101 http://192.168.1.120/',
    'Templates are the connections with port 0: uipvs lab sh director -- ipvsadm -Lnc',
    'A whole network as one client: ipvsadm -E -t 192.168.1.120:80 -s rr -p 300 -M 255.255.255.0 on the director',
    'Take the server of a client out softly (ipvsadm -e ... -w 0): does the client keep it? See sysctl expire_quiescent_template.',
  ],
};

/** UDP behind NAT: a datagram has no beginning and no end, so what one port of the client sends is one connection. */
import { ADDRESSES, endpoint } from '../addresses.ts';
import { clientIsAnswered, everyServerTakesPart, serversSeeClientAt, tableIsComplete } from '../standing/checks.ts';
import type { Check, StandingKind } from '../standing/kind.ts';
import { realServers, tutorialTopology } from '../topology.ts';

const PORT = 5300;
const topology = tutorialTopology('masq', { port: PORT, fallback: false });
const service = ['-u', endpoint(topology.virtualAddress, PORT)];

const connectionsExpire: Check = {
  item: 'the director remembers who sent what: its connections of UDP are listed, and end by their timeout alone',
  test: async (visit) => {
    await visit.ask({ protocol: 'udp', count: 3 });
    const listing = await visit.mustSh('director', 'ipvsadm -Lnc');
    const lines = listing.split('\n').filter((line) => line.startsWith('UDP '));
    return { passed: lines.length > 0, evidence: lines[0] ?? 'no connection of UDP is listed' };
  },
};

export const udp: StandingKind = {
  name: 'udp',
  summary: 'a UDP service behind NAT: every port of the client is a connection of its own',
  topology,
  servers: 'udp',
  daemon: [],
  table: {
    by: 'ipvsadm',
    commands: [
      ['-A', ...service, '-s', 'rr'],
      ...realServers(topology).map(({ address, port }) => ['-a', ...service, '-r', endpoint(address, port), '-m']),
    ],
  },
  checks: [
    tableIsComplete,
    clientIsAnswered({ protocol: 'udp' }),
    everyServerTakesPart({ protocol: 'udp' }),
    connectionsExpire,
    serversSeeClientAt('the servers see the client’s own address', ADDRESSES.ipv4.clientBehindGateway, {
      protocol: 'udp',
    }),
  ],
  hints: [
    'Connections of UDP: uipvs lab sh director -- ipvsadm -Lnc (all in the state UDP, 300 seconds unless asked again).',
    'Change the timeout: uipvs lab sh director -- ipvsadm --set 0 0 10',
    'Every datagram by itself: uipvs lab sh director -- ipvsadm -E -u 192.168.1.120:5300 -s rr -o; with NAT the answers then find no connection. Why?',
  ],
};

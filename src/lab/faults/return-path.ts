/** NAT, but the servers send their answers to another router: these reach the client from an address it never asked. */
import { ADDRESSES } from '../addresses.ts';
import { nat } from '../labs/nat.ts';
import { clientIsAnswered, serversAnswerDirector, tableIsComplete } from '../standing/checks.ts';
import type { Check, Fault, StandingKind } from '../standing/kind.ts';
import { hostsOf, type LabHost } from '../topology.ts';

const { director, virtual, clientBehindGateway: client } = ADDRESSES.ipv4;
const ROUTER = '192.168.1.1';
const SERVERS = ['rs1', 'rs2', 'rs3'];

/** The way out of the office: it stands in both networks, as the director does. */
const router: LabHost = {
  name: 'router',
  role: 'other',
  links: [
    { name: 'eth0', network: 'servers', addresses: [`${ROUTER}/24`] },
    { name: 'eth1', network: 'clients', addresses: ['10.0.0.254/24'] },
  ],
  loopbackAddresses: [],
  gateway: null,
  settings: { 'net.ipv4.ip_forward': '1' },
};

const lab: StandingKind = { ...nat, topology: { ...nat.topology, hosts: [...nat.topology.hosts, router] } };

const answersGoToDirector: Check = {
  item: 'every real server sends its answers to the client through the director',
  test: async (visit) => {
    const ways = await Promise.all(
      hostsOf(visit.lab.topology, 'server').map(async ({ name }) => {
        const { stdout, stderr } = await visit.sh(name, `ip route get ${client}`);
        return { name, way: / via (\S+)/.exec(stdout)?.[1] ?? (stderr.trim() || 'straight') };
      }),
    );
    return {
      passed: ways.every(({ way }) => way === director),
      evidence: ways.map(({ name, way }) => `${name} by ${way}`).join(', '),
    };
  },
};

export const returnPath: Fault = {
  name: 'return-path',
  lab,
  symptom: 'The health checks are fine, but nobody gets the website: every connection fails.',
  breaks: SERVERS.map((on) => ({ on, line: `ip route replace default via ${ROUTER}` })),
  checks: [serversAnswerDirector, tableIsComplete, answersGoToDirector, clientIsAnswered()],
  hints: [
    'The director counts packets in, but none out: uipvs lab sh director -- ipvsadm -Ln --stats. So where do the answers go?',
    `Look at what reaches the client: uipvs lab sh client -- tcpdump -ni eth0 tcp port 80. Who sends the answers?`,
    `With NAT the answers must pass the director, which alone can turn ${SERVERS[0]}'s address back into ${virtual}.`,
    `Ask a server for its way to the client: uipvs lab sh rs1 -- ip route get ${client}`,
    `The servers' default gateway is ${ROUTER}; it has to be the director, ${director}, on each of them.`,
  ],
  cure: SERVERS.map((on) => ({ on, line: `ip route replace default via ${director}` })),
};

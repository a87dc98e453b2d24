/** NAT, but the servers have no way to the client: their answers never leave. */
import { ADDRESSES } from '../addresses.ts';
import { nat } from '../labs/nat.ts';
import { clientIsAnswered, serversAnswerDirector, tableIsComplete } from '../standing/checks.ts';
import type { Check, Fault } from '../standing/kind.ts';
import { hostsOf } from '../topology.ts';

const { director, clientBehindGateway: client } = ADDRESSES.ipv4;
const SERVERS = ['rs1', 'rs2', 'rs3'];

const serversKnowTheWay: Check = {
  item: 'every real server has a route to the client',
  test: async (visit) => {
    const ways = await Promise.all(
      hostsOf(visit.lab.topology, 'server').map(async ({ name }) => {
        const { code, stdout } = await visit.sh(name, `ip route get ${client}`);
        return { name, good: code === 0, way: / via (\S+)/.exec(stdout)?.[1] ?? 'no route' };
      }),
    );
    return {
      passed: ways.every(({ good }) => good),
      evidence: ways.map(({ name, way }) => `${name}: ${way}`).join(', '),
    };
  },
};

export const gateway: Fault = {
  name: 'gateway',
  lab: nat,
  symptom: 'The director reaches every server, but users wait for the website until they give up.',
  breaks: SERVERS.map((on) => ({ on, line: 'ip route del default' })),
  checks: [serversAnswerDirector, tableIsComplete, serversKnowTheWay, clientIsAnswered()],
  hints: [
    'Packets come in, none go out: uipvs lab sh director -- ipvsadm -Ln --stats (brought up to date every two seconds).',
    'The connections stay in SYN_RECV: uipvs lab sh director -- ipvsadm -Lnc. The server got the SYN; where is its answer?',
    `The servers see the client’s own address, ${client}, which is not in their network: uipvs lab sh rs1 -- ip route`,
    `On each server: ip route add default via ${director}`,
  ],
  cure: SERVERS.map((on) => ({ on, line: `ip route replace default via ${director}` })),
};

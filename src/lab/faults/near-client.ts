/** NAT, and a client that has moved into the servers' own network: they answer it directly, past the director. */
import { ADDRESSES } from '../addresses.ts';
import { nat } from '../labs/nat.ts';
import { clientIsAnswered, serversAnswerDirector, tableIsComplete } from '../standing/checks.ts';
import type { Check, Fault, StandingKind } from '../standing/kind.ts';
import type { LabHost } from '../topology.ts';

const { client: near, virtual, serverNetwork } = ADDRESSES.ipv4;

/** It has a second card in the servers' network, which lies idle until it moves. */
function withSecondCard(host: LabHost): LabHost {
  if (host.role !== 'client') return host;
  return { ...host, links: [...host.links, { name: 'eth1', network: 'servers', addresses: [] }] };
}

const lab: StandingKind = {
  ...nat,
  topology: { ...nat.topology, hosts: nat.topology.hosts.map(withSecondCard) },
  programs: ['iptables'],
};

const answersComeFromVirtual: Check = {
  item: 'the client hears of nobody but the virtual address',
  test: async (visit) => {
    const line = `timeout 3 tcpdump -ni any -c 1 'tcp src port 80 and not src host ${virtual}' 2>/dev/null; true`;
    const [heard] = await Promise.all([visit.sh('client', line), visit.ask({ count: 3, timeoutMs: 2000 })]);
    const stranger = / IP (\S+)\.80 >/.exec(heard.stdout)?.[1];
    return { passed: stranger === undefined, evidence: stranger === undefined ? 'so it is' : `${stranger} answered` };
  },
};

export const nearClient: Fault = {
  name: 'near-client',
  lab: { ...lab, programs: ['iptables', 'tcpdump'] },
  symptom: 'From other offices the website works; since one desk was moved into the server room, nothing loads there.',
  breaks: [{ on: 'client', line: `ip address add ${near}/24 dev eth1 && ip route flush cache` }],
  checks: [serversAnswerDirector, tableIsComplete, answersComeFromVirtual, clientIsAnswered()],
  hints: [
    'The director counts packets in, and none out: uipvs lab sh director -- ipvsadm -Ln --stats',
    'Who answers? uipvs lab sh client -- tcpdump -ni eth1 tcp port 80 (ask from the client meanwhile).',
    `The client is in the servers’ own network now, ${serverNetwork}. Which way does a server take to it? uipvs lab sh rs1 -- ip route get ${near}`,
    'A gateway does not help, since none is asked. The servers must not see the client’s address: full NAT.',
    `uipvs lab sh director -- iptables -t nat -A POSTROUTING -d ${serverNetwork} -j MASQUERADE; then uipvs sysctl -w net.ipv4.vs.conntrack=1`,
  ],
  cure: [
    { on: 'director', line: `iptables -t nat -A POSTROUTING -d ${serverNetwork} -j MASQUERADE` },
    { on: 'director', line: 'uipvs sysctl -w net.ipv4.vs.conntrack=1' },
  ],
};

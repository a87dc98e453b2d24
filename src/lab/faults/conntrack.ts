/** Full NAT by a MASQUERADE rule of the host's firewall, which is heeded only with net.ipv4.vs.conntrack = 1. */
import { ADDRESSES } from '../addresses.ts';
import { fullnat } from '../labs/fullnat.ts';
import { clientIsAnswered, serversAnswerDirector, tableIsComplete } from '../standing/checks.ts';
import type { Check, Fault, StandingKind } from '../standing/kind.ts';

const { serverNetwork } = ADDRESSES.ipv4;
const NAME = 'net.ipv4.vs.conntrack';

const lab: StandingKind = {
  ...fullnat,
  daemon: ['--sysctl', 'conntrack=1'],
  before: [
    {
      on: 'director',
      line: `nft 'add table ip tutorial; add chain ip tutorial postrouting { type nat hook postrouting priority 100; }; add rule ip tutorial postrouting ip daddr ${serverNetwork} masquerade'`,
    },
  ],
};

const conntrackIsOn: Check = {
  item: `${NAME} is 1`,
  test: async (visit) => {
    const said = (await visit.mustSh('director', `uipvs sysctl ${NAME}`)).trim();
    return { passed: /= ?1$/.test(said), evidence: said };
  },
};

export const conntrack: Fault = {
  name: 'conntrack',
  lab,
  symptom: 'The tutorial’s MASQUERADE rule is there, and all servers are alive, but no user gets an answer.',
  breaks: [{ on: 'director', line: `uipvs sysctl -w ${NAME}=0` }],
  checks: [serversAnswerDirector, tableIsComplete, conntrackIsOn, clientIsAnswered()],
  hints: [
    'The rule is there: uipvs lab sh director -- nft list ruleset. Is it heeded? uipvs lab sh director -- uipvs status',
    'What do the servers see? uipvs lab sh rs1 -- tcpdump -nc 3 -i eth0 tcp port 80: the client’s address, so they answer it directly.',
    `IPVS hands its packets to the firewall’s NAT only when ${NAME} is 1.`,
    `uipvs lab sh director -- uipvs sysctl -w ${NAME}=1 (and a line in /etc/sysctl.d, so that it stays).`,
  ],
  cure: [{ on: 'director', line: `uipvs sysctl -w ${NAME}=1` }],
};

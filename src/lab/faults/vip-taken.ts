/** Another host has the virtual address as well. Whoever is heard first, or last, gets the users. */
import { ADDRESSES } from '../addresses.ts';
import { fullnat } from '../labs/fullnat.ts';
import {
  clientIsAnswered,
  onlyDirectorAnswersArp,
  serversAnswerDirector,
  tableIsComplete,
} from '../standing/checks.ts';
import type { Fault, StandingKind } from '../standing/kind.ts';
import type { LabHost } from '../topology.ts';

const { virtual } = ADDRESSES.ipv4;

/** The balancer of last year, which nobody switched off. */
const stranger: LabHost = {
  name: 'stranger',
  role: 'other',
  links: [{ name: 'eth0', network: 'servers', addresses: ['192.168.1.99/24'] }],
  loopbackAddresses: [],
  gateway: null,
  settings: {},
};

const lab: StandingKind = {
  ...fullnat,
  topology: { ...fullnat.topology, hosts: [...fullnat.topology.hosts, stranger] },
};

export const vipTaken: Fault = {
  name: 'vip-taken',
  lab,
  symptom: 'Some users get the website, others are refused, and it changes from minute to minute.',
  breaks: [
    // With arp_notify it tells everybody as soon as its link is up.
    { on: 'stranger', line: `sysctl -qw net.ipv4.conf.eth0.arp_notify=1; ip address add ${virtual}/24 dev eth0` },
    { on: 'stranger', line: 'ip link set eth0 down; ip link set eth0 up' },
  ],
  checks: [
    serversAnswerDirector,
    tableIsComplete,
    onlyDirectorAnswersArp,
    {
      item: 'whoever asks afresh is answered, five times',
      test: async (visit) => {
        const texts: string[] = [];
        for (let round = 0; round < 5; round += 1) {
          await visit.mustSh('client', 'ip neigh flush all');
          const { answered, asked, text } = await visit.ask({ count: 4, timeoutMs: 3000 });
          if (answered < asked) texts.push(text);
        }
        return { passed: texts.length === 0, evidence: texts[0] ?? 'always' };
      },
    },
    clientIsAnswered(),
  ],
  hints: [
    `Who is ${virtual} for the client? uipvs lab sh client -- ip neigh; flush it (ip neigh flush all), ask again, look again.`,
    'Compare with the MAC address of the director: uipvs lab sh director -- ip link show eth0',
    `Listen to all who answer: uipvs lab sh client -- tcpdump -eni eth0 arp`,
    'A host that is no part of this has the address. uipvs lab graph shows every host.',
    `uipvs lab sh stranger -- ip address del ${virtual}/24 dev eth0`,
  ],
  cure: [
    { on: 'stranger', line: `ip address del ${virtual}/24 dev eth0` },
    { on: 'client', line: 'ip neigh flush all' },
  ],
};

/** The virtual address is on no link of the director. The packet engine answers ARP for it all the same; a proxy cannot. */
import { ADDRESSES } from '../addresses.ts';
import { proxy } from '../labs/proxy.ts';
import { clientIsAnswered, onlyDirectorAnswersArp, serversAnswerDirector } from '../standing/checks.ts';
import type { Check, Fault } from '../standing/kind.ts';

const { virtual } = ADDRESSES.ipv4;

const directorHasAddress: Check = {
  item: 'the director has the virtual address on a link',
  test: async (visit) => {
    const said = await visit.mustSh('director', `ip -br address show to ${virtual}`);
    return { passed: said.trim() !== '', evidence: said.trim().replace(/ +/g, ' ') || `no link has ${virtual}` };
  },
};

export const vipMissing: Fault = {
  name: 'vip-missing',
  lab: proxy,
  symptom: 'Since the director was restarted no user reaches the website: the address is dead.',
  breaks: [
    { on: 'director', line: `ip address del ${virtual}/24 dev eth0` },
    { on: 'client', line: 'ip neigh flush all' },
  ],
  checks: [serversAnswerDirector, directorHasAddress, onlyDirectorAnswersArp, clientIsAnswered()],
  hints: [
    `Ask as a user: uipvs lab sh client -- curl -sm 5 http://${virtual}/; then uipvs lab sh client -- ip neigh. Nobody says “I have it”.`,
    'Which addresses has the director? uipvs lab sh director -- ip -br address',
    `uipvs lab sh director -- ip address add ${virtual}/24 dev eth0`,
  ],
  cure: [{ on: 'director', line: `ip address add ${virtual}/24 dev eth0` }],
};

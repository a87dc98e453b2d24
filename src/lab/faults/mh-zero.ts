/** Maglev hashing with a server of weight 0: the users whose hash falls on it are refused, and only they. */
import { ADDRESSES, endpoint } from '../addresses.ts';
import { clientIsAnswered, serversAnswerDirector } from '../standing/checks.ts';
import type { Check, Fault, StandingKind } from '../standing/kind.ts';
import { byHand } from './weights.ts';

const { virtual, servers } = ADDRESSES.ipv4;
const service = endpoint(virtual, 80);
const [, second] = servers as readonly [string, string, string];

const lab: StandingKind = {
  ...byHand,
  table: {
    by: 'ipvsadm',
    commands: [
      ['-A', '-t', service, '-s', 'mh', '-b', 'mh-port'],
      ...servers.map((address) => ['-a', '-t', service, '-r', endpoint(address, 80), '-m']),
    ],
  },
};

const serviceIsThere: Check = {
  item: 'the service uses the scheduler mh, with servers of a weight above 0',
  test: async (visit) => {
    const listing = await visit.mustSh('director', 'ipvsadm -Sn');
    const passed = listing.includes(`-A -t ${service} -s mh`) && /-w [1-9]/.test(listing);
    return { passed, evidence: listing.trim().split('\n').join('; ') };
  },
};

export const mhZero: Fault = {
  name: 'mh-zero',
  lab,
  symptom: 'Since one server is being drained some users are refused, each of them always, and the others never.',
  breaks: [{ on: 'director', line: `ipvsadm -e -t ${service} -r ${endpoint(second, 80)} -m -w 0` }],
  checks: [
    serversAnswerDirector,
    serviceIsThere,
    // Each source port counts as a user, with mh-port.
    clientIsAnswered({ count: 90 }),
  ],
  hints: [
    "Ask often: uipvs lab sh client -- sh -c 'for i in $(seq 30); do curl -s http://192.168.1.120/ || echo refused; done'",
    'uipvs lab sh director -- ipvsadm -Ln: the scheduler is mh, and one server has weight 0.',
    'mh looks the client up in a table, and that entry may name a server that takes nobody now. Others do not step in unless they are told to.',
    `The flag mh-fallback tells them: ipvsadm -E -t ${service} -s mh -b mh-fallback,mh-port. Or delete the server once it is drained.`,
  ],
  cure: [{ on: 'director', line: `ipvsadm -E -t ${service} -s mh -b mh-fallback,mh-port` }],
};

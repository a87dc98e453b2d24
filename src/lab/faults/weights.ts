/** Every server has weight 0: none may have a new connection. */
import { ADDRESSES, endpoint } from '../addresses.ts';
import { fullnat } from '../labs/fullnat.ts';
import { clientIsAnswered, serversAnswerDirector, tableIsComplete } from '../standing/checks.ts';
import type { Fault, StandingKind, Step } from '../standing/kind.ts';

const { virtual, servers } = ADDRESSES.ipv4;
const service = endpoint(virtual, 80);

/** Filled by hand: health checks would have an opinion on weights. */
export const byHand: StandingKind = {
  ...fullnat,
  table: {
    by: 'ipvsadm',
    commands: [
      ['-A', '-t', service, '-s', 'wrr'],
      ...servers.map((address) => ['-a', '-t', service, '-r', endpoint(address, 80), '-m']),
    ],
  },
};

const setWeights = (weight: number): Step[] =>
  servers.map((address) => ({
    on: 'director',
    line: `ipvsadm -e -t ${service} -r ${endpoint(address, 80)} -m -w ${weight}`,
  }));

export const weights: Fault = {
  name: 'weights',
  lab: byHand,
  symptom: 'After maintenance of all servers, one by one, every user is refused.',
  breaks: setWeights(0),
  checks: [serversAnswerDirector, tableIsComplete, clientIsAnswered()],
  hints: [
    'Refused at once, so somebody answers. uipvs lab sh director -- ipvsadm -Ln: what does each server have?',
    'Weight 0 means: keep your connections, get no new ones. It is how a server is drained.',
    `uipvs lab sh director -- ipvsadm -e -t ${service} -r ${endpoint(servers[0] as string, 80)} -m -w 1, and so for the others.`,
  ],
  cure: setWeights(1),
};

/** Full NAT: the director puts its own address in place of the client's, so the servers need to know nothing of it. */
import { ADDRESSES } from '../addresses.ts';
import { directorConfiguration, TUTORIAL_SCHEDULER } from '../configuration.ts';
import {
  clientIsAnswered,
  everyServerTakesPart,
  serversAnswerDirector,
  serversSeeClientAt,
  tableIsComplete,
} from '../standing/checks.ts';
import type { StandingKind } from '../standing/kind.ts';
import { tutorialTopology } from '../topology.ts';

export const fullnat: StandingKind = {
  name: 'fullnat',
  summary: 'full NAT: client, director and servers share one network; the servers see the director’s address',
  topology: tutorialTopology('fullnat'),
  servers: 'web',
  daemon: ['--snat', 'masquerade'],
  table: { by: 'uldirectord', configuration: directorConfiguration('fullnat', TUTORIAL_SCHEDULER) },
  checks: [
    serversAnswerDirector,
    tableIsComplete,
    clientIsAnswered(),
    everyServerTakesPart(),
    serversSeeClientAt('the servers see the director’s address', ADDRESSES.ipv4.director),
  ],
  hints: [
    'The servers have no gateway at all: uipvs lab sh rs1 -- ip route. They answer the director, which is in their network.',
    'Which rule rewrites the source: uipvs lab sh director -- uipvs status',
    'Both ends of a connection: uipvs lab sh director -- ipvsadm -Lnc',
  ],
};

/** Direct routing: the director changes only the MAC address; the servers hold the virtual address and answer themselves. */
import { ADDRESSES } from '../addresses.ts';
import { directorConfiguration, TUTORIAL_SCHEDULER } from '../configuration.ts';
import {
  answersBypassDirector,
  clientIsAnswered,
  everyServerTakesPart,
  onlyDirectorAnswersArp,
  serversAnswerDirector,
  serversSeeClientAt,
  tableIsComplete,
} from '../standing/checks.ts';
import type { StandingKind } from '../standing/kind.ts';
import { tutorialTopology } from '../topology.ts';

export const dr: StandingKind = {
  name: 'dr',
  summary: 'direct routing: the servers hold the virtual address on lo and answer the client themselves',
  topology: tutorialTopology('dr'),
  servers: 'web',
  daemon: [],
  table: { by: 'uldirectord', configuration: directorConfiguration('dr', TUTORIAL_SCHEDULER) },
  checks: [
    serversAnswerDirector,
    tableIsComplete,
    onlyDirectorAnswersArp,
    clientIsAnswered(),
    everyServerTakesPart(),
    serversSeeClientAt('the servers see the client’s own address', ADDRESSES.ipv4.client),
    answersBypassDirector(),
  ],
  hints: [
    'The virtual address is on every server, on lo: uipvs lab sh rs1 -- ip address show lo',
    'Why they keep quiet about it: uipvs lab sh rs1 -- sysctl net.ipv4.conf.all.arp_ignore net.ipv4.conf.all.arp_announce',
    'The director sees one direction only: uipvs lab sh director -- ipvsadm -Ln --stats (OutPkts is 0).',
    'What the client has learned: uipvs lab sh client -- ip neigh',
  ],
};

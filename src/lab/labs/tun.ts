/** Tunnels: the director wraps each packet into another one (IP in IP) and the server, which may be far away, answers. */
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

export const tun: StandingKind = {
  name: 'tun',
  summary: 'IP-in-IP tunnels: servers unwrap what the director sends, and answer the client themselves',
  topology: tutorialTopology('tun'),
  servers: 'web',
  daemon: [],
  table: { by: 'uldirectord', configuration: directorConfiguration('tun', TUTORIAL_SCHEDULER) },
  checks: [
    serversAnswerDirector,
    tableIsComplete,
    onlyDirectorAnswersArp,
    clientIsAnswered(),
    everyServerTakesPart(),
    clientIsAnswered({ count: 3, uploadBytes: 20_000 }, 'requests of 20000 bytes are answered too'),
    serversSeeClientAt('the servers see the client’s own address', ADDRESSES.ipv4.client),
    answersBypassDirector(),
  ],
  hints: [
    'The packets on their way: uipvs lab sh rs1 -- tcpdump -nc 5 -i eth0 proto 4 (ask from the client meanwhile).',
    'The virtual address is on every server, on lo: uipvs lab sh rs1 -- ip address show lo',
    'A wrapped packet is 20 bytes longer, so 1480 bytes of the client’s packet fit into 1500. The director tells the client so, by ICMP.',
  ],
};

/** The socket proxy in place of the packet engine: ordinary sockets on the director, for TCP and UDP. */
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

export const proxy: StandingKind = {
  name: 'proxy',
  summary: 'uipvsd as a proxy: it needs no packet engine, but the virtual address and port for itself',
  topology: tutorialTopology('fullnat', { fallback: false }),
  servers: 'web',
  daemon: ['--data-plane', 'proxy'],
  table: { by: 'uldirectord', configuration: directorConfiguration('fullnat', TUTORIAL_SCHEDULER) },
  checks: [
    serversAnswerDirector,
    tableIsComplete,
    clientIsAnswered(),
    everyServerTakesPart(),
    serversSeeClientAt('the servers see the director’s address', ADDRESSES.ipv4.director),
  ],
  hints: [
    'The proxy listens like any server: uipvs lab sh director -- ss -ltn',
    'The same commands as with the packet engine: uipvs lab sh director -- ipvsadm -Ln --stats',
    'What it cannot do, it refuses: uipvs lab sh director -- ipvsadm -a -t 192.168.1.120:80 -r 192.168.1.14:80 -g',
  ],
};

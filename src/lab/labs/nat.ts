/** NAT: the director rewrites addresses, and is the servers' gateway so that their answers come back to it. */
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

const { clientBehindGateway } = ADDRESSES.ipv4;

export const nat: StandingKind = {
  name: 'nat',
  summary: 'NAT: the director is the gateway of three web servers; they see the client’s own address',
  topology: tutorialTopology('masq'),
  servers: 'web',
  daemon: [],
  table: { by: 'uldirectord', configuration: directorConfiguration('masq', TUTORIAL_SCHEDULER) },
  checks: [
    serversAnswerDirector,
    tableIsComplete,
    clientIsAnswered(),
    everyServerTakesPart(),
    serversSeeClientAt('the servers see the client’s own address', clientBehindGateway),
  ],
  hints: [
    'See who answers: uipvs lab sh client -- curl -s http://192.168.1.120/ (several times).',
    'See the director’s table and its counts: uipvs lab sh director -- ipvsadm -Ln --stats',
    'The way back: uipvs lab sh rs1 -- ip route. The default gateway is the director; without it no answer comes back.',
    'Take a server’s network away and watch: uipvs lab sh rs2 -- ip link set eth0 down; then uipvs lab sh director -- uipvs health',
  ],
};

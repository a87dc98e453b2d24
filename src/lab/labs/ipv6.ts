/** NAT with IPv6 addresses: the director is the servers' gateway. */
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

export const ipv6: StandingKind = {
  name: 'ipv6',
  summary: 'NAT in IPv6: the service is [fd00:1::120]:80, the director the gateway of three web servers',
  topology: tutorialTopology('masq', { family: 'ipv6' }),
  servers: 'web',
  daemon: [],
  table: { by: 'uldirectord', configuration: directorConfiguration('masq', TUTORIAL_SCHEDULER, 'ipv6') },
  checks: [
    serversAnswerDirector,
    tableIsComplete,
    clientIsAnswered(),
    everyServerTakesPart(),
    serversSeeClientAt('the servers see the client’s own address', ADDRESSES.ipv6.clientBehindGateway),
  ],
  hints: [
    'Ask as a client: uipvs lab sh client -- curl -sg "http://[fd00:1::120]/"',
    'Neighbours instead of ARP: uipvs lab sh client -- ip -6 neigh',
    'The servers’ way back: uipvs lab sh rs1 -- ip -6 route',
  ],
};

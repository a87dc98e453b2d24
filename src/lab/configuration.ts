/** The configuration file of the lab's uldirectord: the tutorial's, word for word, and its variations. */
import { endpoint, type LabFamily } from './addresses.ts';
import { type LabMode, type LabTopology, realServers, tutorialTopology } from './topology.ts';

const PREAMBLE = `checktimeout=10
checkinterval=2
autoreload=no
logfile="/var/log/ldirectord.log"
quiescent=yes
`;

/** The scheduler that the tutorial names. */
export const TUTORIAL_SCHEDULER = 'rr';

/** How ldirectord.cf calls each way to the servers. */
const METHOD_WORDS: Readonly<Record<LabMode, string>> = { fullnat: 'masq', masq: 'masq', dr: 'gate', tun: 'ipip' };

export interface ServiceWords {
  readonly scheduler: string;
  readonly protocol: 'tcp' | 'udp';
  readonly checktype: string;
  /** Further lines of the service: `ops=yes`. */
  readonly more?: readonly string[];
}

/** The file for the one service of a topology. */
export function serviceConfiguration(topology: LabTopology, words: ServiceWords): string {
  const six = topology.family === 'ipv6' ? '6' : '';
  const method = METHOD_WORDS[topology.mode];
  const lines = [
    ...realServers(topology).map(({ address, port }) => `real${six}=${endpoint(address, port)} ${method}`),
    ...topology.servers
      .filter((server) => server.fallback)
      .map(({ address, port }) => `fallback${six}=${endpoint(address, port)} ${method}`),
    `scheduler=${words.scheduler}`,
    `protocol=${words.protocol}`,
    `checktype=${words.checktype}`,
    ...(words.more ?? []),
  ];
  const service = `virtual${six}=${endpoint(topology.virtualAddress, topology.virtualPort)}`;
  return `${PREAMBLE}\n${service}\n${lines.map((line) => `\t${line}\n`).join('')}`;
}

/** The tutorial's file. ldirectord pings IPv4 only, so with IPv6 it connects to the servers instead. */
export function directorConfiguration(mode: LabMode, scheduler: string, family: LabFamily = 'ipv4'): string {
  const checktype = family === 'ipv6' ? 'connect' : 'ping';
  return serviceConfiguration(tutorialTopology(mode, { family }), { scheduler, protocol: 'tcp', checktype });
}

/** Ways without a program between: one cable, plain routing, and address translation by nftables. */
import { writeFileSync } from 'node:fs';
import { hasProgram } from '../../../src/lab/host.ts';
import { PORTS, SERVERS, VIRTUAL } from '../network.ts';
import type { Peer } from '../peer.ts';

const EVERYTHING = ['packets', 'tcp', 'udp'] as const;

export const straight: Peer = {
  name: 'straight',
  summary: 'one cable, nobody between: the limit of generators and servers',
  group: 'limit',
  abilities: EVERYTHING,
  cabling: 'straight',
  forwarding: false,
  target: SERVERS[0],
  absent: null,
  start: async () => {},
};

export const direct: Peer = {
  name: 'direct',
  summary: 'plain routing by the kernel, no balancer',
  group: 'kernel',
  abilities: EVERYTHING,
  cabling: 'through-director',
  forwarding: true,
  target: SERVERS[0],
  absent: null,
  start: async () => {},
};

const TRANSLATION = `table ip balance {
  chain in {
    type nat hook prerouting priority dstnat;
    ip daddr ${VIRTUAL} tcp dport ${PORTS.http} dnat to numgen inc mod ${SERVERS.length} map { ${SERVERS.map((address, index) => `${index} : ${address}`).join(', ')} }
    ip daddr ${VIRTUAL} tcp dport ${PORTS.bulk} dnat to ${SERVERS[0]}
    ip daddr ${VIRTUAL} udp dport { ${PORTS.echo}, ${PORTS.discard} } dnat to ${SERVERS[0]}
  }
}
`;

export const nft: Peer = {
  name: 'nft',
  summary: 'nftables DNAT in the kernel',
  group: 'kernel',
  abilities: EVERYTHING,
  cabling: 'through-director',
  forwarding: true,
  target: VIRTUAL,
  absent: hasProgram('nft') ? null : 'nft is not installed; apt-get install nftables',
  async start({ lab, director }) {
    writeFileSync(lab.path('translation.nft'), TRANSLATION);
    await lab.mustRun(director, ['nft', '-f', lab.path('translation.nft')]);
  },
};

/** Direct routing, but the servers say that they have the virtual address: clients find one of them, not the director. */
import { ADDRESSES } from '../addresses.ts';
import { dr } from '../labs/dr.ts';
import { everyServerTakesPart, onlyDirectorAnswersArp, tableIsComplete } from '../standing/checks.ts';
import type { Check, Fault } from '../standing/kind.ts';
import { hostsOf } from '../topology.ts';

const { virtual } = ADDRESSES.ipv4;
const SERVERS = ['rs1', 'rs2', 'rs3'];
const set = (ignore: number, announce: number) =>
  `sysctl -qw net.ipv4.conf.all.arp_ignore=${ignore} net.ipv4.conf.all.arp_announce=${announce}`;

/** The larger of `all` and the link's own value counts. */
const serversAreQuiet: Check = {
  item: 'every real server has arp_ignore 1 and arp_announce 2',
  test: async (visit) => {
    const values = await Promise.all(
      hostsOf(visit.lab.topology, 'server').map(async ({ name }) => {
        const of = async (setting: string) => {
          const line = `sysctl -n net.ipv4.conf.all.${setting} net.ipv4.conf.eth0.${setting}`;
          return Math.max(...(await visit.mustSh(name, line)).trim().split('\n').map(Number));
        };
        return { name, ignore: await of('arp_ignore'), announce: await of('arp_announce') };
      }),
    );
    return {
      passed: values.every(({ ignore, announce }) => ignore >= 1 && announce === 2),
      evidence: values.map(({ name, ignore, announce }) => `${name} ${ignore} and ${announce}`).join(', '),
    };
  },
};

export const arp: Fault = {
  name: 'arp',
  lab: dr,
  symptom: 'Some users always get the same server, and when that one is down they get nothing at all.',
  breaks: [...SERVERS.map((on) => ({ on, line: set(0, 0) })), { on: 'client', line: 'ip neigh flush all' }],
  checks: [tableIsComplete, onlyDirectorAnswersArp, serversAreQuiet, everyServerTakesPart()],
  hints: [
    'Does the director see the requests at all? uipvs lab sh director -- ipvsadm -Ln --stats, before and after one.',
    `Who is ${virtual} for the client? uipvs lab sh client -- ip neigh; compare with ip link on the director and the servers.`,
    'In direct routing several hosts have the same address. Only one of them may answer ARP for it.',
    'Look at net.ipv4.conf.all.arp_ignore and arp_announce on the servers.',
    'On each server: sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2; then on the client: ip neigh flush all',
  ],
  cure: [...SERVERS.map((on) => ({ on, line: set(1, 2) })), { on: 'client', line: 'ip neigh flush all' }],
};

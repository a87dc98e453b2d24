/** Another machine, no real server of ours, holds the virtual address. */
import type { Finding } from '../finding.ts';
import { isOwnAddress } from '../probe/reach.ts';
import { defineRule, foundOr } from '../rule.ts';
import { count, listed, serversOf } from '../services.ts';
import { askingCommand, serverAtMac } from './arp-problem.ts';

/** The MACs of VRRP (RFC 9568): the address is where it belongs, with the master of a group of routers. */
const VRRP = /^00:00:5e:00:0[12]:/;

export const vipTaken = defineRule({
  name: 'vip-taken',
  summary: 'another host holds the virtual address',
  needs: ['daemon', 'host', 'arp'],
  examine: ({ daemon, host, arp }) => {
    if (arp.probes.length === 0) return { notApplicable: 'no virtual address is in a network of this host' };
    const servers = [...new Set(serversOf(daemon).map(({ address }) => address))];
    const standby = daemon.syncDaemons.some(({ role }) => role === 'backup');
    const found = arp.probes.flatMap(({ address, link, asked, answers }): Finding[] => {
      // A standby director is there to leave the address to the other one.
      if (standby && !isOwnAddress(host, address)) return [];
      const strangers = answers.filter(({ mac }) => serverAtMac(host, servers, mac) === null && !VRRP.test(mac));
      if (strangers.length === 0) return [];
      const macs = [...new Set(strangers.map(({ mac }) => mac))];
      const known = host.neighbors.filter(({ mac, address: theirs }) => macs.includes(mac) && theirs !== address);
      return [
        {
          service: null,
          servers: [],
          what: `another host holds the virtual address ${address}: ${listed(macs)}`,
          evidence: [
            ...strangers.map(({ mac, how, count: times }) => ({
              says:
                how === 'answered'
                  ? `asked ${asked} times "who has ${address}?" on ${link}: ${count(times, 'answer')} from ${mac}, which is neither this host nor a real server`
                  : `${mac} called itself ${address} in ${count(times, 'question')} of its own`,
              shownBy: askingCommand(link, address),
            })),
            ...known.map(({ address: theirs, mac }) => ({
              says: `the same machine (${mac}) is known as ${theirs}`,
              shownBy: 'ip neighbor',
            })),
          ],
          why: 'clients reach one or the other, as the last answer they heard says; what goes there is not balanced',
          cures: [
            {
              on: known[0]?.address ?? `the host at ${macs[0]}`,
              does: 'gives the address up there (or take another virtual address here)',
              commands: [['ip', 'address', 'delete', `${address}/${address.includes(':') ? 128 : 32}`, 'dev', 'LINK']],
              undo: null,
            },
          ],
        },
      ];
    });
    const asked = arp.probes.map(({ address }) => address);
    return foundOr(found, { fine: `nobody else answers for ${listed([...new Set(asked)])}` });
  },
});

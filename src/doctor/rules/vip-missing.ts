/** The virtual address is on no link of this host, where the data plane needs it there. */

import { virtualAddresses } from '../facts/arp.ts';
import { valueOr } from '../facts.ts';
import type { Finding } from '../finding.ts';
import { isOwnAddress, linksBeside } from '../probe/reach.ts';
import { defineRule } from '../rule.ts';
import { count, isPacketEngine, listed } from '../services.ts';

export const vipMissing = defineRule({
  name: 'vip-missing',
  summary: 'the virtual address is not on this host',
  needs: ['daemon', 'host'],
  examine: ({ daemon, host }, all) => {
    const addresses = virtualAddresses(daemon.services);
    if (addresses.length === 0) return { notApplicable: 'no service has an address' };
    const missing = addresses.filter((address) => !isOwnAddress(host, address));
    if (missing.length === 0)
      return { fine: `${listed(addresses)} ${addresses.length === 1 ? 'is' : 'are'} on this host` };
    const engine = isPacketEngine(daemon);
    // The packet engine answers ARP by itself for what lies in a network of this host.
    const lost = engine ? missing.filter((address) => linksBeside(host, address).length === 0) : missing;
    const answers = valueOr(all.arp, null)?.probes ?? [];
    const used = (address: string) =>
      daemon.services.some(
        ({ spec, statistics }) => 'address' in spec.key && spec.key.address === address && statistics.connections > 0,
      );
    const found = lost
      .filter((address) => !engine && !answers.some((each) => each.address === address && each.answers.length > 0))
      .map((address): Finding => {
        const link = linksBeside(host, address)[0]?.name ?? host.links.find(({ loopback }) => !loopback)?.name ?? 'lo';
        const words = [`${address}/${address.includes(':') ? 128 : 32}`, 'dev', link];
        return {
          service: null,
          servers: [],
          what: `the virtual address ${address} is on no link of this host`,
          evidence: [
            { says: `none of ${count(host.links.length, 'link')} has ${address}`, shownBy: 'ip address' },
            {
              says: `the data plane (${daemon.status.capabilities.name}) takes packets only for addresses of this host`,
              shownBy: 'uipvs status',
            },
          ],
          why: 'nobody answers ARP for it and the kernel takes no packet for it: clients get no answer',
          cures: [
            {
              on: 'here',
              does: `puts it on ${link}`,
              commands: [['ip', 'address', 'add', ...words]],
              undo: [['ip', 'address', 'delete', ...words]],
            },
          ],
        };
      });
    if (found.length > 0) return { found };
    const quiet = lost.filter((address) => !used(address));
    if (engine && quiet.length > 0) {
      return {
        cannotTell: `${listed(quiet)} is in no network of this host and no client has come yet: whether a router sends it here is not to be seen from here`,
      };
    }
    return { fine: `${listed(missing)} is on no link, and the packet engine answers for it by itself` };
  },
});

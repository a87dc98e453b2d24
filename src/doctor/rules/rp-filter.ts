/** Strict reverse-path filtering on a link of this host where clients come by another link than the route back. */

import { effectiveSetting } from '../facts/sysctl.ts';
import { valueOr } from '../facts.ts';
import type { Finding } from '../finding.ts';
import { linksBeside } from '../probe/reach.ts';
import { defineRule, foundOr } from '../rule.ts';
import { count, listed } from '../services.ts';

const STRICT = 1;

export const rpFilter = defineRule({
  name: 'rp-filter',
  summary: 'strict reverse-path filtering drops packets of clients',
  needs: ['daemon', 'host', 'sysctl'],
  explains: ['return-path', 'server-silent'],
  examine: ({ daemon, host, sysctl }, all) => {
    const { name } = daemon.status.capabilities;
    if (name === 'packet engine') {
      return {
        notApplicable:
          'the packet engine takes packets before this host filters them; on servers of tunnels and direct routing run `uipvs doctor --server`',
      };
    }
    const traffic = valueOr(all.traffic, null);
    if (traffic === null) return { cannotTell: (all.traffic as { why: string }).why };
    const strict = host.links.filter(
      (link) => !link.loopback && effectiveSetting(sysctl, 'rp_filter', link.name) === STRICT,
    );
    if (strict.length === 0) return { fine: 'no link filters strictly' };
    const found = strict.flatMap((link): Finding[] => {
      const odd = traffic.clients.filter(({ client, link: came, acknowledgments }) => {
        if (came !== link.index || acknowledgments > 0) return false;
        const back = linksBeside(host, client)[0]?.name ?? defaultLink(host.routes, client);
        return back !== null && back !== link.name;
      });
      if (odd.length === 0) return [];
      const clients = [...new Set(odd.map(({ client }) => client))];
      return [
        {
          service: null,
          servers: [],
          what: `${link.name} filters by reverse path strictly, and clients come by it whose way back is another link`,
          evidence: [
            {
              says: `rp_filter of ${link.name} is 1`,
              shownBy: `sysctl net.ipv4.conf.all.rp_filter net.ipv4.conf.${link.name}.rp_filter`,
            },
            {
              says: `SYNs of ${listed(clients)} came by ${link.name}, none was acknowledged (${count(odd.length, 'connection')})`,
              shownBy: `ip route get ${clients[0]}`,
            },
          ],
          why: 'the kernel drops such packets without a word',
          cures: [
            {
              on: 'here',
              does: 'filters loosely: any way back will do',
              commands: [['sysctl', '-w', `net.ipv4.conf.${link.name}.rp_filter=2`]],
              undo: [
                [
                  'sysctl',
                  '-w',
                  `net.ipv4.conf.${link.name}.rp_filter=${sysctl[`net.ipv4.conf.${link.name}.rp_filter`] ?? '0'}`,
                ],
              ],
            },
          ],
        },
      ];
    });
    return foundOr(found, {
      fine: `${listed(strict.map((link) => link.name))} filter strictly, and clients come by the link that leads back to them`,
    });
  },
});

function defaultLink(
  routes: readonly { readonly destination: string; readonly gateway: string | null; readonly link: string | null }[],
  client: string,
): string | null {
  const six = client.includes(':');
  return (
    routes.find(({ destination, gateway }) => destination === 'default' && gateway?.includes(':') === six)?.link ?? null
  );
}

/**
 * Strict reverse-path filtering where clients come by another link than the way back to them: on servers of direct
 * routing, and on this host where the data plane leaves packets to the kernel. Source: RFC 3704, ip-sysctl.rst.
 */

import type { DaemonFacts } from '../facts/daemon.ts';
import type { DirectProbe } from '../facts/direct.ts';
import type { HostFacts } from '../facts/host.ts';
import { effectiveSetting } from '../facts/sysctl.ts';
import { valueOr } from '../facts.ts';
import type { Finding } from '../finding.ts';
import { isInside, linksBeside } from '../probe/reach.ts';
import { defineRule, foundOr } from '../rule.ts';
import { count, isPacketEngine, listed, serversOf, waitingClients } from '../services.ts';

const STRICT = 1;

export const rpFilter = defineRule({
  name: 'rp-filter',
  summary: 'strict reverse-path filtering drops packets of clients',
  needs: ['daemon', 'host', 'sysctl'],
  explains: ['return-path', 'server-silent'],
  examine: ({ daemon, host, sysctl }, all) => {
    const onServers = filteredByServers(daemon, host, valueOr(all.direct, []));
    if (onServers.length > 0) return { found: onServers };
    if (isPacketEngine(daemon)) {
      return {
        notApplicable:
          'the packet engine takes packets before this host filters them, and no server of direct routing drops those of waiting clients by where they come from',
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

/**
 * Servers of direct routing that answer for the virtual address when asked from their own network, and do not when the
 * same frame comes from the network of clients that wait: their way back to these is another link.
 */
function filteredByServers(daemon: DaemonFacts, host: HostFacts, probes: readonly DirectProbe[]): Finding[] {
  const guilty = serversOf(daemon).flatMap((server) => {
    const { key } = server.service.spec;
    const probe = probes.find(
      (each) => each.server === server.address && 'address' in key && each.virtual === key.address,
    );
    if (probe?.outcome !== 'answered') return [];
    const silent = probe.fromElsewhere.find(
      ({ source, outcome }) =>
        outcome === 'silent' && clientsBeside(host, source, waitingClients(daemon, server)).length > 0,
    );
    if (silent === undefined) return [];
    return [
      {
        server,
        probe,
        source: silent.source,
        clients: clientsBeside(host, silent.source, waitingClients(daemon, server)),
      },
    ];
  });
  return [...new Set(guilty.map(({ server }) => server.serviceName))].map((service): Finding => {
    const those = guilty.filter(({ server }) => server.serviceName === service);
    return {
      service,
      servers: those.map(({ server }) => server.address),
      what: `${listed(those.map(({ server }) => server.address))} ${those.length === 1 ? 'drops' : 'drop'} what clients of ${service} send, for where it comes from: strict reverse-path filtering`,
      evidence: those.flatMap(({ server, probe, source, clients }) => [
        {
          says: `a SYN for ${probe.virtual}:${probe.port} to ${server.address} (${probe.mac}) from an address of its own network was answered; the same from ${source} was not`,
          shownBy: `sysctl net.ipv4.conf.all.rp_filter; nstat -az TcpExtIPReversePathFilter   (on ${server.address})`,
        },
        {
          says: `${listed(clients)}, in the network of ${source}, ${clients.length === 1 ? 'waits' : 'wait'} for an answer of it (SYN_RECV)`,
          shownBy: 'uipvsadm -Lnc',
        },
      ]),
      why: 'the server reaches those clients by another link than their packets come by; with rp_filter 1 it takes such packets for forged and drops them without a word',
      cures: those.map(({ server }) => ({
        on: server.address,
        does: 'filters loosely: any way back will do (the larger of the values for all and for the link counts)',
        commands: [['sysctl', '-w', 'net.ipv4.conf.all.rp_filter=2']],
        undo: null,
      })),
    };
  });
}

function clientsBeside(host: HostFacts, source: string, clients: readonly string[]): string[] {
  const network = host.links.flatMap(({ addresses }) => addresses).find(({ address }) => address === source);
  return network === undefined ? [] : clients.filter((client) => isInside(client, source, network.prefixLength));
}

/** NAT servers whose default gateway is not this director: their answers to far clients go another way. */

import { virtualAddresses } from '../facts/arp.ts';
import type { HostFacts } from '../facts/host.ts';
import type { Cure, Finding } from '../finding.ts';
import { networkBeside, ownAddressBeside } from '../probe/reach.ts';
import { defineRule, foundOr } from '../rule.ts';
import {
  connectOf,
  count,
  isPlainNat,
  isTcp,
  listed,
  packetsDuringWatch,
  type Server,
  serversOf,
} from '../services.ts';
import { answersComeBack, returnOf } from './answers.ts';

export const gateway = defineRule({
  name: 'gateway',
  summary: 'NAT servers that do not have this director as their gateway',
  needs: ['before', 'daemon', 'host', 'connects', 'returns'],
  explains: ['return-path', 'server-silent'],
  examine: ({ before, daemon, host, connects, returns }) => {
    const servers = serversOf(daemon).filter((server) => isPlainNat(server) && isTcp(server));
    if (servers.length === 0)
      return { notApplicable: 'no TCP service is NAT without an address of its own for the servers' };
    const asked = servers.filter((server) => returnOf(returns, server) !== 'unknown');
    if (asked.length === 0) return { cannotTell: 'no server could be asked: none has a known MAC' };
    const wrong = asked.filter(
      (server) =>
        returnOf(returns, server) === 'elsewhere' &&
        // A server that does not answer anybody is the business of other rules.
        connectOf(connects, server)?.outcome === 'connected' &&
        // Clients may be reached by a route of their own.
        !(packetsDuringWatch(before, server).outPackets > 0 || answersComeBack(before, daemon, [], server) === 'yes'),
    );
    const names = [...new Set(wrong.map(({ serviceName }) => serviceName))];
    const found = names.map((service): Finding => {
      const those = wrong.filter((server) => server.serviceName === service);
      return {
        service,
        servers: those.map(({ address }) => address),
        what: `${listed(those.map(({ name }) => name))} of ${service} ${those.length === 1 ? 'does' : 'do'} not answer far clients by this director`,
        evidence: those.flatMap((server) => {
          const probe = returns.find(({ address, port }) => address === server.address && port === server.port);
          const sources = probe?.tried.map(({ source }) => source) ?? [];
          return [
            {
              says: `a SYN from ${listed(sources)} to ${server.name}: no answer came back by ${probe?.link ?? 'this host'}, though the server accepts a connection from this host itself (${connectOf(connects, server)?.tookMs} ms)`,
              shownBy: `ip route get ${sources[0] ?? '198.51.100.77'}   (on ${server.address})`,
            },
          ];
        }),
        why: 'the servers send their answers past the director, so clients hear from an address they never asked',
        cures: [
          ...those.map((server) => gatewayCure(host, virtualAddresses(daemon.services), server)),
          fullNatCure(host, those),
        ],
      };
    });
    return foundOr(found, { fine: `the answers of ${count(asked.length, 'server')} to far clients come by this host` });
  },
});

/** What the server has to be told. */
export function gatewayCure(host: HostFacts, virtuals: readonly string[], { address }: Server): Cure {
  const link = host.links.find((each) => ownAddressBeside(each, address, virtuals) !== null);
  const own = link === undefined ? null : ownAddressBeside(link, address, virtuals);
  const family = address.includes(':') ? ['-6'] : [];
  return {
    on: address,
    does: 'makes this director its gateway; keep it in the network configuration of that host',
    commands: [['ip', ...family, 'route', 'replace', 'default', 'via', own ?? 'ADDRESS_OF_THE_DIRECTOR']],
    undo: null,
  };
}

/** What helps whatever the servers' routes are. */
export function fullNatCure(host: HostFacts, servers: readonly Server[]): Cure {
  const networks = [...new Set(servers.map(({ address }) => networkBeside(host, address)))].sort();
  return {
    on: 'here',
    does: 'or full NAT, whatever their routes are: the servers see an address of this director, no longer those of the clients (`uipvsd --snat masquerade` does the same)',
    commands: [
      ...networks.map((network) => [
        network.includes(':') ? 'ip6tables' : 'iptables',
        ...['-t', 'nat', '-A', 'POSTROUTING', '-d', network, '-j', 'MASQUERADE'],
      ]),
      ['uipvs', 'sysctl', '-w', 'net.ipv4.vs.conntrack=1'],
    ],
    undo: null,
  };
}

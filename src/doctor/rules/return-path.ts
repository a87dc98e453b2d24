/** NAT servers answer clients directly, past the director: SYNs go in, no answer comes out. */
import { virtualAddresses } from '../facts/arp.ts';
import type { DaemonFacts } from '../facts/daemon.ts';
import type { HostFacts } from '../facts/host.ts';
import { valueOr } from '../facts.ts';
import type { Finding } from '../finding.ts';
import { isInside, linksBeside } from '../probe/reach.ts';
import { defineRule } from '../rule.ts';
import {
  connectionStates,
  count,
  isPlainNat,
  isTcp,
  listed,
  packetsDuringWatch,
  type Server,
  serversOf,
  waitingClients,
} from '../services.ts';
import { answersComeBack, returnOf } from './answers.ts';
import { fullNatCure, gatewayCure } from './gateway.ts';

export const returnPath = defineRule({
  name: 'return-path',
  summary: 'answers of NAT servers go to the clients past this director',
  needs: ['before', 'daemon', 'host'],
  explains: ['server-silent'],
  examine: ({ before, daemon, host }, all) => {
    const servers = serversOf(daemon).filter((server) => isPlainNat(server) && isTcp(server));
    if (servers.length === 0)
      return { notApplicable: 'no TCP service is NAT without an address of its own for the servers' };
    const returns = valueOr(all.returns, []);
    const traffic = valueOr(all.traffic, null);
    const silent = servers.filter((server) => answersComeBack(before, daemon, [], server) === 'no');
    const lost = silent.filter(
      (server) => returnOf(returns, server) !== 'by-us' || nearClients(daemon, host, server).length > 0,
    );
    const names = [...new Set(lost.map(({ serviceName }) => serviceName))];
    const found = names.map((service): Finding => {
      const those = lost.filter((server) => server.serviceName === service);
      const near = [...new Set(those.flatMap((server) => nearClients(daemon, host, server)))];
      const { key } = those[0]!.service.spec;
      const flows = traffic?.clients.filter(({ virtual }) => 'address' in key && virtual === key.address) ?? [];
      const syns = flows.reduce((sum, flow) => sum + flow.syns, 0);
      const openings = flows.reduce((sum, flow) => sum + flow.openings, 0);
      const synAcks = those
        .flatMap(
          ({ address, port }) =>
            traffic?.servers.filter((each) => each.server === address && each.serverPort === port) ?? [],
        )
        .reduce((sum, flow) => sum + flow.synAcks, 0);
      return {
        service,
        servers: those.map(({ address }) => address),
        what: `the servers of ${service} get the clients' packets, and their answers do not come back by this director`,
        evidence: [
          ...those.map((server) => {
            const { inPackets, outPackets } = server.destination.statistics;
            const during = packetsDuringWatch(before, server);
            const waiting = connectionStates(daemon, server)['SYN_RECV'] ?? 0;
            return {
              says: `${server.name}: ${count(inPackets, 'packet')} in, ${outPackets} out (during the watch ${during.inPackets} in, ${during.outPackets} out); ${count(waiting, 'connection')} in SYN_RECV`,
              shownBy: 'uipvsadm -Ln --stats; uipvsadm -Lnc',
            };
          }),
          ...(syns > 0
            ? [
                {
                  says: `${count(syns, 'SYN')} of ${count(openings, 'connection')} came in for the service during ${Math.round(traffic?.seconds ?? 0)} s, ${synAcks} answers of its servers came by`,
                  shownBy: `tcpdump -n 'tcp[tcpflags] & tcp-syn != 0'`,
                },
              ]
            : []),
          ...(near.length > 0
            ? [
                {
                  says: `${listed(near)} ${near.length === 1 ? 'is' : 'are'} in the servers' own network, so a server reaches the client without any gateway`,
                  shownBy: `ip route get ${near[0]}   (on ${those[0]!.address})`,
                },
              ]
            : []),
        ],
        why: 'the client asked the virtual address and hears from a real one: it answers with a reset, and every connection fails',
        cures:
          near.length > 0
            ? [fullNatCure(host, those)]
            : [
                ...those.map((server) => gatewayCure(host, virtualAddresses(daemon.services), server)),
                fullNatCure(host, those),
              ],
      };
    });
    if (found.length > 0) return { found };
    const unknown = servers.filter((server) => answersComeBack(before, daemon, returns, server) === 'unknown');
    if (unknown.length === servers.length) {
      return {
        cannotTell: 'no client has come lately, and the servers could not be asked: run it while a client tries',
      };
    }
    return { fine: `answers of ${count(servers.length - unknown.length, 'server')} come back by this host` };
  },
});

/** Clients that wait for their first answer and live in the network of the server. */
function nearClients(daemon: DaemonFacts, host: HostFacts, server: Server): string[] {
  const networks = linksBeside(host, server.address).flatMap(({ addresses }) =>
    addresses.filter(({ address, prefixLength }) => isInside(server.address, address, prefixLength)),
  );
  return waitingClients(daemon, server).filter((client) =>
    networks.some(({ address, prefixLength }) => isInside(client, address, prefixLength)),
  );
}

/** Packets that fit the client's network and not the tunnel: MTU and MSS. Sources: RFC 2003, RFC 1191, RFC 6691. */
import { formatEndpoint } from '../../model/service.ts';
import { type Facts, valueOr } from '../facts.ts';
import type { Cure, Finding } from '../finding.ts';
import { defineRule, foundOr } from '../rule.ts';
import { count, listed, type Server, serversOf } from '../services.ts';

/** What a tunnel puts before a packet: the outer IPv4 header, and GRE (4) or UDP and GUE (12). IPv6 has 20 more. */
const HEADERS: Readonly<Record<string, number>> = { ipip: 20, gre: 24, gue: 32 };
/** IP and TCP headers below the segment. */
const TCP_IP = 40;
/** A client that is told sends less at once; on a busy machine it may take a moment. */
const SENT_AGAIN_MIN = 4;
const STUCK_SECONDS_MIN = 1.5;

export const tunnelMtu = defineRule({
  name: 'tunnel-mtu',
  summary: 'packets too large for the tunnel get lost',
  needs: ['before', 'daemon', 'host'],
  explains: ['server-silent'],
  examine: ({ before, daemon, host }, all) => {
    const servers = serversOf(daemon).filter(({ destination }) => destination.spec.method === 'tunnel');
    if (servers.length === 0) return { notApplicable: 'no service has a server behind a tunnel' };
    const paths = valueOr(all.paths, []);
    const found: Finding[] = [];
    const narrow = servers.flatMap((server) => {
      const path = paths.find(({ address }) => address === server.address);
      return path !== undefined && path.smallestLost !== null && path.largestAnswered > 0 ? [{ server, path }] : [];
    });
    for (const service of new Set(narrow.map(({ server }) => server.serviceName))) {
      const those = narrow.filter(({ server }) => server.serviceName === service);
      const segment = Math.min(...those.map(({ server, path }) => path.largestAnswered - overhead(server) - TCP_IP));
      found.push({
        service,
        servers: those.map(({ server }) => server.address),
        what: `the way to ${listed(those.map(({ server }) => server.address))} carries smaller packets than the link says, and what is larger is lost`,
        evidence: those.map(({ server, path }) => ({
          says: `of IP packets that may not be cut, ${server.address} answered one of ${path.largestAnswered} bytes and none of ${path.smallestLost}; the MTU of ${path.link} is ${path.linkMtu}`,
          shownBy: `ping -M do -c 2 -s ${(path.smallestLost ?? 0) - 28} ${server.address}`,
        })),
        why: `connections stand and then hang with the first full packet: a tunnel adds ${listed(those.map(({ server }) => `${overhead(server)} bytes`))}, and nobody tells the client to send less`,
        cures: those.map(({ server }) => announceLess(server, segment)),
      });
    }
    const tooLarge = oversized(
      all,
      before.status.counters?.drops['mtu'] ?? 0,
      daemon.status.counters?.drops['mtu'] ?? 0,
      servers,
      host.links,
    );
    if (found.length === 0) found.push(...tooLarge);
    if (found.length > 0) return foundOr(found, { fine: '' });
    const asked = paths.filter(({ largestAnswered }) => largestAnswered > 0);
    if (asked.length === 0) {
      return { cannotTell: all.paths.known ? 'the servers of tunnels do not answer echoes' : all.paths.why };
    }
    return { fine: `${count(asked.length, 'server')} of tunnels answer whole packets as large as the link takes` };
  },
});

function overhead({ address, destination }: Server): number {
  return (HEADERS[destination.spec.tunnel.type] ?? 20) + (address.includes(':') ? 20 : 0);
}

/** A client that sends the same large segment again and again, while the director drops what is too large. */
function oversized(
  all: Facts,
  dropsBefore: number,
  drops: number,
  servers: readonly Server[],
  links: readonly { readonly mtu: number; readonly loopback: boolean }[],
): Finding[] {
  const traffic = valueOr(all.traffic, null);
  if (traffic === null || drops - dropsBefore < SENT_AGAIN_MIN) return [];
  const mtu = Math.min(...links.filter(({ loopback }) => !loopback).map((link) => link.mtu));
  return servers.slice(0, 1).flatMap((server): Finding[] => {
    const { key } = server.service.spec;
    const room = mtu - overhead(server);
    const stuck = traffic.clients.filter(
      ({ virtual, mostRepeated, fins }) =>
        fins === 0 &&
        mostRepeated.seconds >= STUCK_SECONDS_MIN &&
        'address' in key &&
        virtual === key.address &&
        mostRepeated.times >= SENT_AGAIN_MIN &&
        mostRepeated.packetBytes > room,
    );
    if (stuck.length === 0) return [];
    return [
      {
        service: server.serviceName,
        servers: servers.map(({ address }) => address),
        what: `clients of ${server.serviceName} send packets too large for the tunnel and do not hear that they are`,
        evidence: [
          ...stuck.slice(0, 3).map(({ client, clientPort, mostRepeated }) => ({
            says: `${formatEndpoint(client, clientPort)} sent the same segment ${mostRepeated.times} times, in packets of ${mostRepeated.packetBytes} bytes; ${room} fit`,
            shownBy: `tcpdump -n 'greater ${room}'`,
          })),
          {
            says: `${count(drops - dropsBefore, 'packet')} too large during the watch; each was answered by "fragmentation needed"`,
            shownBy: 'uipvs status',
          },
        ],
        why: 'a filter on the way drops the ICMP messages by which the client would learn to send less: its connection hangs',
        cures: servers.map((each) => announceLess(each, room - TCP_IP)),
      },
    ];
  });
}

function announceLess({ address }: Server, segment: number): Cure {
  return {
    on: address,
    does: `lets the server announce segments of ${segment} bytes to its clients`,
    commands: [
      ['nft', 'add', 'table', 'inet', 'uipvs-mss'],
      ['nft', 'add chain inet uipvs-mss out { type route hook output priority mangle; }'],
      ['nft', `add rule inet uipvs-mss out tcp flags & (syn | rst) == syn tcp option maxseg size set ${segment}`],
    ],
    undo: null,
  };
}

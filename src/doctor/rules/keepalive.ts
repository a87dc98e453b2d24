/** Connections that idle longer than the director remembers them: keepalive or pause of the client against the timeout. */
import { formatEndpoint } from '../../model/service.ts';
import type { ClientFlow } from '../facts/traffic.ts';
import type { Finding } from '../finding.ts';
import { defineRule, foundOr } from '../rule.ts';
import { count, listed } from '../services.ts';

/** net.ipv4.tcp_keepalive_time of a client that nobody has changed. */
const KEEPALIVE_SECONDS = 7_200;
const TCP_SYN = 0x02;

export const keepalive = defineRule({
  name: 'keepalive',
  summary: 'clients idle longer than the TCP timeout, and their connections are forgotten',
  needs: ['before', 'daemon', 'traffic'],
  examine: ({ before, daemon, traffic }) => {
    const { tcpSeconds, tcpFinSeconds, udpSeconds } = daemon.timeouts;
    if (daemon.status.daemon.uptimeSeconds <= tcpSeconds) {
      return {
        notApplicable: `uipvsd runs for ${daemon.status.daemon.uptimeSeconds} s, and the TCP timeout is ${tcpSeconds} s: nothing can have timed out yet`,
      };
    }
    const known = new Set(
      [...before.connections, ...daemon.connections].map(({ client }) => formatEndpoint(client.address, client.port)),
    );
    const orphans = traffic.clients.filter(
      (flow) =>
        (isMidStream(flow) && !known.has(formatEndpoint(flow.client, flow.clientPort))) || outlived(flow, tcpSeconds),
    );
    if (before.connectionsLeftOut || daemon.connectionsLeftOut) {
      return { cannotTell: 'there are more connections than are read here' };
    }
    const services = [
      ...new Set(orphans.map(({ virtual, virtualPort }) => `tcp ${formatEndpoint(virtual, virtualPort)}`)),
    ];
    const found = services.map((service): Finding => {
      const those = orphans.filter(
        ({ virtual, virtualPort }) => service === `tcp ${formatEndpoint(virtual, virtualPort)}`,
      );
      const segments = those.reduce((sum, flow) => sum + flow.acknowledgments, 0);
      const forgotten = grown(before.status.counters, daemon.status.counters);
      return {
        service,
        servers: [],
        what: `clients of ${service} go on with connections that the director has forgotten after ${tcpSeconds} s without a packet`,
        evidence: [
          {
            says: `${count(segments, 'segment')} of ${count(those.length, 'connection')} that the table has forgotten: ${listed(those.map(({ client, clientPort }) => formatEndpoint(client, clientPort)))}`,
            shownBy: 'uipvsadm -Lnc',
          },
          ...those
            .filter(({ silenceSeconds }) => silenceSeconds > tcpSeconds)
            .slice(0, 3)
            .map(({ client, clientPort, silenceSeconds, mostRepeated }) => ({
              says: `${formatEndpoint(client, clientPort)} went on after ${silenceSeconds.toFixed(1)} s of silence and sent the same segment ${mostRepeated.times} times`,
              shownBy: `tcpdump -n host ${client} and port ${clientPort}`,
            })),
          { says: `the timeout of idle TCP connections is ${tcpSeconds} s`, shownBy: 'uipvsadm -L --timeout' },
          ...(forgotten > 0
            ? [{ says: `"no-connection" grew by ${forgotten} during the watch`, shownBy: 'uipvs status' }]
            : []),
        ],
        why: `the client believes its connection stands and hangs or is reset at its next word; Linux sends a keepalive only after ${KEEPALIVE_SECONDS} s, and only when the program asks for it`,
        cures: [
          {
            on: 'here',
            does: 'remembers idle connections longer than the clients’ keepalive',
            commands: [['uipvsadm', '--set', String(KEEPALIVE_SECONDS + 300), '0', '0']],
            undo: [['uipvsadm', '--set', String(tcpSeconds), String(tcpFinSeconds), String(udpSeconds)]],
          },
          {
            on: those[0]!.client,
            does: 'instead: sends keepalives sooner, for programs that ask for them (SO_KEEPALIVE)',
            commands: [['sysctl', '-w', `net.ipv4.tcp_keepalive_time=${Math.max(1, Math.floor(tcpSeconds / 2))}`]],
            undo: null,
          },
        ],
      };
    });
    return foundOr(found, {
      fine: `${count(traffic.clients.length, 'client connection')} seen in ${Math.round(traffic.seconds)} s, none that had been forgotten`,
    });
  },
});

/** Not the end of one, which may come late. */
function isMidStream({ firstFlags, syns, acknowledgments, fins, resets }: ClientFlow): boolean {
  return syns === 0 && (firstFlags & TCP_SYN) === 0 && acknowledgments > 0 && fins === 0 && resets === 0;
}

/** It went on with data after a silence longer than the timeout, and not with success. */
function outlived({ silenceSeconds, mostRepeated, resets, fins }: ClientFlow, tcpSeconds: number): boolean {
  return silenceSeconds > tcpSeconds && (mostRepeated.times > 1 || resets > 0 || fins === 0);
}

type Counters = {
  readonly drops: Readonly<Record<string, number>>;
  readonly passes: Readonly<Record<string, number>>;
} | null;
function grown(before: Counters, after: Counters): number {
  const total = (counters: Counters) =>
    (counters?.drops['no-connection'] ?? 0) + (counters?.passes['no-connection'] ?? 0);
  return total(after) - total(before);
}

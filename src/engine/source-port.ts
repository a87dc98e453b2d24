/**
 * Full NAT: the director's own port towards a server. A pair (our address and port, server address and port) is
 * never used by two live connections. The client's port is kept where it may be; ports of the host's own
 * sockets (net.ipv4.ip_local_port_range) are left alone, since the host does not know of ours.
 */
import type { Destination } from '../balance/destination.ts';
import type { PortRange } from '../model/source-nat-rule.ts';
import type { Endpoints } from '../wire/endpoints.ts';
import { PROTOCOL_TCP } from '../wire/ipv4.ts';
import type { AddressWords } from '../wire/neighbor-discovery.ts';
import { NO_ROW, ROW_SHIFT, STATE } from './connection.ts';
import type { EngineContext } from './context.ts';
import { removeConnection } from './lifetime.ts';
import { TCP_CLOSE, TCP_TIME_WAIT } from './protocols/tcp-states.ts';

const ANY_PORT: PortRange = [1024, 65_535];
/** Ports looked at before giving up: bounds the work a flood can cause. */
const ATTEMPTS = 512;
/** Of several shards each passes the ports of the others by, which costs little. */
const SHARD_ATTEMPTS = 8 * ATTEMPTS;

/** What a rule of the host wants of the port. */
export interface PortWish {
  readonly ports: PortRange | null;
  readonly random: boolean;
}

/** The chosen port, or 0 when none was found. `wish`: `null` for none. */
export function chooseSourcePort(
  context: EngineContext,
  protocol: number,
  local: AddressWords,
  server: Destination,
  serverPort: number,
  clientPort: number,
  wish: PortWish | null,
): number {
  const [low, high] = context.network.localPortRange;
  const [first, last] = wish?.ports ?? ANY_PORT;
  // The ports that may be used, below and above those of the host.
  const below = Math.max(0, Math.min(low - 1, last) - first + 1);
  const aboveFirst = Math.max(high + 1, first);
  const above = Math.max(0, last - aboveFirst + 1);
  const choices = below + above;
  if (choices === 0) return 0;
  const { connections, shard } = context;
  const isHosts = clientPort >= low && clientPort <= high;
  const mayKeep = wish?.random !== true && clientPort >= first && clientPort <= last && !isHosts;
  let index = mayKeep
    ? clientPort < low
      ? clientPort - first
      : below + clientPort - aboveFirst
    : context.random.below(choices);
  let closed = NO_ROW;
  let closedPort = 0;
  const attempts = Math.min(shard === null ? ATTEMPTS : SHARD_ATTEMPTS, choices);
  for (let attempt = 0; attempt < attempts; attempt++) {
    const port = index < below ? first + index : aboveFirst + index - below;
    const isOurs = shard === null || shard.ownsPort(port);
    const row = isOurs ? connections.findLocal(answerTo(protocol, local, port, server, serverPort)) : NO_ROW;
    if (isOurs && row === NO_ROW) return port;
    if (row !== NO_ROW && closed === NO_ROW && protocol === PROTOCOL_TCP) {
      const state = connections.rows[(row << ROW_SHIFT) + STATE] as number;
      if (state === TCP_TIME_WAIT || state === TCP_CLOSE) {
        closed = row;
        closedPort = port;
      }
    }
    if (attempt === 0) index = context.random.below(choices);
    else index = index + 1 === choices ? 0 : index + 1;
  }
  if (closed === NO_ROW) return 0;
  // Both sides have closed: the pair is dead, only its timer still runs.
  removeConnection(context, closed);
  return closedPort;
}

/** What the server would send back; one object, filled anew each time. */
const answer = {
  ipv6: false,
  protocol: 0,
  source0: 0,
  source1: 0,
  source2: 0,
  source3: 0,
  sourcePort: 0,
  destination0: 0,
  destination1: 0,
  destination2: 0,
  destination3: 0,
  destinationPort: 0,
};

function answerTo(
  protocol: number,
  local: AddressWords,
  localPort: number,
  server: Destination,
  serverPort: number,
): Endpoints {
  answer.ipv6 = server.ipv6;
  answer.protocol = protocol;
  answer.source0 = server.address0;
  answer.source1 = server.address1;
  answer.source2 = server.address2;
  answer.source3 = server.address3;
  answer.sourcePort = serverPort;
  answer.destination0 = local.address0;
  answer.destination1 = local.address1;
  answer.destination2 = local.address2;
  answer.destination3 = local.address3;
  answer.destinationPort = localPort;
  return answer;
}

/** Step 7: rewrite in place by the connection's forwarding method and choose the egress. */
import {
  ConnectionFlag,
  DESTINATION,
  FLAGS,
  KIND,
  KIND_IPV6,
  METHOD_BYPASS,
  METHOD_DIRECT,
  METHOD_LOCAL,
  METHOD_MASQUERADE,
  METHOD_TUNNEL,
  NO_ROW,
  ROW_SHIFT,
  SERVER0,
  SERVER3,
} from './connection.ts';
import type { EngineContext } from './context.ts';
import { give } from './dissect.ts';
import type { Egress } from './egress.ts';
import { directInbound } from './forwarding/direct.ts';
import { masqueradeInbound } from './forwarding/masquerade.ts';
import { tunnelInbound } from './forwarding/tunnel.ts';
import type { Packet } from './packet.ts';
import { sendToHost } from './send.ts';
import { DROP, REASON, type Verdict } from './verdict.ts';

export function forwardInbound(context: EngineContext, row: number, packet: Packet): Verdict {
  switch (methodOf(context, row)) {
    case METHOD_MASQUERADE:
      return masqueradeInbound(context, row, packet, egressOfServer(context, row));
    case METHOD_LOCAL:
      return sendToHost(context, packet);
    case METHOD_BYPASS:
      return bypassInbound(context, packet, false);
    default:
      return forwardUnchanged(context, row, packet, false);
  }
}

/** Direct routing and tunnels: what is sent is the packet itself. `isError`: an ICMP error about the connection. */
export function forwardUnchanged(context: EngineContext, row: number, packet: Packet, isError: boolean): Verdict {
  switch (methodOf(context, row)) {
    case METHOD_DIRECT:
      return directInbound(context, packet, egressOfServer(context, row), isError);
    case METHOD_TUNNEL:
      return tunnelInbound(context, row, packet, egressOfServer(context, row), isError);
    case METHOD_LOCAL:
      return sendToHost(context, packet);
    case METHOD_BYPASS:
      return bypassInbound(context, packet, isError);
    default:
      return give(packet, DROP, REASON.method);
  }
}

/** Goes where the packet wanted to go anyway. */
function bypassInbound(context: EngineContext, packet: Packet, isError: boolean): Verdict {
  const { ipv6, destination0, destination1, destination2, destination3 } = packet;
  const egress = context.egresses.towards(context, ipv6, destination0, destination1, destination2, destination3);
  if (egress.kind === 'local') return give(packet, DROP, REASON['local-refused']);
  return directInbound(context, packet, egress, isError);
}

export function methodOf(context: EngineContext, row: number): number {
  return (context.connections.rows[(row << ROW_SHIFT) + FLAGS] as number) & ConnectionFlag.METHOD_MASK;
}

export function egressOfServer(context: EngineContext, row: number): Egress {
  const { rows } = context.connections;
  const base = row << ROW_SHIFT;
  const destination = rows[base + DESTINATION] as number;
  if (destination !== NO_ROW) {
    return context.egresses.ofDestination(context, context.services.destinationAt(destination));
  }
  return context.egresses.towards(
    context,
    ((rows[base + KIND] as number) & KIND_IPV6) !== 0,
    rows[base + SERVER0] as number,
    rows[base + SERVER0 + 1] as number,
    rows[base + SERVER0 + 2] as number,
    rows[base + SERVER3] as number,
  );
}

/** Step 7: rewrite in place by the connection's forwarding method and choose the egress. */
import {
  ConnectionFlag,
  DESTINATION,
  FLAGS,
  METHOD_DIRECT,
  METHOD_LOCAL,
  METHOD_MASQUERADE,
  NO_ROW,
  ROW_SHIFT,
  SERVER3,
} from './connection.ts';
import type { EngineContext } from './context.ts';
import { give } from './dissect.ts';
import type { Egress } from './egress.ts';
import { directInbound } from './forwarding/direct.ts';
import { masqueradeInbound, masqueradeOutbound } from './forwarding/masquerade.ts';
import type { Packet } from './packet.ts';
import { sendToHost } from './send.ts';
import { DROP, PASS, REASON, type Verdict } from './verdict.ts';

export function forwardInbound(context: EngineContext, row: number, packet: Packet): Verdict {
  const egress = egressOfServer(context, row);
  switch (methodOf(context, row)) {
    case METHOD_MASQUERADE:
      return masqueradeInbound(context, row, packet, egress);
    case METHOD_DIRECT:
      return directInbound(context, packet, egress, false);
    case METHOD_LOCAL:
      return sendToHost(context, packet);
    default:
      return give(packet, DROP, REASON.method);
  }
}

/** Only NAT changes replies; those of other methods go on as if we were not there. */
export function forwardOutbound(context: EngineContext, row: number, packet: Packet): Verdict {
  if (methodOf(context, row) === METHOD_MASQUERADE) return masqueradeOutbound(context, row, packet);
  return give(packet, PASS, REASON.none);
}

export function methodOf(context: EngineContext, row: number): number {
  return (context.connections.rows[(row << ROW_SHIFT) + FLAGS] as number) & ConnectionFlag.METHOD_MASK;
}

export function egressOfServer(context: EngineContext, row: number): Egress {
  const { rows } = context.connections;
  const base = row << ROW_SHIFT;
  const destination = rows[base + DESTINATION] as number;
  const address = rows[base + SERVER3] as number;
  return destination === NO_ROW
    ? context.egresses.towards(context, address)
    : context.egresses.ofDestination(context, destination, address);
}

/** Which connections may be handed over to a fast path: those of whose next packets nothing is open any more. */
import type { Endpoints } from '../wire/endpoints.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/ipv4.ts';
import {
  CONTROLLED,
  ConnectionFlag,
  DESTINATION,
  FLAGS,
  KIND,
  KIND_IPV6,
  METHOD_DIRECT,
  METHOD_MASQUERADE,
  NO_ROW,
  ROW_SHIFT,
  STATE,
  TIMEOUT_TICKS,
} from './connection.ts';
import type { EngineContext } from './context.ts';
import type { Egress } from './egress.ts';
import { egressOfServer } from './forward.ts';
import { egressOfClient } from './forwarding/masquerade.ts';
import { TIMER_TICKS_MAX } from './lifetime.ts';
import { type EngineLink, isLoopback } from './network.ts';
import type { Packet } from './packet.ts';
import { TCP_ESTABLISHED } from './protocols/tcp-states.ts';

/** The ways out that packets of a connection take. */
export interface Ways {
  readonly server: Egress;
  /** `null`: replies do not come this way, or none has come yet. */
  readonly client: Egress | null;
}

/** With one of these a packet means more to its connection than its ends tell, or not all of its ends are known. */
const KEPT_FLAGS =
  ConnectionFlag.HAS_HELPER |
  ConnectionFlag.NO_CLIENT_PORT |
  ConnectionFlag.ONE_PACKET |
  ConnectionFlag.TEMPLATE |
  ConnectionFlag.IN_SEQUENCE |
  ConnectionFlag.OUT_SEQUENCE |
  ConnectionFlag.LOCAL_SERVER;

/** The ways of the connection that `packet` of its client was just sent on for; `null`: it is not to be handed over. */
export function waysToHandOver(context: EngineContext, row: number, packet: Packet): Ways | null {
  if (!nobodyLooks(context) || !isSettled(context, row, packet)) return null;
  const { source0, source1, source2, source3 } = packet;
  if (isLoopback(packet.ipv6, source0, source1, source2, source3)) return null;
  const ingress = context.network.link(packet.ingress);
  if (ingress === null || !isOutside(context, ingress)) return null;
  const server = egressOfServer(context, row);
  if (!leadsOutside(context, server)) return null;
  const flags = context.connections.rows[(row << ROW_SHIFT) + FLAGS] as number;
  if ((flags & ConnectionFlag.METHOD_MASK) === METHOD_DIRECT) return { server, client: null };
  const client = egressOfClient(context, row, packet.ipv6);
  if (leadsOutside(context, client)) return { server, client };
  return packet.protocol === PROTOCOL_UDP && isUnasked(context, client) ? { server, client: null } : null;
}

/** Nobody was answered yet, so nobody was asked for the MAC; whoever sends in one direction alone may never be. */
function isUnasked(context: EngineContext, { neighbor }: Egress): boolean {
  return neighbor !== null && !neighbor.resolved && isOutside(context, neighbor.link);
}

/** Packets that come as `reply` are found to be those of the connection and of no other. */
export function belongsTo(context: EngineContext, row: number, reply: Endpoints): boolean {
  const { connections } = context;
  if (connections.findInbound(reply) !== NO_ROW) return false;
  const found = connections.findOutbound(reply);
  return (found === NO_ROW ? connections.findLocal(reply) : found) === row;
}

/** No one else follows single packets: no reader, no backup, no defence that looks for silent ones. */
function nobodyLooks(context: EngineContext): boolean {
  return (
    context.observation === null &&
    context.sync.master === null &&
    context.sync.backupDaemon === null &&
    !context.paused &&
    context.settings.drop_entry === 0
  );
}

/** The same becomes of every plain packet of the connection, and it changes nothing but counters and the timer. */
function isSettled(context: EngineContext, row: number, packet: Packet): boolean {
  const { connections, services } = context;
  const { rows } = connections;
  const base = row << ROW_SHIFT;
  const flags = rows[base + FLAGS] as number;
  const kind = rows[base + KIND] as number;
  const method = flags & ConnectionFlag.METHOD_MASK;
  if ((flags & KEPT_FLAGS) !== 0 || (rows[base + CONTROLLED] as number) > 0) return false;
  if (method !== METHOD_MASQUERADE && method !== METHOD_DIRECT) return false;
  // Replies by NAT end NO_OUTPUT; only a connection that a backup took over begins with it.
  if (method === METHOD_MASQUERADE && (flags & ConnectionFlag.NO_OUTPUT) !== 0) return false;
  if (((flags & ConnectionFlag.SERVER_IPV6) !== 0) !== ((kind & KIND_IPV6) !== 0)) return false;
  const protocol = kind & 0xff;
  if (protocol === PROTOCOL_TCP) {
    if (rows[base + STATE] !== TCP_ESTABLISHED) return false;
  } else if (protocol === PROTOCOL_UDP) {
    // A persistence engine may read in any datagram that a server begins something new.
    if (packet.ipsec || services.usesPersistenceEngines) return false;
  } else {
    return false;
  }
  const timeout = rows[base + TIMEOUT_TICKS] as number;
  if (timeout < 0 || timeout > TIMER_TICKS_MAX) return false;
  const index = rows[base + DESTINATION] as number;
  return index !== NO_ROW && services.destinationAt(index).available;
}

function leadsOutside(context: EngineContext, { kind, neighbor, mtu }: Egress): boolean {
  if (kind !== 'remote' || neighbor === null) return false;
  return neighbor.resolved && mtu > 0 && isOutside(context, neighbor.link);
}

function isOutside({ network }: EngineContext, link: EngineLink): boolean {
  return !link.loopback && link.index !== network.cable?.link.index;
}

/** Makes rows: connections and templates, bound to a destination, with the source of full NAT where it is wanted. */
import type { Destination } from '../balance/destination.ts';
import type { VirtualService } from '../balance/virtual-service.ts';
import type { Endpoints } from '../wire/endpoints.ts';
import { findHelper } from './apps/index.ts';
import {
  CLIENT_AND_VIRTUAL_PORT,
  CLIENT0,
  CLIENT3,
  CONTROLLED,
  CONTROLLER,
  ConnectionFlag,
  DESTINATION,
  DESTINATION_AND_LOCAL_PORT,
  FLAGS,
  KIND,
  KIND_IPV6,
  LOCAL3,
  METHOD_BYPASS,
  METHOD_DIRECT,
  METHOD_LOCAL,
  METHOD_MASQUERADE,
  METHOD_TUNNEL,
  NO_ROW,
  ROW_SHIFT,
  SERVER0,
  SERVER3,
  SERVICE_MARK,
  SYNC_END_TICK,
  TIMEOUT_TICKS,
  VIRTUAL0,
  VIRTUAL3,
} from './connection.ts';
import type { EngineContext } from './context.ts';
import type { Egress } from './egress.ts';
import { NO_ADDRESS } from './network.ts';
import { asksHost, chooseByHostRules, sourceByRule } from './source-nat.ts';
import { chooseSourcePort } from './source-port.ts';
import { firstSyncEnd } from './sync-needed.ts';
import { REASON } from './verdict.ts';

export const METHOD_NUMBER = {
  masquerade: METHOD_MASQUERADE,
  local: METHOD_LOCAL,
  tunnel: METHOD_TUNNEL,
  direct: METHOD_DIRECT,
  bypass: METHOD_BYPASS,
} as const;

/** How long a connection lives that no packet has moved out of its first state. */
const FIRST_TIMEOUT_TICKS = 3 * 250;

/** Why the last `createConnection` gave no row: a number of `REASON`. */
export const creation: { refusedFor: number } = { refusedFor: 0 };

/**
 * A new connection of `ends` (the client is its source) to a destination, in the table unless it is for one packet
 * only. NO_ROW: refused, see `creation`. `mark` is that of the packet, for the host's source NAT rules; `null`: they
 * are not asked.
 */
export function createConnection(
  context: EngineContext,
  ends: Endpoints,
  service: VirtualService,
  destination: Destination,
  destinationPort: number,
  onePacket: boolean,
  controller: number,
  mark: number | null,
): number {
  const { connections } = context;
  let flags = flagsOf(context, destination) | (onePacket ? ConnectionFlag.ONE_PACKET : 0);
  let local = NO_ADDRESS;
  let localPort = 0;
  const egress = context.egresses.ofDestination(context, destination);
  if (egress.kind === 'local') flags |= ConnectionFlag.LOCAL_SERVER;
  const rule =
    mark !== null && asksHost(context, service, destination, egress)
      ? chooseByHostRules(context, ends, destination, destinationPort, egress, mark)
      : null;
  if (rule !== null || (destination.method === 'masquerade' && wantsSourceNat(context, ends, service, egress))) {
    local =
      rule === null ? sourceOf(context, service, egress, ends.ipv6) : sourceByRule(rule, ends, destination, egress);
    if ((local.address0 | local.address1 | local.address2 | local.address3) === 0) {
      creation.refusedFor = REASON['no-source-address'];
      return NO_ROW;
    }
    localPort = chooseSourcePort(context, ends.protocol, local, destination, destinationPort, ends.sourcePort, rule);
    if (localPort === 0) {
      creation.refusedFor = REASON['ports-used-up'];
      return NO_ROW;
    }
    flags |= ConnectionFlag.FULL_NAT;
  }
  const row = connections.allocate();
  if (row === NO_ROW) {
    creation.refusedFor = REASON['table-full'];
    return NO_ROW;
  }
  if (rule !== null) context.sourceNat.count(rule.rule);
  const { rows } = connections;
  const base = row << ROW_SHIFT;
  fillEnds(rows, base, ends);
  fillServer(rows, base, destination, destinationPort, localPort);
  if (destination.method === 'masquerade' && findHelper(ends.protocol, ends.destinationPort) !== null) {
    flags |= ConnectionFlag.HAS_HELPER | ConnectionFlag.CONNTRACK;
    context.helpers.of(row);
  }
  rows[base + FLAGS] = flags;
  rows[base + SYNC_END_TICK] = firstSyncEnd(context.nowTick);
  rows[base + TIMEOUT_TICKS] = FIRST_TIMEOUT_TICKS;
  rows[base + LOCAL3] = local.address3;
  rows[base + SERVICE_MARK] = service.mark | 0;
  if ((flags & ConnectionFlag.FULL_NAT) !== 0 && ends.ipv6) {
    connections.setLocalPrefix(row, local.address0, local.address1, local.address2);
  }
  if (controller !== NO_ROW) control(context, controller, row);
  if (!onePacket) enter(context, row);
  destination.bind(true, false);
  destination.counters.countConnection();
  service.counters.countConnection();
  context.services.totals.countConnection();
  return row;
}

/** A template: `key` as `findTemplate` takes it. NO_ROW: the table is full. */
export function createTemplate(
  context: EngineContext,
  key: Endpoints,
  service: VirtualService,
  destination: Destination,
  destinationPort: number,
  tag: number,
): number {
  const { connections } = context;
  const row = connections.allocate();
  if (row === NO_ROW) {
    creation.refusedFor = REASON['table-full'];
    return NO_ROW;
  }
  const { rows } = connections;
  const base = row << ROW_SHIFT;
  fillEnds(rows, base, key);
  fillServer(rows, base, destination, destinationPort, 0);
  rows[base + FLAGS] = flagsOf(context, destination) | ConnectionFlag.TEMPLATE;
  rows[base + TIMEOUT_TICKS] = service.persistenceTimeoutTicks | 0;
  rows[base + LOCAL3] = tag;
  rows[base + SYNC_END_TICK] = firstSyncEnd(context.nowTick);
  rows[base + SERVICE_MARK] = service.mark | 0;
  connections.insert(row);
  destination.bind(true, true);
  return row;
}

/** A data connection that a control connection announced: it counts as no new connection of the service. */
export function createDataConnection(
  context: EngineContext,
  ends: Endpoints,
  destination: Destination,
  server: Int32Array,
  serverPort: number,
  portIsUnknown: boolean,
): number {
  const { connections } = context;
  const row = connections.allocate();
  if (row === NO_ROW) return NO_ROW;
  const { rows } = connections;
  const base = row << ROW_SHIFT;
  fillEnds(rows, base, ends);
  fillServer(rows, base, destination, serverPort, 0);
  rows[base + SERVER0] = server[0] as number;
  rows[base + SERVER0 + 1] = server[1] as number;
  rows[base + SERVER0 + 2] = server[2] as number;
  rows[base + SERVER3] = server[3] as number;
  rows[base + SYNC_END_TICK] = firstSyncEnd(context.nowTick);
  const unknown = portIsUnknown ? ConnectionFlag.NO_CLIENT_PORT : 0;
  rows[base + FLAGS] = flagsOf(context, destination) | ConnectionFlag.CONNTRACK | unknown;
  enter(context, row);
  destination.bind(true, false);
  return row;
}

/** A connection that goes to the packet's own destination: nobody is bound, nothing counts. */
export function createBypass(
  context: EngineContext,
  ends: Endpoints,
  service: VirtualService,
  onePacket: boolean,
): number {
  const { connections } = context;
  const row = connections.allocate();
  if (row === NO_ROW) return NO_ROW;
  const base = row << ROW_SHIFT;
  fillEnds(connections.rows, base, ends);
  connections.rows[base + FLAGS] = METHOD_BYPASS | (onePacket ? ConnectionFlag.ONE_PACKET : 0);
  connections.rows[base + TIMEOUT_TICKS] = FIRST_TIMEOUT_TICKS;
  connections.rows[base + SERVICE_MARK] = service.mark | 0;
  if (!onePacket) enter(context, row);
  return row;
}

/** Of connections with the same answers the newest gets them. */
function enter(context: EngineContext, row: number): void {
  context.fastFlows?.makeWay(row);
  context.connections.insert(row);
}

/** `member` lives under `controller` from now on. */
export function control(context: EngineContext, controller: number, member: number): void {
  const { rows } = context.connections;
  rows[(member << ROW_SHIFT) + CONTROLLER] = controller;
  rows[(member << ROW_SHIFT) + FLAGS] = (rows[(member << ROW_SHIFT) + FLAGS] as number) | ConnectionFlag.HAS_CONTROLLER;
  rows[(controller << ROW_SHIFT) + CONTROLLED] = (rows[(controller << ROW_SHIFT) + CONTROLLED] as number) + 1;
}

/** Flags that a connection takes over from its destination: they begin as inactive ones. */
export function flagsOf(context: EngineContext, destination: Destination): number {
  const method = METHOD_NUMBER[destination.method];
  return (
    method |
    ConnectionFlag.INACTIVE |
    (method === METHOD_MASQUERADE ? 0 : ConnectionFlag.NO_OUTPUT) |
    (destination.ipv6 ? ConnectionFlag.SERVER_IPV6 : 0) |
    (context.settings.conntrack !== 0 ? ConnectionFlag.CONNTRACK : 0)
  );
}

export function fillEnds(rows: Int32Array, base: number, ends: Endpoints): void {
  rows[base + KIND] = ends.protocol | (ends.ipv6 ? KIND_IPV6 : 0);
  rows[base + CLIENT_AND_VIRTUAL_PORT] = (ends.sourcePort << 16) | ends.destinationPort;
  rows[base + CLIENT0] = ends.source0;
  rows[base + CLIENT0 + 1] = ends.source1;
  rows[base + CLIENT0 + 2] = ends.source2;
  rows[base + CLIENT3] = ends.source3;
  rows[base + VIRTUAL0] = ends.destination0;
  rows[base + VIRTUAL0 + 1] = ends.destination1;
  rows[base + VIRTUAL0 + 2] = ends.destination2;
  rows[base + VIRTUAL3] = ends.destination3;
}

function fillServer(
  rows: Int32Array,
  base: number,
  destination: Destination,
  destinationPort: number,
  localPort: number,
): void {
  rows[base + DESTINATION_AND_LOCAL_PORT] = (destinationPort << 16) | localPort;
  rows[base + SERVER0] = destination.address0;
  rows[base + SERVER0 + 1] = destination.address1;
  rows[base + SERVER0 + 2] = destination.address2;
  rows[base + SERVER3] = destination.address3;
  rows[base + DESTINATION] = destination.index;
}

/**
 * Besides what the service asks for, two cases need another source to make answers come back this way: a server on
 * this host (behind the cable), and a client on this host.
 */
function wantsSourceNat(context: EngineContext, ends: Endpoints, service: VirtualService, egress: Egress): boolean {
  if (egress.kind === 'none') return false;
  if (egress.kind === 'local') {
    const { cable } = context.network;
    return cable !== null && (!ends.ipv6 || cable.engineAddress6 !== null);
  }
  if (service.sourceNat !== 'none') return true;
  return context.network.ownsAddress(ends.ipv6, ends.source0, ends.source1, ends.source2, ends.source3);
}

function sourceOf(context: EngineContext, service: VirtualService, egress: Egress, ipv6: boolean): typeof NO_ADDRESS {
  if (egress.kind === 'local') {
    const { cable } = context.network;
    if (ipv6) return cable?.engineAddress6 ?? NO_ADDRESS;
    return { ...NO_ADDRESS, address3: cable?.engineAddress ?? 0 };
  }
  const chosen = service.sourceNatAddress;
  if (chosen === null) return egress.source;
  const [address0, address1, address2, address3] = chosen.words as unknown as [number, number, number, number];
  return { address0, address1, address2, address3 };
}

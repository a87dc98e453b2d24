/** Step 6: the connection's next state, its timeout, and the destination's active and inactive counts. */
import { PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/ipv4.ts';
import { IPV6_HEADER_BYTES } from '../wire/ipv6.ts';
import {
  CONTROLLER,
  ConnectionFlag,
  DESTINATION,
  FLAGS,
  KIND,
  NO_ROW,
  ROW_SHIFT,
  STATE,
  TEMPLATE_ASSURED,
  TIMEOUT_TICKS,
} from './connection.ts';
import type { EngineContext } from './context.ts';
import type { Packet } from './packet.ts';
import { sctpStateAfter } from './protocols/sctp.ts';
import { isActiveSctpState, SCTP_ESTABLISHED, SCTP_TIMEOUT_SECONDS } from './protocols/sctp-states.ts';
import { tcpStateAfter } from './protocols/tcp.ts';
import { INPUT_ONLY, isActiveTcpState, OUTPUT, TCP_ESTABLISHED } from './protocols/tcp-states.ts';

const SCTP_TIMEOUT_TICKS = Int32Array.from(SCTP_TIMEOUT_SECONDS, (seconds) => seconds * 250);

/** `direction` is INPUT or OUTPUT. */
export function transition(context: EngineContext, row: number, packet: Packet, direction: number): void {
  const { rows } = context.connections;
  const base = row << ROW_SHIFT;
  // IPsec packets follow the connection of their key exchange and change nothing about it.
  if (packet.ipsec) return;
  const protocol = (rows[base + KIND] as number) & 0xff;
  if (protocol === PROTOCOL_UDP) {
    rows[base + TIMEOUT_TICKS] = context.udpTimeoutTicks;
    if (direction === OUTPUT) assure(rows, base);
    return;
  }
  let flags = rows[base + FLAGS] as number;
  let tableDirection = direction;
  if ((flags & ConnectionFlag.NO_OUTPUT) !== 0) {
    if (direction === OUTPUT) flags &= ~ConnectionFlag.NO_OUTPUT;
    else tableDirection = INPUT_ONLY;
  }
  const before = rows[base + STATE] as number;
  let state = before;
  let inactive: boolean;
  if (protocol === PROTOCOL_TCP) {
    if (packet.stateFlags < 0) return;
    state = tcpStateAfter(context.tcpTable, tableDirection, packet.stateFlags, before);
    inactive = !isActiveTcpState(state);
    if (state === TCP_ESTABLISHED && before !== state) assure(rows, base);
    rows[base + TIMEOUT_TICKS] = context.tcpTimeoutTicks[state] as number;
  } else if (protocol === PROTOCOL_SCTP) {
    const at = packet.ipv6 ? packet.ipAt + IPV6_HEADER_BYTES : packet.transportAt;
    state = sctpStateAfter(tableDirection, packet.bytes, at, packet.end, before);
    inactive = !isActiveSctpState(state);
    if (state === SCTP_ESTABLISHED && before !== state) assure(rows, base);
    rows[base + TIMEOUT_TICKS] = SCTP_TIMEOUT_TICKS[state] as number;
  } else {
    return;
  }
  if (state !== before) {
    rows[base + STATE] = state;
    if (inactive !== ((flags & ConnectionFlag.INACTIVE) !== 0)) {
      const destination = rows[base + DESTINATION] as number;
      if (destination !== NO_ROW) {
        context.services.destinationAt(destination).setInactive(inactive);
        flags ^= ConnectionFlag.INACTIVE;
      }
    }
  }
  rows[base + FLAGS] = flags;
}

/** The template above has a member that was answered: floods do not take it any more. */
export function assure(rows: Int32Array, base: number): void {
  if (((rows[base + FLAGS] as number) & ConnectionFlag.HAS_CONTROLLER) === 0) return;
  const controller = rows[base + CONTROLLER] as number;
  const controllerBase = controller << ROW_SHIFT;
  if (((rows[controllerBase + FLAGS] as number) & ConnectionFlag.TEMPLATE) === 0) return;
  rows[controllerBase + STATE] = (rows[controllerBase + STATE] as number) | TEMPLATE_ASSURED;
}

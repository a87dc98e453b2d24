/** Step 6: the connection's next state, its timeout, and the destination's active and inactive counts. */
import { PROTOCOL_TCP } from '../wire/ipv4.ts';
import { ConnectionFlag, DESTINATION, FLAGS, KIND, NO_ROW, ROW_SHIFT, STATE, TIMEOUT_TICKS } from './connection.ts';
import type { EngineContext } from './context.ts';
import type { Packet } from './packet.ts';
import { tcpStateAfter } from './protocols/tcp.ts';
import { INPUT_ONLY, isActiveTcpState, OUTPUT } from './protocols/tcp-states.ts';

/** `direction` is INPUT or OUTPUT. */
export function transition(context: EngineContext, row: number, packet: Packet, direction: number): void {
  const { rows } = context.connections;
  const base = row << ROW_SHIFT;
  if (((rows[base + KIND] as number) & 0xff) !== PROTOCOL_TCP) {
    rows[base + TIMEOUT_TICKS] = context.udpTimeoutTicks;
    return;
  }
  let flags = rows[base + FLAGS] as number;
  let tableDirection = direction;
  if ((flags & ConnectionFlag.NO_OUTPUT) !== 0) {
    if (direction === OUTPUT) flags &= ~ConnectionFlag.NO_OUTPUT;
    else tableDirection = INPUT_ONLY;
  }
  const before = rows[base + STATE] as number;
  const state = tcpStateAfter(context.tcpTable, tableDirection, packet.tcpFlags, before);
  if (state !== before) {
    rows[base + STATE] = state;
    const inactive = !isActiveTcpState(state);
    if (inactive !== ((flags & ConnectionFlag.INACTIVE) !== 0)) {
      const destination = rows[base + DESTINATION] as number;
      if (destination !== NO_ROW) {
        context.services.destinationAt(destination).setInactive(inactive);
        flags ^= ConnectionFlag.INACTIVE;
      }
    }
  }
  rows[base + FLAGS] = flags;
  rows[base + TIMEOUT_TICKS] = context.tcpTimeoutTicks[state] as number;
}

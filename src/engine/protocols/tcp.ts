/** TCP: which event a segment is, and what it does to the connection's state. */
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../../wire/tcp.ts';
import { EVENT_ACK, EVENT_FIN, EVENT_RST, EVENT_SYN, nextTcpState, TCP_CLOSE } from './tcp-states.ts';

/** The state after a segment with these flags. A segment with none of the four closes, whatever the state was. */
export function tcpStateAfter(table: Uint8Array, direction: number, flags: number, state: number): number {
  if ((flags & TCP_RST) !== 0) return nextTcpState(table, direction, EVENT_RST, state);
  if ((flags & TCP_SYN) !== 0) return nextTcpState(table, direction, EVENT_SYN, state);
  if ((flags & TCP_FIN) !== 0) return nextTcpState(table, direction, EVENT_FIN, state);
  if ((flags & TCP_ACK) !== 0) return nextTcpState(table, direction, EVENT_ACK, state);
  return TCP_CLOSE;
}

/** SCTP: which event a packet is, what it does to the association's state, and which packets may begin one. */
import {
  SCTP_ABORT,
  SCTP_COOKIE_ACK,
  SCTP_COOKIE_ECHO,
  SCTP_INIT,
  sctpFirstChunk,
  sctpSecondChunk,
} from '../../wire/sctp.ts';
import { nextSctpState, SCTP_EVENT_ABORT, SCTP_EVENT_DATA, SCTP_EVENT_OF_CHUNK } from './sctp-states.ts';

/** The event of the packet in `[at, end)`, or -1 when it has no whole chunk. The first chunk decides. */
export function sctpEvent(bytes: Uint8Array, at: number, end: number): number {
  const chunk = sctpFirstChunk(bytes, at, end);
  if (chunk < 0) return -1;
  // A cookie may be followed by a refusal in the same packet.
  const isCookie = chunk === SCTP_COOKIE_ECHO || chunk === SCTP_COOKIE_ACK;
  if (isCookie && sctpSecondChunk(bytes, at, end) === SCTP_ABORT) return SCTP_EVENT_ABORT;
  return SCTP_EVENT_OF_CHUNK[chunk] ?? SCTP_EVENT_DATA;
}

/** The state after this packet; one without a chunk changes nothing. */
export function sctpStateAfter(direction: number, bytes: Uint8Array, at: number, end: number, state: number): number {
  const event = sctpEvent(bytes, at, end);
  return event < 0 ? state : nextSctpState(direction, event, state);
}

/** True for a packet that asks for a new association: what the rules of reuse look at. */
export function opensSctpAssociation(bytes: Uint8Array, at: number, end: number): boolean {
  return sctpFirstChunk(bytes, at, end) === SCTP_INIT;
}

/**
 * True when the packet may be scheduled while it belongs to no connection. `sloppy`: the setting `sloppy_sctp`.
 * One without a chunk may not; the caller drops it as truncated.
 */
export function maySctpBeScheduled(bytes: Uint8Array, at: number, end: number, sloppy: boolean): boolean {
  const chunk = sctpFirstChunk(bytes, at, end);
  return chunk === SCTP_INIT || (sloppy && chunk >= 0 && chunk !== SCTP_ABORT);
}

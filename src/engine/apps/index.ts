/**
 * The helpers there are, and the whole step of one packet of a control connection: is it intact, what does it say,
 * which numbers does it get. To add a helper: a file beside this one, and its name in HELPERS.
 */
import { tcpHeaderBytes } from '../../wire/tcp.ts';
import { ftp } from './ftp.ts';
import {
  type ControlConnection,
  type ControlState,
  HELPER_DROP,
  HELPER_NOTHING,
  type Helper,
  type HelperOutcome,
} from './helper.ts';
import { type Segment, tcpChecksumIsRight } from './payload.ts';
import { shiftSequences } from './sequence.ts';

export const HELPERS: readonly Helper[] = [ftp];

/** The helper for new NAT connections to this virtual port, or `null`. */
export function findHelper(protocol: number, virtualPort: number): Helper | null {
  for (const helper of HELPERS) {
    if (helper.protocol === protocol && helper.ports.includes(virtualPort)) return helper;
  }
  return null;
}

/**
 * A packet from the client, with its own addresses still. `established`: the control connection's state after this
 * packet is ESTABLISHED. Answers HELPER_NOTHING, HELPER_DATA_CONNECTION or HELPER_DROP.
 */
export function helpInbound(
  helper: Helper,
  state: ControlState,
  control: ControlConnection,
  established: boolean,
  segment: Segment,
  outcome: HelperOutcome,
): number {
  const payloadAt = payloadOf(segment);
  outcome.end = segment.end;
  if (payloadAt < 0) return HELPER_DROP;
  const answer =
    established && payloadAt < segment.end
      ? helper.inbound(state, control, segment, payloadAt, outcome)
      : HELPER_NOTHING;
  shiftSequences(
    segment.bytes,
    segment.transportAt,
    segment.end,
    state.inbound,
    state.outbound,
    segment.partialChecksum,
  );
  return answer;
}

/**
 * A packet from the server, with its own addresses still. `established`: the control connection's state before this
 * packet is ESTABLISHED. `ceiling`: the slot's, for a payload that grows; the packet's end afterwards is `outcome.end`.
 */
export function helpOutbound(
  helper: Helper,
  state: ControlState,
  control: ControlConnection,
  established: boolean,
  segment: Segment,
  ceiling: number,
  outcome: HelperOutcome,
): number {
  const payloadAt = payloadOf(segment);
  outcome.end = segment.end;
  if (payloadAt < 0) return HELPER_DROP;
  const answer =
    established && payloadAt < segment.end
      ? helper.outbound(state, control, segment, payloadAt, ceiling, outcome)
      : HELPER_NOTHING;
  shiftSequences(
    segment.bytes,
    segment.transportAt,
    outcome.end,
    state.outbound,
    state.inbound,
    segment.partialChecksum,
  );
  return answer;
}

/** Where the payload begins, or -1 when the packet is damaged. */
function payloadOf(segment: Segment): number {
  const headerBytes = tcpHeaderBytes(segment.bytes, segment.transportAt, segment.end);
  return headerBytes > 0 && tcpChecksumIsRight(segment) ? segment.transportAt + headerBytes : -1;
}

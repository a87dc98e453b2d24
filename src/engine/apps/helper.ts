/**
 * What a helper is: it reads the payload of a control connection, tells the engine which data connections will come,
 * and changes addresses in the text. Only connections with NAT have one; it is asked only while the control
 * connection is established, before the packet's own addresses are translated.
 */
import type { Segment } from './payload.ts';
import { SequenceShift } from './sequence.ts';

/** The ends of a control connection. The engine fills one record for every packet it shows to a helper. */
export class ControlConnection {
  ipv6 = false;
  /** Four words each, IPv4 in the last. */
  readonly client: Int32Array = new Int32Array(4);
  readonly virtual: Int32Array = new Int32Array(4);
  readonly server: Int32Array = new Int32Array(4);
  virtualPort = 0;
  serverPort = 0;
}

/** Answers of a helper. */
export const HELPER_NOTHING = 0;
/** The outcome names a data connection: make it unless it exists, and put it into the state LISTEN either way. */
export const HELPER_DATA_CONNECTION = 1;
/** The packet must be dropped. */
export const HELPER_DROP = 2;

/** What came of a packet. One record, filled anew; ports in host order. */
export class HelperOutcome {
  /** One past the packet's last byte: other than before when its text was changed. */
  end = 0;
  /** The data connection, after HELPER_DATA_CONNECTION. */
  readonly client: Int32Array = new Int32Array(4);
  /** 0: not known yet; the connection is made with the flag NO_CPORT. */
  clientPort = 0;
  readonly virtual: Int32Array = new Int32Array(4);
  virtualPort = 0;
  readonly server: Int32Array = new Int32Array(4);
  serverPort = 0;
}

/** What is remembered about one control connection, from its first packet to its end. */
export class ControlState {
  /** The helper's own: 0 at the beginning. */
  mode = 0;
  /** Sequence number of the last reply whose text was read, as the server counts. */
  passiveReply: number | null = null;
  /** Requests (flag IN_SEQ) and replies (flag OUT_SEQ). */
  readonly inbound: SequenceShift = new SequenceShift();
  readonly outbound: SequenceShift = new SequenceShift();
}

export interface Helper {
  readonly name: string;
  readonly protocol: number;
  /** Virtual ports it listens on. */
  readonly ports: readonly number[];
  /** Reads the payload, which begins at `payloadAt`, of a packet from the client; it is never changed. */
  inbound(
    state: ControlState,
    control: ControlConnection,
    segment: Segment,
    payloadAt: number,
    outcome: HelperOutcome,
  ): number;
  /**
   * Reads, and may change, the payload of a packet from the server. It may grow up to `ceiling`; a change of length is
   * noted in `state.outbound` and the new end in `outcome`.
   */
  outbound(
    state: ControlState,
    control: ControlConnection,
    segment: Segment,
    payloadAt: number,
    ceiling: number,
    outcome: HelperOutcome,
  ): number;
}

/**
 * The fast path: flows that the engine has decided about once and for all are rewritten by somebody else, in the kernel,
 * until the engine takes them back. Here is what both sides agree on. A flow is one direction of one connection.
 */

import type { Endpoints } from './endpoints.ts';

/** What packets of a flow look like when they come, TCP or UDP, and when they leave. */
export interface Flow extends Endpoints {
  readonly newSource0: number;
  readonly newSource1: number;
  readonly newSource2: number;
  readonly newSource3: number;
  readonly newSourcePort: number;
  readonly newDestination0: number;
  readonly newDestination1: number;
  readonly newDestination2: number;
  readonly newDestination3: number;
  readonly newDestinationPort: number;
  /** Interface index of the way out. */
  readonly linkIndex: number;
  /** Six bytes each, of the frame that leaves. */
  readonly destinationMac: Uint8Array;
  readonly sourceMac: Uint8Array;
  /** Longer packets, or super-frames of longer segments, are not of the flow. */
  readonly mtu: number;
}

/** What a flow has carried since somebody last asked. */
export interface FlowCounts {
  packets: number;
  /** Of IP packets, their headers included. A super-frame counts once, as it is. */
  bytes: number;
  /** When the last of them came, in milliseconds of the engine's clock. */
  lastMs: number;
}

/**
 * Takes whole packets of its flows: TCP with ACK and without SYN, FIN or RST, and UDP that has a checksum; without IP
 * options and fragments, headers intact, more than one hop to live, sent to this host's MAC. Each leaves with one hop
 * less to live. Everything else of the same connection goes the usual way.
 */
export interface FastPath {
  /** The flow's number until it is removed, or -1: no room, or not possible. The caller keeps nothing of `flow` alive. */
  add(flow: Flow): number;
  /** Ends it. What it has carried since the last `take` is told by one last `take` before the next `add`. */
  remove(flow: number): void;
  /** False: nothing since the last call, and `counts` is as it was. */
  take(flow: number, counts: FlowCounts): boolean;
}

/**
 * A connection is a row of 32-bit words in one arena, not an object: with a million of them alive there is
 * nothing for the garbage collector to walk. A connection is named by its row number; this file names the columns.
 */
export const ROW_SHIFT = 5;
export const ROW_WORDS = 1 << ROW_SHIFT;

/*
 * The first 16 words are one cache line and hold all that a packet of an established IPv4 connection touches.
 */

/** Next row in the bucket by client endpoint. */
export const NEXT = 0;
/** Protocol number in the low byte, bit 8: IPv6. -1: the row is free. */
export const KIND = 1;
export const KIND_IPV6 = 0x100;
/** Two ports a word: the first named in the high half. */
export const CLIENT_AND_VIRTUAL_PORT = 2;
export const DESTINATION_AND_LOCAL_PORT = 3;
/** Last word of each address: all of an IPv4 one. */
export const CLIENT3 = 4;
export const VIRTUAL3 = 5;
export const SERVER3 = 6;
/** Full NAT: the director's own address towards the server; of IPv6 the last word, see `localPrefixes`. */
export const LOCAL3 = 7;
/** `ConnectionFlag` bits. */
export const FLAGS = 8;
export const STATE = 9;
/** Index of the destination object, -1: none. */
export const DESTINATION = 10;
export const TIMEOUT_TICKS = 11;
export const EXPIRES_TICK = 12;
/** Bucket of the timing wheel, -1: no timer runs. */
export const TIMER_BUCKET = 13;
/** Packets from the client. */
export const PACKETS = 14;
/** Identifier of the egress towards the client, valid for one network generation. */
export const CLIENT_EGRESS = 15;

/** Neighbours in the timer bucket, next row in the bucket by local endpoint. */
export const TIMER_NEXT = 16;
export const TIMER_PREVIOUS = 17;
export const LOCAL_NEXT = 18;
/** First three words of each IPv6 address. */
export const CLIENT0 = 19;
export const VIRTUAL0 = 22;
export const SERVER0 = 25;
/** Row of the controlling connection, -1: none; and how many this one controls. */
export const CONTROLLER = 28;
export const CONTROLLED = 29;
export const SERVICE_MARK = 30;
/** When the copy that a backup has expires, in ticks; the two lowest bits count repetitions. */
export const SYNC_END_TICK = 31;

/** States of templates: ASSURED ones have had a member that was answered. */
export const TEMPLATE_NONE = 0;
export const TEMPLATE_ASSURED = 1;

export const NO_ROW = -1;

/** Bits 0..15 as on the synchronisation wire. */
export const ConnectionFlag = {
  METHOD_MASK: 0x0007,
  SYNC: 0x0020,
  HASHED: 0x0040,
  /** No reply seen so far: the input-only rows of the state table apply. */
  NO_OUTPUT: 0x0080,
  /** Counted among the destination's inactive connections. */
  INACTIVE: 0x0100,
  OUT_SEQUENCE: 0x0200,
  IN_SEQUENCE: 0x0400,
  /** The client's port is not known yet (passive FTP). */
  NO_CLIENT_PORT: 0x0800,
  TEMPLATE: 0x1000,
  ONE_PACKET: 0x2000,
  /** Kept in connection tracking (setting `conntrack`): it cannot be scheduled anew while it lives. */
  CONNTRACK: 0x1_0000,
  /** Ours: the source is rewritten to LOCAL3 and the local port. */
  FULL_NAT: 0x0100_0000,
  /** Ours: the destination is the host itself. */
  LOCAL_SERVER: 0x0200_0000,
  /** Ours: the server's address is IPv6 (tunnels may mix families). */
  SERVER_IPV6: 0x0400_0000,
  /** Ours: a helper reads its payload. */
  HAS_HELPER: 0x0800_0000,
  /** Ours: CONTROLLER names a row. It lies in another cache line than the flags. */
  HAS_CONTROLLER: 0x1000_0000,
  /** Ours: a fast path carries its packets (fast-flows.ts). */
  FAST: 0x2000_0000,
} as const;

/** Forwarding methods by their number in the flags. */
export const METHOD_MASQUERADE = 0;
export const METHOD_LOCAL = 1;
export const METHOD_TUNNEL = 2;
export const METHOD_DIRECT = 3;
export const METHOD_BYPASS = 4;

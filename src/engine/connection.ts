/**
 * A connection is a row of 32-bit words in one arena, not an object: with a million of them alive there is
 * nothing for the garbage collector to walk. A connection is named by its row number; this file names the columns.
 */
export const ROW_SHIFT = 5;
export const ROW_WORDS = 1 << ROW_SHIFT;

/** Links: next row in the bucket by client endpoint and by local endpoint, neighbours in the timer bucket. */
export const NEXT = 0;
export const LOCAL_NEXT = 1;
export const TIMER_NEXT = 2;
export const TIMER_PREVIOUS = 3;
/** Bucket of the timing wheel, -1: no timer runs. */
export const TIMER_BUCKET = 4;
/** Protocol number in the low byte, bit 8: IPv6. -1: the row is free. */
export const KIND = 5;
export const KIND_IPV6 = 0x100;
export const STATE = 6;
/** `ConnectionFlag` bits. */
export const FLAGS = 7;
/** Two ports a word: the first named in the high half. */
export const CLIENT_AND_VIRTUAL_PORT = 8;
export const DESTINATION_AND_LOCAL_PORT = 9;
export const CLIENT = 10;
export const VIRTUAL = 14;
export const DESTINATION_ADDRESS = 18;
/** Full NAT: the director's own address towards the server (IPv4). */
export const LOCAL_ADDRESS = 22;
/** Index of the destination object, -1: none. */
export const DESTINATION = 23;
export const TIMEOUT_TICKS = 24;
export const EXPIRES_TICK = 25;
/** Packets from the client. */
export const PACKETS = 26;
/** Row of the controlling connection, -1: none; and how many this one controls. */
export const CONTROLLER = 27;
export const CONTROLLED = 28;
/** Identifier of the egress towards the client, valid for one network generation. */
export const CLIENT_EGRESS = 29;
export const SERVICE_MARK = 30;

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
  TEMPLATE: 0x1000,
  ONE_PACKET: 0x2000,
  /** Ours: the source is rewritten to LOCAL_ADDRESS and the local port. */
  FULL_NAT: 0x0100_0000,
  /** Ours: the destination is the host itself. */
  LOCAL_SERVER: 0x0200_0000,
} as const;

/** Forwarding methods by their number in the flags. */
export const METHOD_MASQUERADE = 0;
export const METHOD_LOCAL = 1;
export const METHOD_TUNNEL = 2;
export const METHOD_DIRECT = 3;
export const METHOD_BYPASS = 4;

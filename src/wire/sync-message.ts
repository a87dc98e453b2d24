/**
 * The datagrams in which directors tell each other of connections: what both versions have in common.
 *
 * Version 1 (big-endian): a header of 8 bytes - 0, sync id, length of the datagram, number of connections, 1, 0 -
 * then connections, each beginning on a multiple of 4:
 *
 *     type (bit 0: IPv6), protocol, length of this connection (12 bits, under 4 bits of 0), flags (32 bits), state,
 *     client port, virtual port, destination port, firewall mark, timeout in seconds, the three addresses; options
 *
 * An option is a type, the length of its data, and the data. Version 0 has a header of 4 bytes - number of
 * connections, sync id, length - and 24 bytes for each connection, IPv4 only. Source: the behaviour of IPVS.
 */
export const SYNC_HEADER_BYTES = 8;
export const SYNC_V0_HEADER_BYTES = 4;
export const SYNC_CONNECTION_BYTES = 36;
export const SYNC_IPV6_CONNECTION_BYTES = 72;
export const SYNC_V0_CONNECTION_BYTES = 24;
/** Both directions' sequence data: init, delta and previous delta of each. */
export const SYNC_SEQUENCE_BYTES = 24;
/** The count of connections is one byte. */
export const SYNC_CONNECTIONS_MAX = 255;
export const SYNC_LENGTH_MAX = 65_535;

export const SYNC_TYPE_IPV6 = 1;
export const SYNC_OPTION_SEQUENCE = 1;
export const SYNC_OPTION_ENGINE_DATA = 2;
export const SYNC_OPTION_ENGINE_NAME = 3;
/** In an option's type: whoever does not know it may ignore it. */
export const SYNC_OPTION_MAY_BE_IGNORED = 0x40;
export const SYNC_ENGINE_NAME_BYTES_MAX = 16;

/** Flag bits that these files look at; all others are the engine's. */
export const SYNC_FLAG_HASHED = 0x0040;
export const SYNC_FLAGS_SEQUENCE = 0x0600;
/** What may be seen on the wire: the engine's own bits above are not. */
export const SYNC_FLAGS_ON_WIRE = 0x1ffff & ~SYNC_FLAG_HASHED;

/** One connection, to be written or just read. One object, filled anew for every connection. */
export class SyncConnection {
  ipv6 = false;
  /** 0 for templates of services by firewall mark. */
  protocol = 0;
  flags = 0;
  state = 0;
  clientPort = 0;
  virtualPort = 0;
  destinationPort = 0;
  /** Firewall mark of the service, as a signed word; 0 for services by address. */
  mark = 0;
  /** 0..4294967295; always 0 in version 0. */
  timeoutSeconds = 0;
  /** Four words each, IPv4 in the last and 0 in the others. */
  readonly client: Int32Array = new Int32Array(4);
  readonly virtual: Int32Array = new Int32Array(4);
  readonly destination: Int32Array = new Int32Array(4);
  /** Requests: init, delta, previous delta; then the same of replies. Written when a flag of SEQUENCE is set. */
  readonly sequences: Int32Array = new Int32Array(6);
  /** Read: the sequences were there. */
  hasSequences = false;
  /** Persistence engine: 0..255 bytes; its name, or '' for none. */
  engineData: Uint8Array = NO_BYTES;
  engineName = '';
}

const NO_BYTES: Uint8Array = new Uint8Array(0);

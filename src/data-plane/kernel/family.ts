/**
 * Numbers of the generic netlink family IPVS: commands, attributes and flags.
 * Source: include/uapi/linux/ip_vs.h of the kernel, whose numbers are fixed for all programs.
 */

export const FAMILY_NAME = 'IPVS';

export const IpvsCommand = {
  NEW_SERVICE: 1,
  SET_SERVICE: 2,
  DEL_SERVICE: 3,
  GET_SERVICE: 4,
  NEW_DEST: 5,
  SET_DEST: 6,
  DEL_DEST: 7,
  GET_DEST: 8,
  NEW_DAEMON: 9,
  DEL_DAEMON: 10,
  GET_DAEMON: 11,
  SET_CONFIG: 12,
  GET_CONFIG: 13,
  GET_INFO: 15,
  ZERO: 16,
  FLUSH: 17,
} as const;

/** Outermost attributes of a message. */
export const CommandAttribute = {
  SERVICE: 1,
  DEST: 2,
  DAEMON: 3,
  TIMEOUT_TCP: 4,
  TIMEOUT_TCP_FIN: 5,
  TIMEOUT_UDP: 6,
} as const;

export const ServiceAttribute = {
  FAMILY: 1,
  PROTOCOL: 2,
  ADDRESS: 3,
  PORT: 4,
  MARK: 5,
  SCHEDULER: 6,
  FLAGS: 7,
  TIMEOUT: 8,
  NETMASK: 9,
  STATISTICS: 10,
  PERSISTENCE_ENGINE: 11,
  STATISTICS_64: 12,
} as const;

export const DestinationAttribute = {
  ADDRESS: 1,
  PORT: 2,
  METHOD: 3,
  WEIGHT: 4,
  UPPER_THRESHOLD: 5,
  LOWER_THRESHOLD: 6,
  ACTIVE: 7,
  INACTIVE: 8,
  PERSISTENT: 9,
  STATISTICS: 10,
  FAMILY: 11,
  STATISTICS_64: 12,
  TUNNEL_TYPE: 13,
  TUNNEL_PORT: 14,
  TUNNEL_FLAGS: 15,
} as const;

export const DaemonAttribute = {
  STATE: 1,
  INTERFACE: 2,
  SYNC_ID: 3,
  MAX_LENGTH: 4,
  GROUP: 5,
  GROUP_IPV6: 6,
  PORT: 7,
  TTL: 8,
} as const;

/** The same in the short and in the 64-bit form. */
export const StatisticsAttribute = {
  CONNECTIONS: 1,
  IN_PACKETS: 2,
  OUT_PACKETS: 3,
  IN_BYTES: 4,
  OUT_BYTES: 5,
  CONNECTIONS_PER_SECOND: 6,
  IN_PACKETS_PER_SECOND: 7,
  OUT_PACKETS_PER_SECOND: 8,
  IN_BYTES_PER_SECOND: 9,
  OUT_BYTES_PER_SECOND: 10,
} as const;

export const InfoAttribute = { VERSION: 1, TABLE_SIZE: 2 } as const;

export const ServiceFlag = { PERSISTENT: 1, ONE_PACKET: 4, SCHEDULER_1: 8, SCHEDULER_2: 16, SCHEDULER_3: 32 } as const;

/** AF_INET and AF_INET6. */
export const FAMILIES = { ipv4: 2, ipv6: 10 } as const;
export const PROTOCOLS = { tcp: 6, udp: 17, sctp: 132 } as const;
/** Names by number. */
export const METHODS = ['masquerade', 'local', 'tunnel', 'direct', 'bypass'] as const;
export const TUNNEL_TYPES = ['ipip', 'gue', 'gre'] as const;
export const TUNNEL_CHECKSUMS = ['none', 'full', 'remote'] as const;
export const DAEMON_STATES = { master: 1, backup: 2 } as const;

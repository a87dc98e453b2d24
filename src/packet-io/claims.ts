/**
 * What a back end is told that takes frames away from the host's stack, instead of getting a copy of each: which
 * frames those may be. A frame that no claim names stays with the stack as well.
 */

export interface Claim {
  /** Frames to a service, or frames from a server. */
  readonly side: 'service' | 'server';
  /** Four or sixteen bytes in network order. */
  readonly address: Uint8Array;
  /** IP protocol number. */
  readonly protocol: number;
  /** 0: any. */
  readonly port: number;
}

/**
 * Addresses of the host itself. What a server sends to one of them, to a port of the local port range, answers a
 * socket of the host and stays with the stack.
 */
export interface HostAddresses {
  readonly prefixes: readonly { readonly address: Uint8Array; readonly bits: number }[];
  readonly localPortRange: readonly [low: number, high: number];
}

export interface Claims {
  /** From now on frames that these name are taken. Claims that are there already change nothing. */
  claim(claims: readonly Claim[]): void;
  /** From now on they are left alone. Claims that are not there are ignored. */
  unclaim(claims: readonly Claim[]): void;
  setHostAddresses(host: HostAddresses): void;
}

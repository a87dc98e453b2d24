/** Where things are in the labs: the tutorial's addresses for IPv4, and their likenesses for IPv6. */

export type LabFamily = 'ipv4' | 'ipv6';

export interface AddressPlan {
  readonly serverNetwork: string;
  /** Where the client lives when the director is a gateway. */
  readonly clientNetwork: string;
  /** Length of both networks' prefixes, and of a single address's. */
  readonly prefixLength: number;
  readonly hostPrefixLength: number;
  readonly director: string;
  readonly virtual: string;
  readonly servers: readonly string[];
  readonly client: string;
  readonly clientBehindGateway: string;
  /** The director's address towards that client. */
  readonly gateway: string;
  /** Where the fallback listens, on the director. */
  readonly loopback: string;
  /** What a server binds to take every address. */
  readonly anyAddress: string;
}

export const ADDRESSES: Readonly<Record<LabFamily, AddressPlan>> = {
  ipv4: {
    serverNetwork: '192.168.1.0/24',
    clientNetwork: '10.0.0.0/24',
    prefixLength: 24,
    hostPrefixLength: 32,
    director: '192.168.1.10',
    virtual: '192.168.1.120',
    servers: ['192.168.1.11', '192.168.1.12', '192.168.1.13'],
    client: '192.168.1.100',
    clientBehindGateway: '10.0.0.100',
    gateway: '10.0.0.1',
    loopback: '127.0.0.1',
    anyAddress: '0.0.0.0',
  },
  ipv6: {
    serverNetwork: 'fd00:1::/64',
    clientNetwork: 'fd00:2::/64',
    prefixLength: 64,
    hostPrefixLength: 128,
    director: 'fd00:1::10',
    virtual: 'fd00:1::120',
    servers: ['fd00:1::11', 'fd00:1::12', 'fd00:1::13'],
    client: 'fd00:1::100',
    clientBehindGateway: 'fd00:2::100',
    gateway: 'fd00:2::1',
    loopback: '::1',
    anyAddress: '::',
  },
};

/** `192.168.1.11:80`, `[fd00:1::11]:80`. */
export function endpoint(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Web servers answer requests for this path like all others, but do not count them: they are the lab's own questions. */
export const UNCOUNTED_PATH = '/uncounted';

/** Header of an answer that tells which address the server saw the client at. */
export const CLIENT_HEADER = 'X-Client-Address';

/** Who sends to whom: a packet in hand, a datagram that an ICMP error quotes, a flow of packets. */
export interface Endpoints {
  readonly ipv6: boolean;
  /** The number of the IP protocol. */
  readonly protocol: number;
  /** Addresses as four words of 32 bits, IPv4 ones in the last. */
  readonly source0: number;
  readonly source1: number;
  readonly source2: number;
  readonly source3: number;
  readonly sourcePort: number;
  readonly destination0: number;
  readonly destination1: number;
  readonly destination2: number;
  readonly destination3: number;
  readonly destinationPort: number;
}

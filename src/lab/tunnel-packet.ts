/** Where the inner packet begins in what a socket at the end of a tunnel receives. */

/** `ip`: the packet itself (RFC 2003, RFC 2473); `gue`: draft-ietf-intarea-gue; `gre`: RFC 2784, RFC 2890. */
export type TunnelForm = 'ip' | 'gue' | 'gre';

const GRE_CHECKSUM = 0x8000;
const GRE_KEY = 0x2000;
const GRE_SEQUENCE = 0x1000;
const GRE_VERSION_AND_RESERVED = 0x4fff;
const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
const IPPROTO_IPIP = 4;
const IPPROTO_IPV6 = 41;
const IPV4_HEADER_BYTES_MIN = 20;
const IPV6_HEADER_BYTES = 40;

/**
 * Offset of the inner packet, or `null` when there is none that can be read. Raw sockets of IPv4 hand over the outer
 * header too, those of IPv6 and UDP sockets do not.
 */
export function innerPacketAt(received: Uint8Array, form: TunnelForm, rawIpv4: boolean): number | null {
  let at = 0;
  if (form !== 'gue' && rawIpv4) {
    if (received.length < IPV4_HEADER_BYTES_MIN) return null;
    at = (received[0] & 15) * 4;
  }
  if (form === 'gue') at = skipGue(received);
  else if (form === 'gre') at = skipGre(received, at);
  return at >= 0 && isWholePacket(received, at) ? at : null;
}

/** Version 0: a header of 32-bit words with the inner protocol. Version 1: the packet itself. -1: neither. */
function skipGue(received: Uint8Array): number {
  if (received.length < 4) return -1;
  if (received[0] >>> 6 === 1) return 0;
  const control = (received[0] & 0x20) !== 0;
  const protocol = received[1];
  if (received[0] >>> 6 !== 0 || control) return -1;
  return protocol === IPPROTO_IPIP || protocol === IPPROTO_IPV6 ? 4 + (received[0] & 0x1f) * 4 : -1;
}

function skipGre(received: Uint8Array, at: number): number {
  if (received.length < at + 4) return -1;
  const flags = (received[at] << 8) | received[at + 1];
  const etherType = (received[at + 2] << 8) | received[at + 3];
  if ((flags & GRE_VERSION_AND_RESERVED) !== 0) return -1;
  if (etherType !== ETHERTYPE_IPV4 && etherType !== ETHERTYPE_IPV6) return -1;
  const words = [GRE_CHECKSUM, GRE_KEY, GRE_SEQUENCE].filter((flag) => (flags & flag) !== 0).length;
  return at + 4 + 4 * words;
}

function isWholePacket(received: Uint8Array, at: number): boolean {
  const version = received[at] >>> 4;
  if (version === 4) return received.length - at >= IPV4_HEADER_BYTES_MIN;
  return version === 6 && received.length - at >= IPV6_HEADER_BYTES;
}

/** ICMP and ICMPv6 as text, for `print.ts`. Sources: RFC 792, RFC 1191, RFC 4443, RFC 4861 (neighbour discovery). */
import { readInt32, readUint8, readUint16 } from './bytes.ts';
import { ICMP_HEADER_BYTES } from './icmp.ts';
import { ipv4HeaderBytes, ipv4Protocol, PROTOCOL_TCP, PROTOCOL_UDP } from './ipv4.ts';
import { formatIpv4At, formatIpv6At } from './print-address.ts';

const IPV4_DESTINATION = 16;
const IPV6_DESTINATION = 24;
const IPV6_HEADER_BYTES = 40;

/** `dataBytes` is what the IP header promises after itself, `end - at` what is here. */
export function formatIcmp(bytes: Uint8Array, at: number, end: number, dataBytes: number): string {
  if (end - at < ICMP_HEADER_BYTES) return '[|icmp]';
  return `ICMP ${describeIcmp(bytes, at, end)}, length ${dataBytes}`;
}

function describeIcmp(bytes: Uint8Array, at: number, end: number): string {
  const type = readUint8(bytes, at);
  const code = readUint8(bytes, at + 1);
  const echo = `id ${readUint16(bytes, at + 4)}, seq ${readUint16(bytes, at + 6)}`;
  if (type === 0) return `echo reply, ${echo}`;
  if (type === 8) return `echo request, ${echo}`;
  if (type === 3) return describeUnreachable(bytes, at, end, code);
  if (type === 4) return 'source quench';
  if (type === 5) return `redirect to ${formatIpv4At(bytes, at + 4)}`;
  if (type === 11)
    return code === 0 ? 'time exceeded in-transit' : code === 1 ? 'ip reassembly time exceeded' : 'time exceeded';
  if (type === 12) return `parameter problem - octet ${readUint8(bytes, at + 4)}`;
  return `type-#${type}`;
}

function describeUnreachable(bytes: Uint8Array, at: number, end: number, code: number): string {
  const quoteAt = at + ICMP_HEADER_BYTES;
  const headerBytes = ipv4HeaderBytes(bytes, quoteAt, end);
  if (headerBytes === 0) return `unreachable - code ${code}`;
  const address = formatIpv4At(bytes, quoteAt + IPV4_DESTINATION);
  const protocol = ipv4Protocol(bytes, quoteAt);
  if (code === 0) return `net ${address} unreachable`;
  if (code === 1) return `host ${address} unreachable`;
  if (code === 2) return `${address} protocol ${protocol} unreachable`;
  if (code === 3) return `${address} ${describePort(bytes, quoteAt + headerBytes, end, protocol)} unreachable`;
  if (code === 4) return `${address} unreachable - need to frag (mtu ${readUint16(bytes, at + 6)})`;
  if (code === 9) return `net ${address} unreachable - admin prohibited`;
  if (code === 10) return `host ${address} unreachable - admin prohibited`;
  if (code === 13) return `host ${address} unreachable - admin prohibited filter`;
  return `${address} unreachable - #${code}`;
}

/** `udp port 53`: the port that the quoted packet was for. */
function describePort(bytes: Uint8Array, at: number, end: number, protocol: number): string {
  const name = protocol === PROTOCOL_TCP ? 'tcp' : protocol === PROTOCOL_UDP ? 'udp' : `protocol ${protocol}`;
  return end - at < 4 ? `${name} port` : `${name} port ${readUint16(bytes, at + 2)}`;
}

export function formatIcmpv6(bytes: Uint8Array, at: number, end: number, dataBytes: number): string {
  if (end - at < ICMP_HEADER_BYTES) return '[|icmp6]';
  return `ICMP6, ${describeIcmpv6(bytes, at, end)}, length ${dataBytes}`;
}

const UNREACHABLE_CODES = ['route', 'admin prohibited', 'beyond scope', 'address'] as const;

function describeIcmpv6(bytes: Uint8Array, at: number, end: number): string {
  const type = readUint8(bytes, at);
  const code = readUint8(bytes, at + 1);
  const echo = `id ${readUint16(bytes, at + 4)}, seq ${readUint16(bytes, at + 6)}`;
  const target = end - at >= 24 ? formatIpv6At(bytes, at + 8) : '[|icmp6]';
  if (type === 1) return `destination unreachable, ${describeUnreachable6(bytes, at, end, code)}`;
  if (type === 2) return `packet too big, mtu ${readInt32(bytes, at + 4) >>> 0}`;
  if (type === 3) return code === 0 ? 'time exceeded in-transit' : 'ip reassembly time exceeded';
  if (type === 4) return `parameter problem - octet ${readInt32(bytes, at + 4) >>> 0}`;
  if (type === 128) return `echo request, ${echo}`;
  if (type === 129) return `echo reply, ${echo}`;
  if (type === 133) return 'router solicitation';
  if (type === 134) return 'router advertisement';
  if (type === 135) return `neighbor solicitation, who has ${target}`;
  if (type === 136) return `neighbor advertisement, tgt is ${target}`;
  return `type-#${type}`;
}

function describeUnreachable6(bytes: Uint8Array, at: number, end: number, code: number): string {
  const quoteAt = at + ICMP_HEADER_BYTES;
  if (end - quoteAt < IPV6_HEADER_BYTES) return `code ${code}`;
  const address = formatIpv6At(bytes, quoteAt + IPV6_DESTINATION);
  const protocol = readUint8(bytes, quoteAt + 6);
  const portAt = quoteAt + IPV6_HEADER_BYTES;
  if (code === 4) return `unreachable port, ${address} ${describePort(bytes, portAt, end, protocol)}`;
  return `unreachable ${UNREACHABLE_CODES[code] ?? `code ${code}`} ${address}`;
}

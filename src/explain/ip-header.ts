/** IPv4 headers by the npm package `ip-packet`, which only this file imports. It reads them whole and without options. */
import { createRequire } from 'node:module';

export interface Ipv4Header {
  readonly version: number;
  /** In units of four bytes. */
  readonly ihl: number;
  readonly dscp: number;
  readonly ecn: number;
  /** Total length, bytes. */
  readonly length: number;
  readonly identification: number;
  /** Reserved (4), "do not fragment" (2), "more fragments" (1). */
  readonly flags: number;
  /** In units of eight bytes. */
  readonly fragmentOffset: number;
  readonly ttl: number;
  readonly protocol: number;
  readonly checksum: number;
  readonly sourceIp: string;
  readonly destinationIp: string;
}

interface IpPacket {
  decode(state: { buffer: Uint8Array; start: number; end: number }): Ipv4Header;
}

const HEADER_BYTES = 20;
let loaded: IpPacket | null = null;

/** `null`: not an IPv4 header, or cut short. Options behind it are the caller's business. */
export function readIpv4Header(bytes: Uint8Array, at: number): Ipv4Header | null {
  if (bytes.length - at < HEADER_BYTES || (bytes[at] as number) >>> 4 !== 4) return null;
  loaded ??= createRequire(import.meta.url)('ip-packet') as IpPacket;
  // The package takes all behind the fixed header for data and refuses none of it, so options are hidden from it.
  const fixed = bytes.slice(at, at + HEADER_BYTES);
  const ihl = (fixed[0] as number) & 0xf;
  fixed[0] = 0x45;
  return { ...loaded.decode({ buffer: fixed, start: 0, end: HEADER_BYTES }), ihl };
}

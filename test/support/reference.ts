/** The npm package `ip-packet`, as a decoder that we have not written: IPv4 headers without options. */
import { createRequire } from 'node:module';

export interface ReferenceIpv4 {
  readonly version: number;
  readonly ihl: number;
  readonly dscp: number;
  readonly ecn: number;
  /** Total length. */
  readonly length: number;
  readonly identification: number;
  /** Reserved, "do not fragment" (2) and "more fragments" (1). */
  readonly flags: number;
  /** In units of eight bytes. */
  readonly fragmentOffset: number;
  readonly ttl: number;
  readonly protocol: number;
  readonly sourceIp: string;
  readonly destinationIp: string;
  readonly checksum: number;
  readonly data: Uint8Array;
}

interface IpPacket {
  decode(state: { buffer: Uint8Array; start: number; end: number }): ReferenceIpv4;
  /** Computes the header checksum, writes it into the bytes and answers it. */
  checksum(packet: Uint8Array): number;
}

const ipPacket = createRequire(import.meta.url)('ip-packet') as IpPacket;

/** True when the package can read the header at the beginning of `bytes`: IPv4, whole, without options. */
export function isReferenceReadable(bytes: Uint8Array): boolean {
  return bytes.length >= 20 && bytes[0] === 0x45;
}

export function referenceIpv4(bytes: Uint8Array): ReferenceIpv4 {
  return ipPacket.decode({ buffer: bytes, start: 0, end: bytes.length });
}

/** The header checksum that the package would write. */
export function referenceIpv4Checksum(bytes: Uint8Array): number {
  return ipPacket.checksum(bytes.slice(0, 20));
}

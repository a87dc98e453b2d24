/**
 * Takes frames apart, layer by layer, for expectations: with `ip-packet` where it can, else by code of our own
 * that shares nothing with src/wire. Short frames end the list of layers early; nothing throws.
 */
import { ipText, macText } from './addresses.ts';
import { internetChecksum, onesComplementSum, pseudoHeader } from './internet-checksum.ts';
import { isReferenceReadable, referenceIpv4, referenceIpv4Checksum } from './reference.ts';

/**
 * `partial`: the field holds the sum of the pseudo-header only. `none`: UDP without one. `unverifiable`: not all
 * of the data is here (a fragment, a quote).
 */
export type ChecksumState = 'valid' | 'partial' | 'none' | 'broken' | 'unverifiable';

export type LayerName = 'ethernet' | 'arp' | 'ipv4' | 'ipv6' | 'tcp' | 'udp' | 'icmp' | 'other';

export interface Layer {
  readonly name: LayerName;
  readonly fields: Readonly<Record<string, unknown>>;
}

interface IpContext {
  readonly from: Uint8Array;
  readonly to: Uint8Array;
  readonly protocol: number;
  /** Nothing of the datagram is missing. */
  readonly whole: boolean;
}

export function decodeFrame(bytes: Uint8Array): Layer[] {
  if (bytes.length < 14) return [];
  const tagged = word(bytes, 12) === 0x8100 && bytes.length >= 18;
  const type = word(bytes, tagged ? 16 : 12);
  const vlan = tagged ? word(bytes, 14) & 0xfff : undefined;
  const fields = { to: macText(bytes.subarray(0, 6)), from: macText(bytes.subarray(6, 12)), type, vlan };
  const inside = bytes.subarray(tagged ? 18 : 14);
  const rest = type === 0x0806 ? decodeArp(inside) : type === 0x0800 || type === 0x86dd ? decodePacket(inside) : [];
  return [{ name: 'ethernet', fields }, ...rest];
}

/** The same from the IP header on. */
export function decodePacket(bytes: Uint8Array, quoted = false): Layer[] {
  const version = (bytes[0] ?? 0) >> 4;
  if (version === 4 && bytes.length >= 20) return decodeIpv4(bytes, quoted);
  if (version === 6 && bytes.length >= 40) return decodeIpv6(bytes, quoted);
  return [];
}

function decodeArp(bytes: Uint8Array): Layer[] {
  if (bytes.length < 28) return [];
  const fields = {
    operation: word(bytes, 6) === 1 ? 'request' : word(bytes, 6) === 2 ? 'reply' : word(bytes, 6),
    senderMac: macText(bytes.subarray(8, 14)),
    senderIp: ipText(bytes.subarray(14, 18)),
    targetMac: macText(bytes.subarray(18, 24)),
    targetIp: ipText(bytes.subarray(24, 28)),
  };
  return [{ name: 'arp', fields }];
}

function decodeIpv4(bytes: Uint8Array, quoted: boolean): Layer[] {
  const headerBytes = ((bytes[0] as number) & 15) * 4;
  if (headerBytes < 20 || headerBytes > bytes.length) return [];
  const length = word(bytes, 2);
  const fragmentWord = word(bytes, 6);
  const fields: Record<string, unknown> = {
    tos: bytes[1],
    length,
    id: word(bytes, 4),
    df: (fragmentWord & 0x4000) !== 0,
    moreFragments: (fragmentWord & 0x2000) !== 0,
    fragmentOffset: (fragmentWord & 0x1fff) * 8,
    ttl: bytes[8],
    protocol: bytes[9],
    checksum: ipv4ChecksumState(bytes, headerBytes),
    from: ipText(bytes.subarray(12, 16)),
    to: ipText(bytes.subarray(16, 20)),
    options: [...bytes.subarray(20, headerBytes)],
  };
  if (isReferenceReadable(bytes)) {
    const reference = referenceIpv4(bytes);
    Object.assign(fields, {
      tos: (reference.dscp << 2) | reference.ecn,
      length: reference.length,
      id: reference.identification,
      df: (reference.flags & 2) !== 0,
      moreFragments: (reference.flags & 1) !== 0,
      fragmentOffset: reference.fragmentOffset * 8,
      ttl: reference.ttl,
      protocol: reference.protocol,
      from: reference.sourceIp,
      to: reference.destinationIp,
    });
  }
  const payload = bytes.subarray(headerBytes, Math.max(headerBytes, Math.min(length, bytes.length)));
  fields['payload'] = payload;
  const whole = !quoted && length <= bytes.length && (fragmentWord & 0x3fff) === 0;
  const context = { from: bytes.subarray(12, 16), to: bytes.subarray(16, 20), protocol: bytes[9] as number, whole };
  const isFirst = (fragmentWord & 0x1fff) === 0;
  return [{ name: 'ipv4', fields }, ...(isFirst ? decodeTransport(payload, context) : [])];
}

function ipv4ChecksumState(bytes: Uint8Array, headerBytes: number): ChecksumState {
  if (isReferenceReadable(bytes)) return word(bytes, 10) === referenceIpv4Checksum(bytes) ? 'valid' : 'broken';
  return onesComplementSum(bytes.subarray(0, headerBytes)) === 0xffff ? 'valid' : 'broken';
}

function decodeIpv6(bytes: Uint8Array, quoted: boolean): Layer[] {
  const length = word(bytes, 4);
  let end = Math.min(40 + length, bytes.length);
  let whole = !quoted && 40 + length <= bytes.length;
  let protocol = bytes[6] as number;
  let at = 40;
  const extensions: number[] = [];
  let fragment: { offset: number; more: boolean; id: number } | undefined;
  while ([0, 43, 44, 60].includes(protocol) && at + 8 <= end && (fragment?.offset ?? 0) === 0) {
    extensions.push(protocol);
    const isFragment = protocol === 44;
    if (isFragment) {
      const id = word(bytes, at + 4) * 0x1_0000 + word(bytes, at + 6);
      fragment = { offset: word(bytes, at + 2) & 0xfff8, more: (word(bytes, at + 2) & 1) === 1, id };
      whole = false;
    }
    protocol = bytes[at] as number;
    at += isFragment ? 8 : ((bytes[at + 1] as number) + 1) * 8;
  }
  end = Math.max(at, end);
  const from = bytes.subarray(8, 24);
  const to = bytes.subarray(24, 40);
  const fields = {
    trafficClass: (word(bytes, 0) >> 4) & 0xff,
    flowLabel: ((bytes[1] as number) & 15) * 0x1_0000 + word(bytes, 2),
    length,
    nextHeader: bytes[6],
    hopLimit: bytes[7],
    from: ipText(from),
    to: ipText(to),
    extensions,
    fragment,
    payload: bytes.subarray(at, end),
  };
  const inside = (fragment?.offset ?? 0) === 0 ? bytes.subarray(at, end) : new Uint8Array(0);
  return [{ name: 'ipv6', fields }, ...decodeTransport(inside, { from, to, protocol, whole })];
}

function decodeTransport(bytes: Uint8Array, ip: IpContext): Layer[] {
  if (ip.protocol === 6) return decodeTcp(bytes, ip);
  if (ip.protocol === 17) return decodeUdp(bytes, ip);
  if (ip.protocol === 1 || ip.protocol === 58) return decodeIcmp(bytes, ip);
  if (ip.protocol === 4 || ip.protocol === 41) return decodePacket(bytes, !ip.whole);
  return [{ name: 'other', fields: { protocol: ip.protocol, payload: bytes } }];
}

const TCP_FLAGS = ['fin', 'syn', 'rst', 'psh', 'ack', 'urg', 'ece', 'cwr'] as const;

/** A quote may hold eight bytes of TCP only: ports and sequence number. */
function decodeTcp(bytes: Uint8Array, ip: IpContext): Layer[] {
  if (bytes.length < 8) return [];
  const fields: Record<string, unknown> = { fromPort: word(bytes, 0), toPort: word(bytes, 2), seq: long(bytes, 4) };
  fields['checksum'] = 'unverifiable';
  if (bytes.length < 20) return [{ name: 'tcp', fields }];
  const headerBytes = ((bytes[12] as number) >> 4) * 4;
  const flags = bytes[13] as number;
  TCP_FLAGS.forEach((name, i) => {
    fields[name] = (flags & (1 << i)) !== 0;
  });
  Object.assign(fields, {
    acknowledgment: long(bytes, 8),
    window: word(bytes, 14),
    checksum: transportChecksumState(bytes, 16, ip),
    urgentPointer: word(bytes, 18),
    options: [...bytes.subarray(20, headerBytes)],
    payload: bytes.subarray(headerBytes),
  });
  return [{ name: 'tcp', fields }];
}

function decodeUdp(bytes: Uint8Array, ip: IpContext): Layer[] {
  if (bytes.length < 8) return [];
  const fields = {
    fromPort: word(bytes, 0),
    toPort: word(bytes, 2),
    length: word(bytes, 4),
    checksum: word(bytes, 6) === 0 ? 'none' : transportChecksumState(bytes, 6, ip),
    payload: bytes.subarray(8),
  };
  return [{ name: 'udp', fields }];
}

function decodeIcmp(bytes: Uint8Array, ip: IpContext): Layer[] {
  if (bytes.length < 8) return [];
  const type = bytes[0] as number;
  const isError = ip.protocol === 1 ? [3, 4, 5, 11, 12].includes(type) : type < 128;
  const fields = {
    type,
    code: bytes[1],
    checksum: transportChecksumState(bytes, 2, ip),
    id: word(bytes, 4),
    sequence: word(bytes, 6),
    mtu: ip.protocol === 1 ? word(bytes, 6) : long(bytes, 4),
    payload: bytes.subarray(8),
    quoted: isError ? decodePacket(bytes.subarray(8), true) : [],
  };
  return [{ name: 'icmp', fields }];
}

function transportChecksumState(bytes: Uint8Array, checksumAt: number, ip: IpContext): ChecksumState {
  if (!ip.whole) return 'unverifiable';
  const pseudo = ip.protocol === 1 ? new Uint8Array(0) : pseudoHeader(ip.from, ip.to, ip.protocol, bytes.length);
  if (internetChecksum(pseudo, bytes) === 0) return 'valid';
  return ip.protocol !== 1 && word(bytes, checksumAt) === onesComplementSum(pseudo) ? 'partial' : 'broken';
}

function word(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

function long(bytes: Uint8Array, at: number): number {
  return word(bytes, at) * 0x1_0000 + word(bytes, at + 2);
}

/** Frames for the packet I/O tests, and a checksum written differently from the one under test. */

const EXPERIMENTAL = 0x88b5;
export const ETHERNET_BYTES_MIN = 60;

/** A frame of the experimental EtherType, to everyone, that carries `text` and is `bytes` long. */
export function experimentalFrame(text: string, bytes = ETHERNET_BYTES_MIN, source = '020000000099'): Uint8Array {
  const frame = Buffer.alloc(bytes);
  frame.write(`ffffffffffff${source}`, 'hex');
  frame.writeUInt16BE(EXPERIMENTAL, 12);
  frame.writeUInt16BE(text.length, 14);
  frame.write(text, 16);
  return frame;
}

export function textOf(frame: string): string {
  const bytes = Buffer.from(frame, 'hex');
  return bytes.toString('latin1', 16, 16 + bytes.readUInt16BE(14));
}

/** RFC 1071, over a list of pieces that each have an even length but the last. */
export function referenceChecksum(...pieces: Uint8Array[]): number {
  const all = Buffer.concat([...pieces, Buffer.alloc(1)]);
  let sum = 0;
  for (let i = 0; i + 1 < all.length; i += 2) {
    sum += all.readUInt16BE(i);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return 0xffff - sum;
}

export interface PacketSpec {
  protocol: 'tcp' | 'udp';
  ipv6?: boolean;
  payload: Uint8Array;
  tcpFlags?: number;
  tcpOptions?: Uint8Array;
  sequence?: number;
  identification?: number;
  source?: readonly number[];
  destination?: readonly number[];
  sourcePort?: number;
  destinationPort?: number;
  sourceMac?: string;
  destinationMac?: string;
  /** Time to live, or hop limit; 64 unless told. */
  hops?: number;
  /** `complete`, or only the folded pseudo-header sum, or 0. */
  checksum?: 'complete' | 'partial' | 'none';
  /** Zero bytes behind the packet, as Ethernet pads short ones. */
  padding?: number;
}

/** An Ethernet frame with an IPv4 or IPv6 packet, layer by layer. */
export function packetFrame(spec: PacketSpec): Buffer {
  const options = spec.tcpOptions ?? new Uint8Array();
  const transport = Buffer.alloc(spec.protocol === 'tcp' ? 20 : 8);
  transport.writeUInt16BE(spec.sourcePort ?? 40000, 0);
  transport.writeUInt16BE(spec.destinationPort ?? 80, 2);
  if (spec.protocol === 'tcp') {
    transport.writeUInt32BE(spec.sequence ?? 1, 4);
    transport[12] = ((20 + options.length) / 4) << 4;
    transport[13] = spec.tcpFlags ?? 0x10;
    transport.writeUInt16BE(1000, 14);
  }
  const body = Buffer.concat([transport, options, spec.payload]);
  if (spec.protocol === 'udp') body.writeUInt16BE(body.length, 4);
  const number = spec.protocol === 'tcp' ? 6 : 17;
  const source = Buffer.from(spec.source ?? (spec.ipv6 ? [0xfd, ...Array(14).fill(0), 1] : [10, 0, 0, 1]));
  const destination = Buffer.from(spec.destination ?? (spec.ipv6 ? [0xfd, ...Array(14).fill(0), 2] : [10, 0, 0, 2]));
  const pseudo = Buffer.concat([source, destination, Buffer.from([0, number]), lengthOf(body.length)]);
  const checksumAt = spec.protocol === 'tcp' ? 16 : 6;
  if (spec.checksum === 'partial') body.writeUInt16BE(0xffff - referenceChecksum(pseudo), checksumAt);
  else if (spec.checksum !== 'none') body.writeUInt16BE(referenceChecksum(pseudo, body) || 0xffff, checksumAt);
  const ethernet = Buffer.from(
    `${spec.destinationMac ?? '020000000002'}${spec.sourceMac ?? '020000000001'}${spec.ipv6 ? '86dd' : '0800'}`,
    'hex',
  );
  const header = spec.ipv6
    ? ipv6Header(spec, number, body.length, source, destination)
    : ipv4Header(spec, number, body.length, source, destination);
  return Buffer.concat([ethernet, header, body, Buffer.alloc(spec.padding ?? 0)]);
}

function ipv4Header(spec: PacketSpec, protocol: number, length: number, source: Buffer, destination: Buffer): Buffer {
  const header = Buffer.concat([Buffer.alloc(12), source, destination]);
  header[0] = 0x45;
  header.writeUInt16BE(20 + length, 2);
  header.writeUInt16BE(spec.identification ?? 7, 4);
  header[6] = 0x40;
  header[8] = spec.hops ?? 64;
  header[9] = protocol;
  header.writeUInt16BE(referenceChecksum(header), 10);
  return header;
}

function ipv6Header(spec: PacketSpec, protocol: number, length: number, source: Buffer, destination: Buffer): Buffer {
  const header = Buffer.concat([Buffer.alloc(8), source, destination]);
  header[0] = 0x60;
  header.writeUInt16BE(length, 4);
  header[6] = protocol;
  header[7] = spec.hops ?? 64;
  return header;
}

function lengthOf(length: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(length & 0xffff);
  return bytes;
}

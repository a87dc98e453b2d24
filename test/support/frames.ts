/**
 * Builds frames layer by layer, with complete checksums unless told otherwise:
 *
 *     frame().ethernet({ to: VIP_MAC }).ipv4('10.0.0.5', '192.168.1.120', { ttl: 3 }).tcp(40000, 80, { syn: true })
 *
 * Layers that are not named get defaults. The last call answers the bytes. Nothing here uses src/wire, so that
 * tests compare two programs.
 */
import { ipBytes, macBytes } from './addresses.ts';
import { internetChecksum, onesComplementSum, pseudoHeader } from './internet-checksum.ts';

export const DEFAULT_FROM_MAC = '02:00:00:00:00:01';
export const DEFAULT_TO_MAC = '02:00:00:00:00:02';

const ICMP = 1;
const TCP = 6;
const UDP = 17;
const IPV6_FRAGMENT = 44;
const ICMPV6 = 58;

export interface EthernetFields {
  readonly from?: string;
  readonly to?: string;
  /** 802.1Q tag. */
  readonly vlan?: number;
  /** Ether type, when it is not that of the layer inside. */
  readonly type?: number;
  /** Fills the frame up with zeros, as cards do below 60 bytes. */
  readonly padTo?: number;
}

/** `offset` counts bytes. */
export interface FragmentFields {
  readonly offset: number;
  readonly more: boolean;
  /** IPv6 only; IPv4 has `id` in its header. */
  readonly id?: number;
}

export interface Ipv4Fields {
  readonly tos?: number;
  readonly id?: number;
  readonly df?: boolean;
  readonly fragment?: FragmentFields;
  readonly ttl?: number;
  /** Protocol number, when it is not that of the layer inside. */
  readonly protocol?: number;
  /** Filled up with "end of options" to a multiple of four. */
  readonly options?: readonly number[];
  readonly totalLength?: number;
  readonly checksum?: 'complete' | 'broken';
}

export interface Ipv6Fields {
  readonly trafficClass?: number;
  readonly flowLabel?: number;
  readonly hopLimit?: number;
  readonly fragment?: FragmentFields;
  /** Extension headers in order; `body` is what follows next header and length, filled up to a multiple of eight. */
  readonly extensions?: readonly { readonly type: number; readonly body: readonly number[] }[];
  readonly nextHeader?: number;
  readonly payloadLength?: number;
}

/**
 * `partial`: the field holds the sum of the pseudo-header only, as when a network card is to finish it.
 * `none` is for UDP. A number goes in as it is.
 */
export type ChecksumChoice = 'complete' | 'partial' | 'broken' | 'none' | number;

export interface TcpFields {
  readonly seq?: number;
  /** `true` sets the flag alone, a number also the acknowledgment. */
  readonly ack?: boolean | number;
  readonly syn?: boolean;
  readonly fin?: boolean;
  readonly rst?: boolean;
  readonly psh?: boolean;
  readonly urg?: boolean;
  readonly ece?: boolean;
  readonly cwr?: boolean;
  readonly window?: number;
  readonly urgentPointer?: number;
  /** Filled up with "no operation" to a multiple of four. */
  readonly options?: readonly number[];
  readonly payload?: Payload;
  readonly checksum?: ChecksumChoice;
}

export interface UdpFields {
  readonly payload?: Payload;
  readonly length?: number;
  readonly checksum?: ChecksumChoice;
}

export interface EchoFields {
  readonly id?: number;
  readonly sequence?: number;
  readonly payload?: Payload;
  readonly checksum?: ChecksumChoice;
}

export interface IcmpErrorFields {
  /** Next-hop MTU of "fragmentation needed" and "packet too big". */
  readonly mtu?: number;
  /** Bytes of the quoted packet that are kept; all of them by default. */
  readonly quoteBytes?: number;
  readonly checksum?: ChecksumChoice;
}

export interface ArpFields {
  readonly operation: 'request' | 'reply';
  readonly senderMac: string;
  readonly senderIp: string;
  readonly targetMac?: string;
  readonly targetIp: string;
}

export type Payload = Uint8Array | string;

interface IpLayer {
  readonly from: Uint8Array;
  readonly to: Uint8Array;
  wrap(payload: Uint8Array, protocol: number): Uint8Array;
}

/** An Ethernet frame. */
export function frame(): FrameBuilder {
  return new FrameBuilder({}, []);
}

/** The same from the IP header on. */
export function packet(): FrameBuilder {
  return new FrameBuilder(null, []);
}

export class FrameBuilder {
  readonly #ethernet: EthernetFields | null;
  readonly #layers: readonly IpLayer[];

  constructor(ethernet: EthernetFields | null, layers: readonly IpLayer[]) {
    this.#ethernet = ethernet;
    this.#layers = layers;
  }

  ethernet(fields: EthernetFields): FrameBuilder {
    return new FrameBuilder(fields, this.#layers);
  }

  /** Twice in a row makes IP in IP. */
  ipv4(from: string, to: string, fields: Ipv4Fields = {}): FrameBuilder {
    return new FrameBuilder(this.#ethernet, [...this.#layers, ipv4Layer(ipBytes(from), ipBytes(to), fields)]);
  }

  ipv6(from: string, to: string, fields: Ipv6Fields = {}): FrameBuilder {
    return new FrameBuilder(this.#ethernet, [...this.#layers, ipv6Layer(ipBytes(from), ipBytes(to), fields)]);
  }

  tcp(fromPort: number, toPort: number, fields: TcpFields = {}): Uint8Array {
    const options = filledUp(fields.options ?? [], 4, 1);
    const names = ['fin', 'syn', 'rst', 'psh', 'ack', 'urg', 'ece', 'cwr'] as const;
    const flags = names.reduce((bits, name, i) => bits | (isSet(fields[name]) ? 1 << i : 0), 0);
    const header = join(
      uint16(fromPort, toPort),
      uint32(fields.seq ?? 1, typeof fields.ack === 'number' ? fields.ack : 0),
      [(5 + options.length / 4) << 4, flags],
      uint16(fields.window ?? 65_535, 0, fields.urgentPointer ?? 0),
      options,
    );
    return this.#transport(TCP, join(header, payloadBytes(fields.payload)), 16, fields.checksum);
  }

  udp(fromPort: number, toPort: number, fields: UdpFields = {}): Uint8Array {
    const payload = payloadBytes(fields.payload);
    const datagram = join(uint16(fromPort, toPort, fields.length ?? 8 + payload.length, 0), payload);
    return this.#transport(UDP, datagram, 6, fields.checksum);
  }

  icmpEchoRequest(fields: EchoFields = {}): Uint8Array {
    return this.#echo(this.#isIpv6 ? 128 : 8, fields);
  }

  icmpEchoReply(fields: EchoFields = {}): Uint8Array {
    return this.#echo(this.#isIpv6 ? 129 : 0, fields);
  }

  /** An error about `quoted`, a packet from its IP header on (see `ipPacketOf`). */
  icmpError(type: number, code: number, quoted: Uint8Array, fields: IcmpErrorFields = {}): Uint8Array {
    const mtu = fields.mtu ?? 0;
    return this.icmp(type, code, uint32(mtu), quoted.slice(0, fields.quoteBytes), fields.checksum);
  }

  /** Any ICMP or ICMPv6 message: four bytes after the checksum, then the rest. */
  icmp(type: number, code: number, four: Uint8Array, rest: Payload, checksum?: ChecksumChoice): Uint8Array {
    const message = join([type, code, 0, 0], four, payloadBytes(rest));
    return this.#transport(this.#isIpv6 ? ICMPV6 : ICMP, message, 2, checksum);
  }

  /** Anything inside IP: later fragments, protocols we have no words for. */
  payload(protocol: number, payload: Payload): Uint8Array {
    return this.#wrap(payloadBytes(payload), protocol);
  }

  arp(fields: ArpFields): Uint8Array {
    const message = join(
      uint16(1, 0x0800, 0x0604, fields.operation === 'request' ? 1 : 2),
      macBytes(fields.senderMac),
      ipBytes(fields.senderIp),
      macBytes(fields.targetMac ?? '00:00:00:00:00:00'),
      ipBytes(fields.targetIp),
    );
    return this.#onWire(message, 0x0806);
  }

  get #isIpv6(): boolean {
    return this.#layers.at(-1)?.from.length === 16;
  }

  #echo(type: number, fields: EchoFields): Uint8Array {
    const four = uint16(fields.id ?? 1, fields.sequence ?? 1);
    return this.icmp(type, 0, four, fields.payload ?? '', fields.checksum);
  }

  #transport(protocol: number, bytes: Uint8Array, checksumAt: number, choice: ChecksumChoice = 'complete'): Uint8Array {
    const ip = this.#layers.at(-1);
    if (ip === undefined) throw new Error('a transport layer needs an IP layer before it');
    const pseudo = protocol === ICMP ? new Uint8Array(0) : pseudoHeader(ip.from, ip.to, protocol, bytes.length);
    let value = internetChecksum(pseudo, bytes);
    if (protocol === UDP && value === 0) value = 0xffff;
    if (choice === 'partial') value = onesComplementSum(pseudo);
    if (choice === 'broken') value ^= 0x5555;
    if (choice === 'none') value = 0;
    if (typeof choice === 'number') value = choice;
    bytes.set(uint16(value), checksumAt);
    return this.#wrap(bytes, protocol);
  }

  #wrap(payload: Uint8Array, protocol: number): Uint8Array {
    let inner = payload;
    let innerProtocol = protocol;
    for (const layer of this.#layers.toReversed()) {
      inner = layer.wrap(inner, innerProtocol);
      innerProtocol = layer.from.length === 4 ? 4 : 41;
    }
    return this.#onWire(inner, innerProtocol === 4 ? 0x0800 : 0x86dd);
  }

  #onWire(payload: Uint8Array, type: number): Uint8Array {
    const fields = this.#ethernet;
    if (fields === null) return payload;
    const tag = fields.vlan === undefined ? [] : uint16(0x8100, fields.vlan);
    const addresses = join(macBytes(fields.to ?? DEFAULT_TO_MAC), macBytes(fields.from ?? DEFAULT_FROM_MAC));
    const bytes = join(addresses, tag, uint16(fields.type ?? type), payload);
    return join(bytes, new Uint8Array(Math.max(0, (fields.padTo ?? 0) - bytes.length)));
  }
}

function ipv4Layer(from: Uint8Array, to: Uint8Array, fields: Ipv4Fields): IpLayer {
  const options = filledUp(fields.options ?? [], 4, 0);
  const fragment = fields.fragment ?? { offset: 0, more: false };
  const flags = (fields.df === true ? 0x4000 : 0) | (fragment.more ? 0x2000 : 0) | (fragment.offset / 8);
  const wrap = (payload: Uint8Array, protocol: number): Uint8Array => {
    const totalLength = fields.totalLength ?? 20 + options.length + payload.length;
    const header = join(
      [0x45 + options.length / 4, fields.tos ?? 0],
      uint16(totalLength, fields.id ?? 0, flags),
      [fields.ttl ?? 64, fields.protocol ?? protocol, 0, 0],
      from,
      to,
      options,
    );
    const checksum = internetChecksum(header) ^ (fields.checksum === 'broken' ? 0x5555 : 0);
    header.set(uint16(checksum), 10);
    return join(header, payload);
  };
  return { from, to, wrap };
}

function ipv6Layer(from: Uint8Array, to: Uint8Array, fields: Ipv6Fields): IpLayer {
  const wrap = (payload: Uint8Array, protocol: number): Uint8Array => {
    let next = fields.nextHeader ?? protocol;
    let body = payload;
    if (fields.fragment !== undefined) {
      const { offset, more, id } = fields.fragment;
      body = join([next, 0], uint16(offset | (more ? 1 : 0)), uint32(id ?? 0), body);
      next = IPV6_FRAGMENT;
    }
    for (const extension of (fields.extensions ?? []).toReversed()) {
      const filled = filledUp([next, 0, ...extension.body], 8, 0);
      filled[1] = filled.length / 8 - 1;
      body = join(filled, body);
      next = extension.type;
    }
    const first = 0x6000_0000 + (fields.trafficClass ?? 0) * 0x10_0000 + (fields.flowLabel ?? 0);
    const length = uint16(fields.payloadLength ?? body.length);
    return join(uint32(first), length, [next, fields.hopLimit ?? 64], from, to, body);
  };
  return { from, to, wrap };
}

/** The packet inside an Ethernet frame, from its IP header on. */
export function ipPacketOf(frameBytes: Uint8Array): Uint8Array {
  return frameBytes.slice(frameBytes[12] === 0x81 && frameBytes[13] === 0 ? 18 : 14);
}

/** Cuts an IPv4 frame without options into fragments that fit `mtu`. The transport checksum stays that of the whole. */
export function fragmentsOf(whole: Uint8Array, mtu: number): Uint8Array[] {
  const pieceBytes = (mtu - 20) & ~7;
  const data = whole.subarray(34);
  const result: Uint8Array[] = [];
  for (let offset = 0; offset < data.length; offset += pieceBytes) {
    const piece = join(whole.subarray(0, 34), data.subarray(offset, offset + pieceBytes));
    const more = offset + pieceBytes < data.length;
    piece.set(uint16(piece.length - 14), 16);
    piece.set(uint16((more ? 0x2000 : 0) | (offset / 8)), 20);
    piece.set([0, 0], 24);
    piece.set(uint16(internetChecksum(piece.subarray(14, 34))), 24);
    result.push(piece);
  }
  return result;
}

function payloadBytes(payload: Payload = ''): Uint8Array {
  return typeof payload === 'string' ? new TextEncoder().encode(payload) : payload;
}

function isSet(flag: boolean | number | undefined): boolean {
  return flag !== undefined && flag !== false;
}

function filledUp(bytes: readonly number[], multiple: number, filler: number): Uint8Array {
  const result = new Uint8Array(Math.ceil(bytes.length / multiple) * multiple).fill(filler);
  result.set(bytes);
  return result;
}

function uint16(...values: readonly number[]): Uint8Array {
  return Uint8Array.from(values.flatMap((value) => [(value >> 8) & 0xff, value & 0xff]));
}

function uint32(...values: readonly number[]): Uint8Array {
  return uint16(...values.flatMap((value) => [Math.floor(value / 0x1_0000), value % 0x1_0000]));
}

function join(...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}

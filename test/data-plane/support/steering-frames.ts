/** Frames that steering tells apart, one by one and at random, and the facts it tells them apart by. */
import { SteeringFacts } from '../../../src/data-plane/steering/facts.ts';
import type { Command } from '../../../src/model/commands.ts';
import { formatAddress, parseAddress } from '../../../src/wire/address.ts';
import type { Random } from '../../support/random.ts';
import { destination, key, service } from './specs.ts';

export const VIP = '192.0.2.10';
export const VIP6 = '2001:db8::10';
export const SERVER = '10.0.0.1';
export const SERVER6 = 'fd00::1';
export const LOCAL = '10.0.0.254';
export const LOCAL6 = 'fd00::254';
export const ETHERNET = Uint8Array.of(2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2);

export function facts(shards: number, ...more: Command[]): SteeringFacts {
  const made = new SteeringFacts(shards);
  for (const vip of [VIP, VIP6]) made.note({ name: 'addService', service: service(key(vip, 80)) });
  for (const [vip, address] of [
    [VIP, SERVER],
    [VIP6, SERVER6],
  ] as const) {
    made.note({ name: 'addDestination', service: key(vip, 80), destination: destination(address, 8080) });
  }
  for (const command of more) made.note(command);
  made.noteLocal(LOCAL);
  made.noteLocal(LOCAL6);
  return made;
}

export interface Ip {
  readonly from: string;
  readonly to: string;
  readonly protocol?: number;
  readonly payload?: Uint8Array;
  /** The field of an IPv4 header, or of a fragment header behind it. */
  readonly fragment?: number;
  readonly extensions?: readonly number[];
  readonly optionWords?: number;
}

export function ports(from: number, to: number): Uint8Array {
  return Uint8Array.of(from >> 8, from, to >> 8, to, 0, 0, 0, 0, 0, 0, 0, 0);
}

function bytesOf(text: string): number[] {
  const { family, words } = parseAddress(text) ?? { family: 'ipv4', words: new Int32Array(4) };
  const bytes = [...words].flatMap((word) => [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255]);
  return family === 'ipv6' ? bytes : bytes.slice(12);
}

export function ip(packet: Ip): Uint8Array {
  const { from, to, protocol = 6, payload = ports(40000, 80), fragment = 0, extensions = [], optionWords = 0 } = packet;
  if (!from.includes(':')) {
    const header = [0x45 + optionWords, 0, 0, 0, 0, 0, fragment >> 8, fragment & 255, 64, protocol, 0, 0];
    return Uint8Array.of(
      ...header,
      ...bytesOf(from),
      ...bytesOf(to),
      ...new Array(4 * optionWords).fill(0),
      ...payload,
    );
  }
  const chain = [...extensions, ...(fragment === 0 ? [] : [44]), protocol];
  const behind = chain.slice(1).flatMap((next, n) => {
    if (chain[n] === 44) return [next, 0, fragment >> 8, fragment & 255, 0, 0, 0, 0];
    return [next, n % 2, ...new Array(6 + 8 * (n % 2)).fill(0)];
  });
  const header = [0x60, 0, 0, 0, 0, 0, chain[0] as number, 64];
  return Uint8Array.of(...header, ...bytesOf(from), ...bytesOf(to), ...behind, ...payload);
}

export function frame(packet: Ip): Uint8Array {
  const type = packet.from.includes(':') ? [0x86, 0xdd] : [0x08, 0x00];
  return Uint8Array.of(...ETHERNET, ...type, ...ip(packet));
}

export function icmpError(type: number, about: Uint8Array): Uint8Array {
  return Uint8Array.of(type, 0, 0, 0, 0, 0, 0, 0, ...about);
}

export const client = (n: number) => formatAddress('ipv4', [0, 0, 0, 0x0b000000 + n]);
export const client6 = (n: number) => formatAddress('ipv6', [0x20010db8, 7, 0, n]);
export const clients = [...Array(16).keys()];

/** Of every kind, whole and cut, some with a byte that is wrong. */
export function randomFrames(random: Random): () => Uint8Array {
  const pick = <T>(list: readonly T[]): T => list[random.below(list.length)] as T;
  const v4 = [VIP, SERVER, LOCAL, '10.0.1.5', '239.1.2.3', ...clients.map(client)];
  const v6 = [VIP6, SERVER6, LOCAL6, 'fe80::1', 'fd00:1::1', ...clients.map(client6)];
  const kinds = [6, 17, 132, 1, 58, 47, 4, 50, 2];
  const make = (depth: number): Ip => {
    const addresses = random.below(2) === 0 ? v4 : v6;
    const protocol = pick(kinds);
    const inner = depth < 2 ? ip(make(depth + 1)) : ports(1, 2);
    const icmp = icmpError(pick([0, 1, 2, 3, 4, 5, 8, 11, 12, 128, 133, 135, 137, 138]), inner);
    return {
      from: pick(addresses),
      to: pick(addresses),
      protocol,
      payload:
        protocol === 1 || protocol === 58 ? icmp : ports(pick([80, 1024, 6080]), pick([80, 1024, 1025, 6080, 65535])),
      fragment: random.below(5) === 0 ? pick([0x2000, 0x0001, 0x00b9, 0x4000, 0x8000]) : 0,
      extensions: [...Array(random.below(5))].map(() => pick([0, 43, 60])),
      optionWords: random.below(3),
    };
  };
  return () => {
    let bytes = frame(make(0));
    if (random.below(4) === 0) bytes = bytes.slice(0, random.below(bytes.length));
    if (random.below(8) === 0 && bytes.length > 0) bytes[random.below(bytes.length)] = random.below(256);
    return bytes;
  };
}

/** The XDP program against the guard's own rules: it takes what they hold back, and only that. */
import { describe, expect, test } from 'vitest';
import {
  destinationEntries,
  type GuardEntry,
  type GuardedPacket,
  type GuardSurroundings,
  isHeldBack,
  serviceEntries,
} from '../../../src/data-plane/guard-entries.ts';
import { claimsOf } from '../../../src/data-plane/packet/claimer.ts';
import type { ServiceProtocol } from '../../../src/model/service.ts';
import { claimKey, portRangeValue, prefixKey } from '../../../src/packet-io/xdp/claim-keys.ts';
import { XDP_PASS, XDP_REDIRECT, xdpProgram } from '../../../src/packet-io/xdp/xdp-program.ts';
import { parseAddress } from '../../../src/wire/address.ts';
import { seededRandom } from '../../balance/support.ts';
import { type Maps, runXdp } from '../../packet-io/support/bpf-interpreter.ts';

const CLAIMS = 11;
const HOST = 12;
const SOCKETS = 13;
const MAC = '020000000001';
const NUMBERS = { tcp: 6, udp: 17, sctp: 132 } as const;

const entries: readonly GuardEntry[] = [
  ...serviceEntries({ protocol: 'tcp', address: '10.0.0.80', port: 80 }),
  ...serviceEntries({ protocol: 'udp', address: '10.0.0.80', port: 0 }),
  ...serviceEntries({ protocol: 'sctp', address: 'fd00::80', port: 80 }),
  ...serviceEntries({ protocol: 'tcp', address: 'fd00::80', port: 80 }),
  ...destinationEntries({ protocol: 'tcp', address: '10.0.0.80', port: 80 }, {
    address: '10.0.0.11',
    port: 8080,
    method: 'masquerade',
    weight: 1,
  } as never),
  ...destinationEntries({ protocol: 'udp', address: '10.0.0.80', port: 0 }, {
    address: '10.0.0.11',
    port: 0,
    method: 'masquerade',
    weight: 1,
  } as never),
  ...destinationEntries({ protocol: 'tcp', address: 'fd00::80', port: 80 }, {
    address: 'fd00::11',
    port: 8080,
    method: 'masquerade',
    weight: 1,
  } as never),
];
const surroundings: GuardSurroundings = {
  isHostAddress: (address) => ['10.0.0.1', 'fd00::1'].includes(address),
  localPortRange: [32_768, 60_999],
};

const maps: Maps = {
  lookUp(map, key) {
    const text = Buffer.from(key).toString('hex');
    if (map === CLAIMS) return claims.has(text) ? Uint8Array.of(1, 0, 0, 0) : null;
    // A trie of whole addresses is a set of them.
    return hosts.has(text) ? portRangeValue(surroundings.localPortRange) : null;
  },
  keyBytes: (map) => (map === CLAIMS ? 20 : 24),
  redirect: (map, index, otherwise) => (map === SOCKETS && index === 0 ? XDP_REDIRECT : otherwise),
};
const claims = new Set(claimsOf(entries).map((claim) => Buffer.from(claimKey(claim)).toString('hex')));
const hosts = new Set(
  ['10.0.0.1', 'fd00::1'].map((text) => {
    const address = addressBytes(text);
    return Buffer.from(prefixKey(address, address.length * 8)).toString('hex');
  }),
);
const program = xdpProgram(
  { claims: CLAIMS, hostAddresses: HOST, sockets: SOCKETS },
  { mac: Buffer.from(MAC, 'hex'), frameBytesMax: 1514, takesAll: false, passesUnfinished: true },
);
const verdict = (frame: Uint8Array, queue = 0) => runXdp(program, frame, queue, maps);

interface Packet {
  protocol: ServiceProtocol;
  source: string;
  sourcePort: number;
  destination: string;
  destinationPort: number;
}
interface Odds {
  mac?: string;
  checksum?: 'complete' | 'unfinished';
  payloadBytes?: number;
  /** IPv4's flags and offset, and first byte. */
  fragment?: number;
  version?: number;
}

function frameOf(packet: Packet, odds: Odds = {}): Buffer {
  const { protocol, source, sourcePort, destination, destinationPort } = packet;
  const headerBytes = { tcp: 20, udp: 8, sctp: 12 }[protocol];
  const transport = Buffer.alloc(headerBytes + (odds.payloadBytes ?? 18), 0x5a);
  transport.writeUInt16BE(sourcePort, 0);
  transport.writeUInt16BE(destinationPort, 2);
  const [from, to] = [addressBytes(source), addressBytes(destination)];
  const pseudo = sumOf(Buffer.concat([from, to])) + NUMBERS[protocol] + transport.length;
  const field = { tcp: 16, udp: 6, sctp: 8 }[protocol];
  if (protocol === 'sctp') transport.writeUInt32BE(odds.checksum === 'unfinished' ? 0 : 0x12345678, field);
  else {
    transport.writeUInt16BE(0, field);
    const unfinished = fold(pseudo);
    transport.writeUInt16BE(
      odds.checksum === 'unfinished' ? unfinished : 0xffff - fold(pseudo + sumOf(transport)),
      field,
    );
  }
  const ethernet = Buffer.from(`${odds.mac ?? MAC}020000000099${from.length === 16 ? '86dd' : '0800'}`, 'hex');
  const ip = Buffer.alloc(from.length === 16 ? 40 : 20);
  if (from.length === 16) {
    ip[0] = odds.version ?? 0x60;
    ip.writeUInt16BE(transport.length, 4);
    ip[6] = NUMBERS[protocol];
    ip.set(from, 8);
    ip.set(to, 24);
  } else {
    ip[0] = odds.version ?? 0x45;
    ip.writeUInt16BE(20 + transport.length, 2);
    ip.writeUInt16BE(odds.fragment ?? 0x4000, 6);
    ip[9] = NUMBERS[protocol];
    ip.set(from, 12);
    ip.set(to, 16);
  }
  return Buffer.concat([ethernet, ip, transport]);
}

function addressBytes(text: string): Buffer {
  const { family, words } = parseAddress(text) as NonNullable<ReturnType<typeof parseAddress>>;
  const bytes = Buffer.alloc(16);
  words.forEach((word, i) => void bytes.writeInt32BE(word, i * 4));
  return family === 'ipv6' ? bytes : bytes.subarray(12);
}

function sumOf(bytes: Buffer): number {
  let sum = 0;
  const even = bytes.length % 2 === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(1)]);
  for (let i = 0; i < even.length; i += 2) sum += even.readUInt16BE(i);
  return sum;
}

function fold(sum: number): number {
  return sum > 0xffff ? fold((sum & 0xffff) + (sum >>> 16)) : sum;
}

const request: Packet = {
  protocol: 'tcp',
  source: '192.0.2.1',
  sourcePort: 40_000,
  destination: '10.0.0.80',
  destinationPort: 80,
};

describe('the XDP program', () => {
  test('takes exactly what the guard holds back of the packets that it looks at', () => {
    const random = seededRandom(20_261_129);
    const pick = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)] as T;
    const seen = { taken: 0, passed: 0 };
    for (let i = 0; i < 20_000; i++) {
      const six = random() < 0.4;
      const addresses = six
        ? ['fd00::80', 'fd00::11', 'fd00::1', 'fd00::99', 'fe80::80', 'ff02::1']
        : ['10.0.0.80', '10.0.0.11', '10.0.0.1', '10.0.0.99'];
      const packet: Packet = {
        protocol: pick(['tcp', 'udp', 'sctp'] as const),
        source: pick(addresses),
        sourcePort: pick([80, 8080, 40_000, 1]),
        destination: pick(addresses),
        destinationPort: pick([80, 8080, 32_767, 32_768, 60_999, 61_000, 0]),
      };
      const held = isHeldBack(packet as GuardedPacket, entries, surroundings);
      seen[held ? 'taken' : 'passed']++;
      const note = JSON.stringify(packet);
      expect(verdict(frameOf(packet)), note).toBe(held ? XDP_REDIRECT : XDP_PASS);
      expect(verdict(frameOf(packet, { checksum: 'unfinished' })), note).toBe(XDP_PASS);
    }
    expect(seen.taken).toBeGreaterThan(2_000);
    expect(seen.passed).toBeGreaterThan(2_000);
  });

  test('lets pass what it cannot judge: fragments, options, other hosts, long frames, queues without a socket', () => {
    expect(verdict(frameOf(request))).toBe(XDP_REDIRECT);
    expect(verdict(frameOf(request), 1)).toBe(XDP_PASS);
    for (const odds of [
      { fragment: 0x2000 },
      { fragment: 0x0001 },
      { version: 0x46 },
      { version: 0x65 },
      { mac: '020000000002' },
      { mac: '030000000001' },
      { mac: 'ffffffffffff' },
    ]) {
      expect(verdict(frameOf(request, odds)), JSON.stringify(odds)).toBe(XDP_PASS);
    }
    expect(verdict(frameOf(request, { payloadBytes: 1460 }))).toBe(XDP_REDIRECT);
    expect(verdict(frameOf(request, { payloadBytes: 1461 }))).toBe(XDP_PASS);
    const tagged = frameOf(request);
    tagged.writeUInt16BE(0x8100, 12);
    expect(verdict(tagged)).toBe(XDP_PASS);
    const ping = frameOf(request);
    ping[23] = 1;
    expect(verdict(ping)).toBe(XDP_PASS);
  });

  test('never reads beyond a frame, however short or strange it is', () => {
    const random = seededRandom(7);
    const whole = [
      frameOf(request),
      frameOf({ ...request, protocol: 'sctp', source: 'fd00::5', destination: 'fd00::80' }),
      frameOf({ ...request, protocol: 'udp' }),
    ];
    for (const frame of whole) {
      for (let length = 0; length <= frame.length; length++) verdict(frame.subarray(0, length));
      for (let i = 0; i < 2_000; i++) {
        const strange = Buffer.from(frame.subarray(0, Math.floor(random() * (frame.length + 1))));
        for (let n = 0; n < 3 && strange.length > 0; n++) {
          strange[Math.floor(random() * strange.length)] = Math.floor(random() * 256);
        }
        expect([XDP_PASS, XDP_REDIRECT]).toContain(verdict(strange));
      }
    }
  });

  test('where no super-frames come, takes unfinished checksums as well', () => {
    const native = xdpProgram(
      { claims: CLAIMS, hostAddresses: HOST, sockets: SOCKETS },
      { mac: Buffer.from(MAC, 'hex'), frameBytesMax: 1514, takesAll: false, passesUnfinished: false },
    );
    expect(runXdp(native, frameOf(request, { checksum: 'unfinished' }), 0, maps)).toBe(XDP_REDIRECT);
    expect(runXdp(native, frameOf({ ...request, destination: '10.0.0.99' }), 0, maps)).toBe(XDP_PASS);
  });
});

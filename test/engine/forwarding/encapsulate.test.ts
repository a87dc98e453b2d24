import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  encapsulate,
  flowHash,
  gueSourcePort,
  type InnerPacket,
  NO_ROOM_FOR_TUNNEL,
  SUPER_FRAME_IN_TUNNEL,
  TunnelWay,
  tunnelOverhead,
} from '../../../src/engine/forwarding/encapsulate.ts';
import type { TunnelSpec } from '../../../src/model/forwarding.ts';
import { parseIpv4 } from '../../../src/wire/address.ts';
import { readInt32, readUint16, writeUint8 } from '../../../src/wire/bytes.ts';
import { addBytes, checksum, fold, pseudoHeaderSum } from '../../../src/wire/checksum.ts';
import { readTunnelHeaders, TunnelHeaders } from '../../../src/wire/encapsulation.ts';
import { decrementIpv4Ttl, ipv4HeaderBytes } from '../../../src/wire/ipv4.ts';
import { fromHex, readVectorFile, toHex } from '../../support/vectors.ts';

const HEADROOM = 64;
const IPIP: TunnelSpec = { type: 'ipip', port: 0, checksum: 'none' };
const GUE: TunnelSpec = { type: 'gue', port: 6080, checksum: 'none' };
const GRE: TunnelSpec = { type: 'gre', port: 0, checksum: 'none' };

interface Recorded {
  readonly recording: string;
  readonly pathMtuDiscovery: boolean;
  readonly tunnel: TunnelSpec;
  readonly packets: readonly { readonly input: string; readonly output: string }[];
}

interface Vector {
  readonly title: string;
  readonly tunnel: {
    readonly type: TunnelSpec['type'];
    readonly checksum?: boolean;
    readonly gue_port?: number | null;
  };
  readonly input: string;
  readonly output: string;
}

/** The packet as it lies in a slot, with free bytes in front; its time to live is already one less. */
function lay(ip: Uint8Array, more: Partial<InnerPacket> = {}): InnerPacket & { bytes: Uint8Array } {
  const bytes = new Uint8Array(HEADROOM + ip.length).fill(0xee);
  bytes.set(ip, HEADROOM);
  const ipv6 = (ip[0] as number) >>> 4 === 6;
  if (ipv6) writeUint8(bytes, HEADROOM + 7, (bytes[HEADROOM + 7] as number) - 1);
  else decrementIpv4Ttl(bytes, HEADROOM);
  return {
    bytes,
    ipAt: HEADROOM,
    transportAt: HEADROOM + (ipv6 ? 40 : ipv4HeaderBytes(ip, 0, ip.length)),
    end: bytes.length,
    ipv6,
    protocol: ip[ipv6 ? 6 : 9] as number,
    partialChecksum: false,
    segmentBytes: 0,
    ...more,
  };
}

/** Addresses, identification and GUE source port are the recorded ones: nobody can foresee them. */
function wayLike(output: Uint8Array, pathMtuDiscovery: boolean): TunnelWay {
  const way = new TunnelWay();
  const { outer } = way;
  way.pathMtuDiscovery = pathMtuDiscovery;
  outer.ipv6 = (output[0] as number) >>> 4 === 6;
  if (outer.ipv6) {
    for (const index of [0, 1, 2, 3] as const) {
      outer[`source${index}`] = readInt32(output, 8 + 4 * index);
      outer[`destination${index}`] = readInt32(output, 24 + 4 * index);
    }
    way.sourcePort = readUint16(output, 40);
  } else {
    outer.source3 = readInt32(output, 12);
    outer.destination3 = readInt32(output, 16);
    way.nextIdentification = readUint16(output, 4);
    way.sourcePort = readUint16(output, 20);
  }
  return way;
}

function encapsulated(packet: InnerPacket, tunnel: TunnelSpec, way: TunnelWay): string {
  const at = encapsulate(packet, 0, tunnel, way);
  expect(at).toBe(packet.ipAt - tunnelOverhead(tunnel, way.outer.ipv6));
  // Nothing in front of the outer header was touched.
  expect(packet.bytes.subarray(0, at).every((byte) => byte === 0xee)).toBe(true);
  return toHex(packet.bytes.subarray(at, packet.end));
}

describe('tunnelled packets are those of the kernel, byte for byte', () => {
  const recordings = readVectorFile<Recorded[]>(import.meta.url, 'recorded-tunnels.json');
  for (const { recording, tunnel, pathMtuDiscovery, packets } of recordings) {
    test(`${recording}: ${packets.length} packets`, () => {
      for (const { input, output } of packets) {
        const way = wayLike(fromHex(output), pathMtuDiscovery);
        expect(encapsulated(lay(fromHex(input)), tunnel, way)).toBe(output);
      }
    });
  }

  const { tunnel: vectors } = readVectorFile<{ tunnel: Vector[] }>(import.meta.url, 'packets.json');
  for (const vector of vectors) {
    test(vector.title, () => {
      const tunnel: TunnelSpec = {
        type: vector.tunnel.type,
        port: vector.tunnel.gue_port ?? 0,
        checksum: vector.tunnel.checksum ? 'full' : 'none',
      };
      const way = wayLike(fromHex(vector.output), true);
      expect(encapsulated(lay(fromHex(vector.input)), tunnel, way)).toBe(vector.output);
    });
  }
});

test('the overhead is that of the headers', () => {
  const sizes = (ipv6: boolean) =>
    [IPIP, GUE, GRE, { ...GRE, checksum: 'full' } as const].map((tunnel) => tunnelOverhead(tunnel, ipv6));
  expect(sizes(false)).toEqual([20, 32, 24, 28]);
  expect(sizes(true)).toEqual([40, 52, 44, 48]);
  expect(tunnelOverhead({ ...GUE, checksum: 'remote' }, false, true)).toBe(40);
});

describe('identifications', () => {
  const fragmentable = '45010028004d000032068a7bcb007105c000020104b100520000000100000000500203e8a8ef0000';
  test('of packets that may be fragmented count up and begin again', () => {
    const way = new TunnelWay();
    way.nextIdentification = 0xffff;
    expect(encapsulated(lay(fromHex(fragmentable)), IPIP, way).slice(8, 12)).toBe('ffff');
    expect(encapsulated(lay(fromHex(fragmentable)), IPIP, way).slice(8, 12)).toBe('0000');
    expect(way.nextIdentification).toBe(1);
  });

  test('are not used up by packets that may not', () => {
    const way = new TunnelWay();
    way.nextIdentification = 7;
    const input = fromHex('45bb0028004d4000320649c1cb007105c0000201056b00520000000100000000500203e8a8350000');
    expect(encapsulated(lay(input), IPIP, way).slice(8, 16)).toBe('00004000');
    expect(way.nextIdentification).toBe(7);
  });
});

describe('checksums that the sender left to its network card', () => {
  const CLIENT = parseIpv4('203.0.113.5') as number;
  const VIRTUAL = parseIpv4('192.0.2.1') as number;
  /** A TCP segment of 8 bytes whose checksum field holds the pseudo-header's sum. */
  function unfinished(): InnerPacket & { bytes: Uint8Array } {
    const ip = fromHex(
      '45000030004d4000400600000000000000000000056b0052000000010000000050100020000000006162636465666768',
    );
    new DataView(ip.buffer).setInt32(12, CLIENT);
    new DataView(ip.buffer).setInt32(16, VIRTUAL);
    new DataView(ip.buffer).setUint16(36, fold(pseudoHeaderSum(CLIENT, VIRTUAL, 6, 28)));
    new DataView(ip.buffer).setUint16(10, checksum(ip, 0, 20));
    return lay(ip, { partialChecksum: true });
  }
  const isRight = (packet: InnerPacket) =>
    fold(addBytes(pseudoHeaderSum(CLIENT, VIRTUAL, 6, 28), packet.bytes, packet.transportAt, packet.end)) === 0xffff;

  for (const tunnel of [IPIP, GUE, { ...GUE, checksum: 'full' }, GRE, { ...GRE, checksum: 'full' }] as TunnelSpec[]) {
    test(`are finished before a packet enters a tunnel: ${tunnel.type}, checksum ${tunnel.checksum}`, () => {
      const packet = unfinished();
      expect(isRight(packet)).toBe(false);
      expect(encapsulate(packet, 0, tunnel, new TunnelWay())).toBeGreaterThan(0);
      expect(isRight(packet)).toBe(true);
    });
  }

  test('are left to the other end by GUE with remote checksums, which says where they are', () => {
    const packet = unfinished();
    const before = readUint16(packet.bytes, packet.transportAt + 16);
    const at = encapsulate(packet, 0, { ...GUE, checksum: 'remote' }, new TunnelWay());
    expect(at).toBe(HEADROOM - 40);
    expect(readUint16(packet.bytes, packet.transportAt + 16)).toBe(before);
    // Two words of options, IPv4 inside, private flags present; remote checksum; sum from 20, checksum at 36.
    expect(toHex(packet.bytes.subarray(at + 28, at + 40))).toBe('0204000180000000' + '00140024');
    const datagram = pseudoHeaderSum(0, 0, 17, packet.end - at - 20);
    expect(fold(addBytes(datagram, packet.bytes, at + 20, packet.end))).toBe(0xffff);
  });

  test('are finished for UDP too, where 0 is sent as all ones', () => {
    const ip = fromHex('4500001e004d40004011000000000000000000000001000200 0a0000ffff'.replace(' ', ''));
    // Ports, length and payload sum to what makes the complement 0.
    new DataView(ip.buffer).setUint16(26, 0xffff - fold(1 + 2 + 10 + 0xffff));
    const packet = lay(ip, { partialChecksum: true });
    encapsulate(packet, 0, IPIP, new TunnelWay());
    expect(readUint16(packet.bytes, packet.transportAt + 6)).toBe(0xffff);
  });
});

describe('refusals leave the packet alone', () => {
  const input = fromHex('45010028004d000032068a7bcb007105c000020104b100520000000100000000500203e8a8ef0000');
  test('when there is no room before it', () => {
    const packet = lay(input);
    const before = toHex(packet.bytes);
    expect(encapsulate(packet, HEADROOM - 19, IPIP, new TunnelWay())).toBe(NO_ROOM_FOR_TUNNEL);
    expect(toHex(packet.bytes)).toBe(before);
    expect(encapsulate(packet, HEADROOM - 20, IPIP, new TunnelWay())).toBe(HEADROOM - 20);
  });

  test('when it stands for many segments', () => {
    expect(encapsulate(lay(input, { segmentBytes: 1448 }), 0, IPIP, new TunnelWay())).toBe(SUPER_FRAME_IN_TUNNEL);
  });

  test('when the outer packet would be longer than IP can say', () => {
    const long = new Uint8Array(65_520);
    long.set(input);
    expect(encapsulate(lay(long), 0, IPIP, new TunnelWay())).toBe(NO_ROOM_FOR_TUNNEL);
  });
});

describe('GUE source ports', () => {
  const flow = (port: number) => ({
    ipv6: false,
    protocol: 6,
    source0: 0,
    source1: 0,
    source2: 0,
    source3: 0x0a000001,
    sourcePort: port,
    destination0: 0,
    destination1: 0,
    destination2: 0,
    destination3: 0x0a000064,
    destinationPort: 80,
  });
  test('stay in the given range and are the same for one flow', () => {
    fc.assert(
      fc.property(fc.integer(), fc.nat(65_535), fc.nat(65_535), fc.nat(65_535), (seed, port, a, b) => {
        const [low, high] = a < b ? [a, b] : [b, a];
        const chosen = gueSourcePort(flowHash(seed, flow(port)), low, high);
        expect(chosen).toBeGreaterThanOrEqual(low);
        expect(chosen).toBeLessThanOrEqual(high);
        expect(gueSourcePort(flowHash(seed, flow(port)), low, high)).toBe(chosen);
      }),
    );
  });

  test('differ between flows', () => {
    const ports = new Set<number>();
    for (let port = 0; port < 1000; port++) ports.add(gueSourcePort(flowHash(7, flow(port)), 32_768, 60_999));
    expect(ports.size).toBeGreaterThan(950);
  });
});

describe('tunnel headers are read back', () => {
  const into = new TunnelHeaders();
  for (const tunnel of [IPIP, GUE, GRE, { ...GRE, checksum: 'full' }, { ...GUE, checksum: 'full' }] as TunnelSpec[]) {
    test(`${tunnel.type}, checksum ${tunnel.checksum}`, () => {
      const packet = lay(fromHex('45010028004d000032068a7bcb007105c000020104b100520000000100000000500203e8a8ef0000'));
      const at = encapsulate(packet, 0, tunnel, new TunnelWay());
      expect(readTunnelHeaders(packet.bytes, at + 20, packet.end, packet.bytes[at + 9] as number, into)).toBe(true);
      expect(into.type).toBe(tunnel.type);
      expect(into.port).toBe(tunnel.port);
      expect(into.innerAt).toBe(packet.ipAt);
      expect(into.hasChecksum).toBe(tunnel.type === 'gre' && tunnel.checksum === 'full');
    });
  }

  test('and what our tunnels never write is not taken for one', () => {
    const read = (hex: string, protocol: number) => {
      const bytes = fromHex(hex);
      return readTunnelHeaders(bytes, 0, bytes.length, protocol, into);
    };
    const udp = '123417c000340000';
    expect(read(`${udp}00040000`, 17)).toBe(true);
    expect(read(`${udp}40040000`, 17)).toBe(false);
    expect(read(`${udp}20040000`, 17)).toBe(false);
    expect(read(`${udp}00290000`, 17)).toBe(false);
    expect(read(`${udp}000400`, 17)).toBe(false);
    expect(read(`${udp}01040000`, 17)).toBe(false);
    expect(read('00000800', 47)).toBe(true);
    expect(read('000086dd', 47)).toBe(false);
    expect(read('20000800', 47)).toBe(false);
    expect(read('80000800', 47)).toBe(false);
    expect(read('000008', 47)).toBe(false);
    expect(read('45', 6)).toBe(false);
  });

  test('never from outside the given bytes', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 40 }),
        fc.nat(20),
        fc.nat(20),
        fc.constantFrom(4, 17, 47, 41, 6),
        (bytes, start, cut, protocol) => {
          const at = Math.min(start, bytes.length);
          const end = Math.max(at, bytes.length - cut);
          const found = readTunnelHeaders(bytes, at, end, protocol, into) ? { ...into } : null;
          if (found !== null) expect(found.innerAt).toBeLessThanOrEqual(end);
          // The same answer when other bytes surround the packet.
          const other = bytes.map((byte, i) => (i >= at && i < end ? byte : ~byte));
          expect(readTunnelHeaders(other, at, end, protocol, into) ? { ...into } : null).toEqual(found);
        },
      ),
    );
  });
});

import { execFileSync, spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  CAPTURE_INTERFACES_MAX,
  type CaptureDirection,
  CaptureFileError,
  LinkType,
} from '../../src/wire/capture-format.ts';
import { PcapngReader } from '../../src/wire/pcapng-file.ts';
import { PcapngWriter } from '../../src/wire/pcapng-writer.ts';
import { readCapture } from '../support/captures.ts';
import { frame } from '../support/frames.ts';
import { mutate, Random } from '../support/random.ts';

const syn = frame().ipv4('10.0.0.5', '192.168.1.120').tcp(40000, 7070, { syn: true });
const TIME_NS = 1_700_000_000_123_456_789n;
const ETHERNET = { linkType: LinkType.ETHERNET, snapBytes: 0 };

/** A file out of blocks, each written as its hexadecimal body; type and both lengths are added. Little-endian. */
function fileOf(...blocks: readonly [type: number, body: string][]): Uint8Array {
  return Buffer.concat(
    blocks.map(([type, hex]) => {
      const body = Buffer.from(hex.replaceAll(/\s/g, ''), 'hex');
      const block = Buffer.alloc(12 + body.length);
      block.writeUInt32LE(type, 0);
      block.writeUInt32LE(block.length, 4);
      body.copy(block, 8);
      block.writeUInt32LE(block.length, block.length - 4);
      return block;
    }),
  );
}

const SECTION: [number, string] = [0x0a0d0d0a, '4d3c2b1a 0100 0000 ffffffffffffffff'];
const INTERFACE: [number, string] = [1, '0100 0000 00000000'];
const PACKET: [number, string] = [6, '00000000 00000000 40420f00 04000000 3c000000 aabbccdd'];

describe('pcapng files', () => {
  test('say names, addresses, times, directions and comments', () => {
    const writer = new PcapngWriter({ application: 'uipvs' });
    const mac = Uint8Array.of(2, 0, 0, 0, 0, 1);
    const file = Buffer.concat([
      writer.header(),
      writer.interface({ ...ETHERNET, name: 'c0', mac }),
      writer.packet(0, syn, TIME_NS, { direction: 'inbound', comments: ['first', 'größer'] }),
      writer.interface({ ...ETHERNET, name: 's0' }),
      writer.packet(1, syn.slice(0, 33), TIME_NS + 1n, { direction: 'outbound', originalBytes: 54 }),
    ]);
    const { interfaces, packets } = readCapture(file);
    expect(interfaces).toEqual([
      { ...ETHERNET, name: 'c0', mac },
      { ...ETHERNET, name: 's0' },
    ]);
    const first = { interfaceIndex: 0, timestampNs: TIME_NS, data: syn, originalBytes: 54 };
    expect(packets).toEqual([
      { ...first, direction: 'inbound', comments: ['first', 'größer'] },
      {
        interfaceIndex: 1,
        timestampNs: TIME_NS + 1n,
        data: syn.slice(0, 33),
        originalBytes: 54,
        direction: 'outbound',
        comments: [],
      },
    ]);
  });

  test('come back as they were written, in either byte order and pieces of any size', () => {
    const directions = fc.constantFrom<CaptureDirection>('inbound', 'outbound', 'unknown');
    const packets = fc.tuple(
      fc.uint8Array({ maxLength: 60 }),
      fc.bigInt(0n, (1n << 64n) - 1n),
      directions,
      fc.array(fc.string({ unit: 'grapheme' }), { maxLength: 3 }),
    );
    fc.assert(
      fc.property(fc.boolean(), fc.array(packets), fc.integer({ min: 1, max: 50 }), (littleEndian, all, chunkBytes) => {
        const writer = new PcapngWriter({ littleEndian });
        const head = [writer.header(), writer.interface(ETHERNET)];
        const blocks = all.map(([data, time, direction, comments]) =>
          writer.packet(0, data, time, { direction, comments }),
        );
        const found = readCapture(Buffer.concat([...head, ...blocks]), chunkBytes).packets;
        expect(found.map((packet) => [packet.data, packet.timestampNs, packet.direction, packet.comments])).toEqual(
          all,
        );
      }),
    );
  });

  test.skipIf(spawnSync('tcpdump', ['--version']).status !== 0)('are opened by tcpdump', () => {
    for (const littleEndian of [true, false]) {
      const writer = new PcapngWriter({ littleEndian, application: 'uipvs' });
      const file = Buffer.concat([
        writer.header(),
        writer.interface({ ...ETHERNET, name: 'c0', mac: Uint8Array.of(2, 0, 0, 0, 0, 1) }),
        writer.packet(0, syn, TIME_NS, { direction: 'inbound', comments: ['odd'] }),
      ]);
      const arguments_ = ['-n', '-tt', '--nano', '-r', '-'];
      const line = execFileSync('tcpdump', arguments_, { input: file, stdio: ['pipe', 'pipe', 'ignore'] }).toString();
      expect(line).toBe(
        '1700000000.123456789 IP 10.0.0.5.40000 > 192.168.1.120.7070: Flags [S], seq 1, win 65535, length 0\n',
      );
    }
  });

  test('without a time resolution count microseconds', () => {
    const { packets } = readCapture(fileOf(SECTION, INTERFACE, PACKET));
    expect(packets).toMatchObject([{ timestampNs: 1_000_000_000n, originalBytes: 60 }]);
    expect(packets[0]?.data).toEqual(Uint8Array.of(0xaa, 0xbb, 0xcc, 0xdd));
  });

  test('may count in powers of two and from another beginning', () => {
    // if_tsresol 2^-10, if_tsoffset 100 seconds.
    const described: [number, string] = [1, '0100 0000 00000000 0900 0100 8a000000 0e00 0800 6400000000000000'];
    const packet: [number, string] = [6, '00000000 00000000 00060000 00000000 00000000'];
    expect(readCapture(fileOf(SECTION, described, packet)).packets).toMatchObject([{ timestampNs: 101_500_000_000n }]);
  });

  test('may hold simple packets, which the interface cuts off and which have the time of the one before', () => {
    const snapping: [number, string] = [1, '0100 0000 02000000'];
    const simple: [number, string] = [3, '3c000000 11220000'];
    const { packets } = readCapture(fileOf(SECTION, snapping, simple, PACKET, simple));
    expect(packets.map((packet) => [packet.timestampNs, packet.originalBytes])).toEqual([
      [0n, 60],
      [1_000_000_000n, 60],
      [1_000_000_000n, 60],
    ]);
    expect(packets[2]?.data).toEqual(Uint8Array.of(0x11, 0x22));
  });

  test('may hold packets in the obsolete form', () => {
    // Interface 0, three drops, one second, four bytes, then pack_flags "outbound".
    const body = '0000 0300 00000000 40420f00 04000000 3c000000 aabbccdd 0200 0400 02000000 0000 0000';
    expect(readCapture(fileOf(SECTION, INTERFACE, [2, body])).packets).toMatchObject([
      { timestampNs: 1_000_000_000n, direction: 'outbound', originalBytes: 60 },
    ]);
  });

  test('may have several sections, each with its own interfaces and byte order', () => {
    const bigEndian = new PcapngWriter({ littleEndian: false });
    const file = Buffer.concat([
      fileOf(SECTION, INTERFACE, PACKET),
      bigEndian.header(),
      bigEndian.interface({ ...ETHERNET, name: 'second' }),
      bigEndian.packet(0, syn, TIME_NS),
    ]);
    const { interfaces, packets } = readCapture(file, 7);
    expect(interfaces.map((one) => one.name)).toEqual([undefined, 'second']);
    expect(packets.map((packet) => packet.interfaceIndex)).toEqual([0, 1]);
  });

  test('blocks of unknown types are passed over without being kept', () => {
    const unknown: [number, string] = [0x0bad, '00'.repeat(40_000)];
    expect(readCapture(fileOf(SECTION, unknown, INTERFACE, unknown, PACKET), 1000).packets).toHaveLength(1);
  });
});

describe('damaged pcapng files', () => {
  const head = fileOf(SECTION, INTERFACE);

  test.each<[string, Uint8Array, number, RegExp]>([
    ['an empty section header', fileOf([0x0a0d0d0a, '']), 8, /byte order magic/],
    ['a byte order that is none', fileOf([0x0a0d0d0a, '11111111 0100 0000 ffffffffffffffff']), 8, /byte order magic/],
    ['another version', fileOf([0x0a0d0d0a, '4d3c2b1a 0200 0000 ffffffffffffffff']), 12, /found 2\.0/],
    ['another link type', fileOf(SECTION, [1, '6900 0000 00000000']), 36, /link type 105/],
    [
      'a block that is cut off',
      Buffer.concat([head, fileOf(PACKET).subarray(0, 30)]),
      48,
      /takes 36 bytes, but only 30/,
    ],
    [
      'a length below the least',
      Buffer.concat([head, Buffer.from('060000000800000008000000', 'hex')]),
      52,
      /claims 8 bytes/,
    ],
    ['an odd length', Buffer.concat([head, Buffer.from('060000000d0000000d000000', 'hex')]), 52, /multiple of 4/],
    [
      'a giant block',
      Buffer.concat([head, Buffer.from('06000000f0ffffff00000000', 'hex')]),
      52,
      /claims 4294967280 bytes/,
    ],
    ['a giant unknown block', Buffer.concat([head, Buffer.from('0b000000f0ffffff00000000', 'hex')]), 60, /cut off/],
    [
      'two lengths that differ',
      Buffer.concat([fileOf(SECTION), Buffer.from('01000000140000000100000000000000ff000000', 'hex')]),
      44,
      /expected the block's length, 20/,
    ],
    ['an interface that is not there', fileOf(SECTION, PACKET), 36, /names interface 0, but the section describes 0/],
    [
      'a packet longer than its block',
      fileOf(SECTION, INTERFACE, [6, '00000000 00000000 00000000 ff000000 ff000000']),
      76,
      /claims 255 bytes; its block leaves room for at most 0/,
    ],
    [
      'a simple packet longer than its block',
      fileOf(SECTION, INTERFACE, [3, 'ffffffff']),
      60,
      /claims 4294967295 bytes/,
    ],
    [
      'an option longer than its block',
      fileOf(SECTION, [1, '0100 0000 00000000 0200 ff00']),
      44,
      /option 2 claims 255 bytes; 0 are left/,
    ],
    [
      'a block too short for its type',
      fileOf(SECTION, INTERFACE, [6, '00000000']),
      52,
      /type 6 cannot have only 16 bytes/,
    ],
  ])('%s is refused with its place and the reason', (_, file, offset, reason) => {
    let failure: unknown;
    try {
      readCapture(file);
    } catch (error) {
      failure = error;
    }
    expect(failure).toBeInstanceOf(CaptureFileError);
    expect((failure as Error).message).toMatch(reason);
    expect(failure).toMatchObject({ offset });
  });

  test('a file that begins with something else is refused', () => {
    const reader = new PcapngReader();
    reader.push(fileOf(INTERFACE));
    expect(() => reader.next()).toThrow('capture file, byte 0: expected a section header (0a0d0d0a)');
  });

  test('interfaces without end are refused', () => {
    const many = Array.from({ length: CAPTURE_INTERFACES_MAX + 1 }, () => INTERFACE);
    expect(() => readCapture(fileOf(SECTION, ...many))).toThrow(/expected at most 4096 interfaces/);
  });

  test('whatever the bytes are, reading ends with packets or a CaptureFileError', () => {
    const random = Random.fromEnvironment();
    const writer = new PcapngWriter();
    const whole = Buffer.concat([
      writer.header(),
      writer.interface({ ...ETHERNET, name: 'c0' }),
      writer.packet(0, syn, TIME_NS, { comments: ['a'], direction: 'inbound' }),
      writer.packet(0, syn, TIME_NS),
    ]);
    let refused = 0;
    for (let i = 0; i < 5_000; i++) {
      try {
        readCapture(mutate(random, whole, [fileOf(SECTION, INTERFACE, PACKET)]), random.between(1, 100));
      } catch (error) {
        expect(error, `seed ${random.seed}`).toBeInstanceOf(CaptureFileError);
        refused++;
      }
    }
    expect(refused, `seed ${random.seed}`).toBeGreaterThan(500);
  });
});

import { execFileSync, spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CAPTURE_PACKET_BYTES_MAX, CaptureFileError, LinkType } from '../../src/wire/capture-format.ts';
import { createCaptureReader } from '../../src/wire/capture-reader.ts';
import { PcapReader, PcapWriter } from '../../src/wire/pcap-file.ts';
import { readCapture } from '../support/captures.ts';
import { frame, packet } from '../support/frames.ts';

const syn = frame().ipv4('10.0.0.5', '192.168.1.120').tcp(40000, 7070, { syn: true });
const TIME_NS = 1_700_000_000_123_456_789n;

/** A file as tcpdump of a big-endian machine wrote it: microseconds, one packet of four bytes, cut off from 60. */
const BIG_ENDIAN_FILE = `a1b2c3d4 0002 0004 00000000 00000000 00040000 00000065
  65535f00 0001e240 00000004 0000003c 45000028`;

describe('classic capture files', () => {
  test('are read in big-endian order and microseconds', () => {
    const reader = new PcapReader();
    reader.push(Buffer.from(BIG_ENDIAN_FILE.replaceAll(/\s/g, ''), 'hex'));
    expect(reader.next()).toEqual({
      interfaceIndex: 0,
      timestampNs: 0x65535f00n * 1_000_000_000n + 123_456_000n,
      data: Uint8Array.of(0x45, 0, 0, 0x28),
      originalBytes: 60,
      direction: 'unknown',
      comments: [],
    });
    expect(reader.interfaces).toEqual([{ linkType: LinkType.RAW, snapBytes: 262_144 }]);
    expect(reader.next()).toBeNull();
    reader.end();
    expect(reader.next()).toBeNull();
  });

  test('come back as they were written, in every order and unit, in pieces of any size', () => {
    fc.assert(
      fc.property(
        fc.boolean(),
        fc.constantFrom<'microseconds' | 'nanoseconds'>('microseconds', 'nanoseconds'),
        fc.constantFrom(...Object.values(LinkType)),
        fc.array(fc.tuple(fc.uint8Array({ maxLength: 100 }), fc.bigInt(0n, 0xffffffffn * 1_000_000_000n))),
        fc.integer({ min: 1, max: 50 }),
        (littleEndian, resolution, linkType, packets, chunkBytes) => {
          const writer = new PcapWriter({ linkType, resolution, littleEndian });
          const file = Buffer.concat([writer.header(), ...packets.map(([data, time]) => writer.packet(data, time))]);
          const { interfaces, packets: found } = readCapture(file, chunkBytes);
          expect(interfaces).toEqual([{ linkType, snapBytes: CAPTURE_PACKET_BYTES_MAX }]);
          const unitNs = resolution === 'microseconds' ? 1000n : 1n;
          expect(found.map((packet) => [packet.data, packet.timestampNs])).toEqual(
            packets.map(([data, time]) => [data, time - (time % unitNs)]),
          );
        },
      ),
    );
  });

  test.skipIf(spawnSync('tcpdump', ['--version']).status !== 0)('are opened by tcpdump', () => {
    for (const littleEndian of [true, false]) {
      for (const resolution of ['microseconds', 'nanoseconds'] as const) {
        const writer = new PcapWriter({ linkType: LinkType.ETHERNET, resolution, littleEndian });
        const file = Buffer.concat([writer.header(), writer.packet(syn, TIME_NS, 1000)]);
        const arguments_ = ['-n', '-tt', '--nano', '-r', '-'];
        const line = execFileSync('tcpdump', arguments_, { input: file, stdio: ['pipe', 'pipe', 'ignore'] }).toString();
        const time = resolution === 'microseconds' ? '1700000000.123456000' : '1700000000.123456789';
        expect(line).toBe(`${time} IP 10.0.0.5.40000 > 192.168.1.120.7070: Flags [S], seq 1, win 65535, length 0\n`);
      }
    }
  });

  test('refuse packets that no reader would take', () => {
    const writer = new PcapWriter({ linkType: LinkType.ETHERNET });
    expect(() => writer.packet(new Uint8Array(CAPTURE_PACKET_BYTES_MAX + 1), 0n)).toThrow(RangeError);
  });
});

describe('files that are no classic capture files', () => {
  const header = new PcapWriter({ linkType: LinkType.ETHERNET }).header();
  const record = new PcapWriter({ linkType: LinkType.ETHERNET }).packet(syn, TIME_NS);

  /** `header` with some bytes changed. */
  function changed(at: number, ...bytes: number[]): Uint8Array {
    const result = header.slice();
    result.set(bytes, at);
    return result;
  }

  const LYING_RECORD = Buffer.from('00000000000000000000ffff0000ffff', 'hex');
  test.each<[string, Uint8Array, number, RegExp]>([
    ['an empty file', new Uint8Array(0), 0, /found one of 0 bytes/],
    ['a file of two bytes', header.slice(0, 2), 0, /found one of 2 bytes/],
    ['a text', Buffer.from('hello world, this is no capture'), 0, /begins with 68656c6c/],
    ['a header that is cut off', header.slice(0, 20), 0, /takes 24 bytes, but only 20 are left/],
    ['another version', changed(4, 3, 0), 4, /expected version 2\.4 of the format, found 3\.4/],
    ['another link type', changed(20, 105), 20, /link type 105 \(IEEE 802\.11 wireless LAN\) cannot be read/],
    [
      'a packet header that is cut off',
      Buffer.concat([header, record.slice(0, 15)]),
      24,
      /takes 16 bytes, but only 15/,
    ],
    ['a packet that is cut off', Buffer.concat([header, record.slice(0, 40)]), 24, /takes 70 bytes, but only 40/],
    [
      'a length that cannot be',
      Buffer.concat([header, LYING_RECORD]),
      24,
      /claims 4294901760 bytes; expected at most 262144/,
    ],
  ])('%s is refused with its place and the reason', (_, file, offset, reason) => {
    let failure: unknown;
    try {
      readCapture(file);
    } catch (error) {
      failure = error;
    }
    expect(failure).toBeInstanceOf(CaptureFileError);
    expect(failure).toMatchObject({ offset });
    expect((failure as Error).message).toMatch(reason);
  });

  test('packets before the damage are still read', () => {
    const reader = createCaptureReader();
    reader.push(Buffer.concat([header, record, record.slice(0, 20)]));
    reader.end();
    expect(reader.next()?.data).toEqual(syn);
    expect(() => reader.next()).toThrow(/byte 94: /);
    expect(() => reader.next()).toThrow(/byte 94: /);
  });

  test('a reader of classic files alone names the magic number it found', () => {
    const reader = new PcapReader();
    reader.push(changed(0, 0x34, 0xcd, 0xb2, 0xa1));
    expect(() => reader.next()).toThrow(/found 34cdb2a1/);
  });

  test('a raw IP capture keeps its packets without a link header', () => {
    const raw = packet().ipv4('10.0.0.5', '192.168.1.120').udp(1, 2);
    const writer = new PcapWriter({ linkType: LinkType.RAW });
    const { packets } = readCapture(Buffer.concat([writer.header(), writer.packet(raw, 0n)]));
    expect(packets[0]?.data).toEqual(raw);
  });
});

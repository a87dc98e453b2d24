import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { completeChecksum, looksPartial, looksTruncated, segmentCount, writeSegment } from '../../src/wire/segment.ts';
import { type PacketSpec, packetFrame, referenceChecksum } from '../packet-io/support/frames.ts';

const anyPacket = fc.record({
  protocol: fc.constantFrom('tcp' as const, 'udp' as const),
  ipv6: fc.boolean(),
  payload: fc.uint8Array({ maxLength: 300 }),
  padding: fc.constantFrom(0, 3, 10),
  sequence: fc.nat(0xffffffff),
});

/** Cuts a frame as a back end does. */
function segments(frame: Uint8Array, segmentBytes: number): Buffer[] {
  const count = segmentCount(frame, 0, frame.length, segmentBytes);
  return Array.from({ length: count }, (_, index) => {
    const out = Buffer.alloc(70000, 0xee);
    return out.subarray(5, 5 + writeSegment(frame, 0, frame.length, segmentBytes, index, out, 5));
  });
}

/** Offset of the transport header behind Ethernet and an IP header without options. */
const transportAt = (spec: PacketSpec) => (spec.ipv6 ? 54 : 34);

describe('partial checksums', () => {
  test('a finished checksum is the one a complete packet carries', () => {
    fc.assert(
      fc.property(anyPacket, (spec) => {
        const frame = packetFrame({ ...spec, checksum: 'partial' });
        expect(completeChecksum(frame, 0, frame.length)).toBe(true);
        expect(frame.toString('hex')).toBe(packetFrame({ ...spec, checksum: 'complete' }).toString('hex'));
      }),
    );
  });

  test('a partial checksum is recognised, a complete one and a missing one are not', () => {
    fc.assert(
      fc.property(anyPacket, (spec) => {
        const partial = packetFrame({ ...spec, checksum: 'partial' });
        const complete = packetFrame({ ...spec, checksum: 'complete' });
        const none = packetFrame({ ...spec, checksum: 'none' });
        // A packet whose own bytes sum to zero has a complete checksum that looks just like a partial one.
        fc.pre(!partial.equals(complete));
        expect(looksPartial(partial, 0, partial.length)).toBe(true);
        expect(looksPartial(complete, 0, complete.length)).toBe(false);
        expect(looksPartial(none, 0, none.length)).toBe(false);
      }),
    );
  });

  test('a corrupted packet does not pass for a partial one', () => {
    const frame = packetFrame({ protocol: 'tcp', payload: Buffer.from('hello') });
    frame[frame.length - 1]! ^= 0x40;
    expect(looksPartial(frame, 0, frame.length)).toBe(false);
  });

  test('fragments and other protocols are left alone', () => {
    const fragment = packetFrame({ protocol: 'udp', payload: Buffer.alloc(40), checksum: 'partial' });
    fragment[6 + 14] = 0x20;
    const icmp = packetFrame({ protocol: 'udp', payload: Buffer.alloc(40), checksum: 'partial' });
    icmp[23] = 1;
    for (const frame of [fragment, icmp]) {
      const before = Buffer.from(frame);
      expect(looksPartial(frame, 0, frame.length)).toBe(false);
      expect(completeChecksum(frame, 0, frame.length)).toBe(false);
      expect(frame.equals(before)).toBe(true);
    }
  });

  test('any bytes are looked at without a write outside the frame', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), fc.boolean(), fc.nat(200), (noise, ipv6, segmentBytes) => {
        const frame = Buffer.alloc(160, 0xaa);
        frame.set(noise, 20);
        if (noise.length >= 14) frame.writeUInt16BE(ipv6 ? 0x86dd : 0x0800, 32);
        const end = 20 + noise.length;
        looksPartial(frame, 20, end);
        looksTruncated(frame, 20, end);
        completeChecksum(frame, 20, end);
        segmentCount(frame, 20, end, segmentBytes);
        expect(frame.subarray(0, 20).every((byte) => byte === 0xaa)).toBe(true);
        expect(frame.subarray(end).every((byte) => byte === 0xaa)).toBe(true);
      }),
    );
  });

  test('a packet that says it is longer than its frame was cut off', () => {
    for (const ipv6 of [false, true]) {
      const frame = packetFrame({ protocol: 'tcp', ipv6, payload: Buffer.alloc(100), padding: 4 });
      expect(looksTruncated(frame, 0, frame.length)).toBe(false);
      expect(looksTruncated(frame, 0, frame.length - 5)).toBe(true);
    }
  });
});

describe('segmentation', () => {
  const superFrame = fc.record({
    protocol: fc.constantFrom('tcp' as const, 'udp' as const),
    ipv6: fc.boolean(),
    payload: fc.uint8Array({ minLength: 1, maxLength: 5000 }),
    segmentBytes: fc.integer({ min: 8, max: 1500 }),
    sequence: fc.constantFrom(1, 0xffffff00, 0x7fffffff),
    identification: fc.constantFrom(7, 0xfffe),
  });

  test('the segments carry the payload in order, in sizes that were asked for, with valid checksums', () => {
    fc.assert(
      fc.property(superFrame, ({ segmentBytes, ...spec }) => {
        const frame = packetFrame({ ...spec, checksum: 'partial' });
        const at = transportAt(spec);
        const headerBytes = at + (spec.protocol === 'tcp' ? 20 : 8);
        const parts = segments(frame, segmentBytes);
        expect(Buffer.concat(parts.map((part) => part.subarray(headerBytes))).equals(spec.payload)).toBe(true);
        parts.forEach((part, index) => {
          const payload = part.subarray(headerBytes);
          expect(payload.length).toBe(index < parts.length - 1 ? segmentBytes : payload.length);
          expect(payload.length).toBeGreaterThan(0);
          // Built from nothing, the segment has the same bytes: lengths, sequence, identification, checksums.
          const alone = packetFrame({
            ...spec,
            payload,
            sequence: (spec.sequence + index * segmentBytes) >>> 0,
            identification: (spec.identification + index) & 0xffff,
          });
          expect(part.toString('hex')).toBe(alone.toString('hex'));
        });
      }),
    );
  });

  test('FIN and PSH stand on the last segment only, CWR on the first only', () => {
    const frame = packetFrame({ protocol: 'tcp', payload: Buffer.alloc(250), tcpFlags: 0x10 | 0x80 | 0x09 });
    expect(segments(frame, 100).map((part) => part[34 + 13])).toEqual([0x90, 0x10, 0x19]);
  });

  test('TCP options are repeated on every segment', () => {
    const tcpOptions = Buffer.from('0101080a0000000100000002', 'hex');
    const parts = segments(packetFrame({ protocol: 'tcp', tcpOptions, payload: Buffer.alloc(250, 1) }), 100);
    expect(parts).toHaveLength(3);
    for (const part of parts) expect(part.subarray(54, 66).equals(tcpOptions)).toBe(true);
  });

  test('padding behind the packet is no payload', () => {
    const frame = packetFrame({ protocol: 'tcp', payload: Buffer.alloc(20, 1), padding: 30 });
    expect(segments(frame, 15).map((part) => part.length)).toEqual([54 + 15, 54 + 5]);
  });

  test('what is neither TCP nor UDP, or has no known segment size, is not cut', () => {
    const frame = packetFrame({ protocol: 'udp', payload: Buffer.alloc(3000) });
    expect(segmentCount(frame, 0, frame.length, 0)).toBe(0);
    frame[23] = 132;
    expect(segmentCount(frame, 0, frame.length, 1000)).toBe(0);
  });

  test('the reference checksum of these tests agrees with the example of RFC 1071', () => {
    expect(referenceChecksum(Buffer.from('0001f203f4f5f6f7', 'hex'))).toBe(0xffff - 0xddf2);
  });
});

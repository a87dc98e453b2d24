import { describe, expect, test } from 'vitest';
import { MemoryIo } from '../../src/packet-io/memory.ts';
import type { Link } from '../../src/packet-io/packet-io.ts';
import { type FaultRates, withFaults } from '../../src/packet-io/with-faults.ts';
import { FrameFlag, NO_LINK } from '../../src/wire/packet-batch.ts';

const link: Link = { index: 2, name: 'c0', mac: Uint8Array.of(2, 0, 0, 0, 0, 2), mtu: 1500, loopback: false };

/** A frame that carries a number, and 30 bytes of nothing. */
function numbered(number: number): Uint8Array {
  const bytes = new Uint8Array(32);
  new DataView(bytes.buffer).setUint16(0, number);
  return bytes;
}

function numberOf(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint16(0);
}

/** Sends frames 0..count-1 through a bad cable in, and answers what arrives. */
function receiveAll(count: number, seed: number, receive: FaultRates) {
  const memory = new MemoryIo([link], { queueFrames: count });
  const io = withFaults(memory, { seed, receive });
  for (let i = 0; i < count; i++) memory.inject(2, numbered(i));
  const batch = io.createBatch(16);
  const frames: Uint8Array[] = [];
  // Two empty answers in a row: everything has come, also what was held back.
  for (let empty = 0; empty < 2; ) {
    empty = io.receive(batch) === 0 ? empty + 1 : 0;
    for (let slot = 0; slot < batch.count; slot++) frames.push(batch.frame(slot));
  }
  return { frames, numbers: frames.map(numberOf), faults: io.faults };
}

const inOrder = Array.from({ length: 1000 }, (_, i) => i);

describe('a bad cable', () => {
  test('without faults changes nothing, neither bytes nor what is beside them', () => {
    expect(receiveAll(1000, 1, {}).numbers).toEqual(inOrder);
    const memory = new MemoryIo([link]);
    const io = withFaults(memory, { seed: 1 });
    memory.inject(2, numbered(1), { mark: 4, partialChecksum: true, segmentBytes: 1448 });
    const batch = io.createBatch(4);
    expect(io.receive(batch)).toBe(1);
    expect([batch.mark[0], batch.flags[0], batch.segmentBytes[0], batch.ingress[0], batch.egress[0]]).toEqual([
      4,
      FrameFlag.PARTIAL_CHECKSUM,
      1448,
      2,
      NO_LINK,
    ]);
    batch.egress[0] = 2;
    expect(io.transmit(batch)).toBe(1);
    expect(memory.takeTransmitted(2)).toEqual([{ bytes: numbered(1), partialChecksum: true, segmentBytes: 1448 }]);
  });

  test('loses about as many frames as it should, and says how many', () => {
    const { numbers, faults } = receiveAll(1000, 2, { loss: 0.2 });
    expect(numbers).toHaveLength(1000 - faults.lost);
    expect(faults.lost).toBeGreaterThan(150);
    expect(faults.lost).toBeLessThan(250);
    expect(numbers).toEqual(inOrder.filter((number) => numbers.includes(number)));
  });

  test('gives some frames twice', () => {
    const { numbers, faults } = receiveAll(1000, 3, { duplication: 0.1 });
    expect(numbers).toHaveLength(1000 + faults.duplicated);
    expect(faults.duplicated).toBeGreaterThan(50);
    expect([...new Set(numbers)]).toEqual(inOrder);
  });

  test('lets frames overtake each other, and none is lost', () => {
    const { numbers, faults } = receiveAll(1000, 4, { reordering: 0.1 });
    expect(faults.reordered).toBeGreaterThan(50);
    expect(numbers).not.toEqual(inOrder);
    expect(numbers.toSorted((a, b) => a - b)).toEqual(inOrder);
    const farthest = Math.max(...numbers.map((number, place) => Math.abs(number - place)));
    expect(farthest).toBeLessThanOrEqual(10);
  });

  test('turns one bit round in some frames', () => {
    const { frames, faults } = receiveAll(1000, 5, { bitFlip: 0.1 });
    const differences = frames.map((bytes, i) => {
      const sent = numbered(i);
      return bytes.reduce(
        (bits, byte, at) => bits + (byte ^ (sent[at] as number)).toString(2).replaceAll('0', '').length,
        0,
      );
    });
    expect(new Set(differences)).toEqual(new Set([0, 1]));
    expect(differences.filter((bits) => bits === 1)).toHaveLength(faults.flipped);
    expect(faults.flipped).toBeGreaterThan(50);
  });

  test('does the same again with the same seed, and something else with another', () => {
    const rates = { loss: 0.1, duplication: 0.1, reordering: 0.1, bitFlip: 0.1 };
    const first = receiveAll(500, 6, rates);
    expect(receiveAll(500, 6, rates)).toEqual(first);
    expect(receiveAll(500, 7, rates).numbers).not.toEqual(first.numbers);
  });

  test('is bad on the way out, too, and gives held back frames away when nothing comes any more', () => {
    const memory = new MemoryIo([link]);
    const io = withFaults(memory, { seed: 8, transmit: { reordering: 0.5, loss: 0.1 } });
    const batch = io.createBatch(1);
    for (let i = 0; i < 200; i++) {
      batch.clear();
      batch.egress[batch.push(numbered(i), 2)] = i % 10 === 9 ? NO_LINK : 2;
      io.transmit(batch);
    }
    io.receive(batch);
    const numbers = memory.take(2).map(numberOf);
    expect(numbers).toHaveLength(180 - io.faults.lost);
    expect(numbers).not.toEqual(numbers.toSorted((a, b) => a - b));
    expect(numbers.some((number) => number % 10 === 9)).toBe(false);
  });

  test('waits only when it holds nothing back', () => {
    const memory = new MemoryIo([link]);
    const waits: number[] = [];
    memory.wait = (timeoutMs) => void waits.push(timeoutMs);
    const io = withFaults(memory, { seed: 9, receive: { reordering: 1 } });
    const batch = io.createBatch(4);
    io.wait(10);
    memory.inject(2, numbered(1));
    expect(io.receive(batch)).toBe(0);
    io.wait(20);
    expect(io.receive(batch)).toBe(1);
    io.wait(30);
    expect(waits).toEqual([10, 30]);
  });

  test('attaches, detaches and closes what it wraps', () => {
    const memory = new MemoryIo();
    const io = withFaults(memory, { seed: 10 });
    io.attach(link);
    expect(memory.links).toEqual([link]);
    expect(io.links).toEqual([link]);
    io.detach(2);
    expect(io.links).toEqual([]);
    io.attach(link);
    io.close();
    expect(memory.links).toEqual([]);
    expect(io.counters).toBe(memory.counters);
  });
});

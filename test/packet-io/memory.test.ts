import { describe, expect, test } from 'vitest';
import { MemoryIo } from '../../src/packet-io/memory.ts';
import type { Link } from '../../src/packet-io/packet-io.ts';
import { FrameFlag, NO_LINK, PacketBatch, TO_HOST } from '../../src/wire/packet-batch.ts';
import { frame } from '../support/frames.ts';

const client: Link = { index: 2, name: 'c0', mac: Uint8Array.of(2, 0, 0, 0, 0, 2), mtu: 1500, loopback: false };
const server: Link = { ...client, index: 3, name: 's0' };
const syn = frame().ipv4('10.0.0.5', '192.168.1.120').tcp(40000, 80, { syn: true });
const large = frame()
  .ipv4('10.0.0.5', '192.168.1.120')
  .tcp(40000, 80, { ack: 1, payload: new Uint8Array(4000) });

describe('frames in memory', () => {
  test('come in over all links in the order they were put in, with what is beside the bytes', () => {
    const io = new MemoryIo([client, server]);
    const batch = io.createBatch(8);
    io.inject(3, large, { segmentBytes: 1448, partialChecksum: true });
    io.inject(2, syn, { mark: 7 });
    expect(io.receive(batch)).toBe(2);
    expect([...batch.ingress.subarray(0, 2)]).toEqual([3, 2]);
    expect(batch.frame(0)).toEqual(large);
    expect(batch.frame(1)).toEqual(syn);
    expect([...batch.segmentBytes.subarray(0, 2)]).toEqual([1448, 0]);
    expect([...batch.flags.subarray(0, 2)]).toEqual([FrameFlag.PARTIAL_CHECKSUM, 0]);
    expect([...batch.mark.subarray(0, 2)]).toEqual([0, 7]);
    expect([...batch.egress.subarray(0, 2)]).toEqual([NO_LINK, NO_LINK]);
    expect(io.receive(batch)).toBe(0);
    expect(batch.count).toBe(0);
    expect(io.counters).toMatchObject({ received: 2, receiveDrops: 0 });
  });

  test('are copied, so that a frame may be used again', () => {
    const io = new MemoryIo([client]);
    const reused = syn.slice();
    io.inject(2, reused);
    reused.fill(0);
    const batch = io.createBatch(1);
    io.receive(batch);
    expect(batch.frame(0)).toEqual(syn);
  });

  test('wait when the batch is full', () => {
    const io = new MemoryIo([client]);
    const batch = io.createBatch(2);
    for (let i = 0; i < 3; i++) io.inject(2, syn);
    expect([io.receive(batch), io.receive(batch), io.receive(batch)]).toEqual([2, 1, 0]);
  });

  test('leave by the link the batch names, and by no other', () => {
    const io = new MemoryIo([client, server]);
    const batch = PacketBatch.allocate(4, 2000);
    for (const egress of [3, NO_LINK, TO_HOST, 2]) batch.egress[batch.push(syn, 2)] = egress;
    batch.flags[0] = FrameFlag.PARTIAL_CHECKSUM;
    expect(io.transmit(batch)).toBe(2);
    expect(io.takeTransmitted(3)).toEqual([{ bytes: syn, partialChecksum: true, segmentBytes: 0 }]);
    expect(io.take(2)).toEqual([syn]);
    expect(io.take(2)).toEqual([]);
    expect(io.counters).toMatchObject({ transmitted: 2, transmitErrors: {} });
  });

  test('are refused as a kernel would refuse them: no such link, too long, queue full', () => {
    const io = new MemoryIo([client], { queueFrames: 1 });
    const batch = io.createBatch(4);
    batch.egress[batch.push(syn, 2)] = 9;
    batch.egress[batch.push(large, 2)] = 2;
    batch.egress[batch.push(syn, 2)] = 2;
    batch.egress[batch.push(syn, 2)] = 2;
    expect(io.transmit(batch)).toBe(1);
    expect(io.counters.transmitErrors).toEqual({ ENODEV: 1, EMSGSIZE: 1, ENOBUFS: 1 });
    batch.segmentBytes[1] = 1448;
    io.take(2);
    expect(io.transmit(batch)).toBe(1);
    expect(io.take(2)).toEqual([large]);
  });

  test('may be one VLAN tag longer than the MTU says', () => {
    const io = new MemoryIo([client]);
    const batch = io.createBatch(2);
    const full = new Uint8Array(1472);
    batch.egress[
      batch.push(frame().ethernet({ vlan: 5 }).ipv4('10.0.0.5', '10.0.0.6').udp(1, 2, { payload: full }), 2)
    ] = 2;
    expect(io.transmit(batch)).toBe(1);
  });

  test('are dropped and counted when the queue is full, the link unknown or the slot too short', () => {
    const io = new MemoryIo([client], { queueFrames: 2, frameBytes: 100 });
    expect([io.inject(2, syn), io.inject(2, large), io.inject(2, syn), io.inject(3, syn)]).toEqual([
      true,
      true,
      false,
      false,
    ]);
    const batch = io.createBatch(4);
    expect(io.receive(batch)).toBe(1);
    expect(io.counters).toMatchObject({ received: 1, receiveDrops: 3 });
  });

  test('are lost with the link they waited on', () => {
    const io = new MemoryIo([client, server]);
    io.inject(2, syn);
    io.inject(3, syn);
    io.detach(2);
    io.detach(77);
    expect(io.links).toEqual([server]);
    const batch = io.createBatch(4);
    expect(io.receive(batch)).toBe(1);
    expect(batch.ingress[0]).toBe(3);
    io.attach(client);
    expect(io.inject(2, syn)).toBe(true);
    io.close();
    expect(io.links).toEqual([]);
    expect(io.receive(batch)).toBe(0);
  });
});

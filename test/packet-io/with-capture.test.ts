import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { MemoryIo } from '../../src/packet-io/memory.ts';
import { OutputFile } from '../../src/packet-io/output-file.ts';
import type { Link, PacketIo } from '../../src/packet-io/packet-io.ts';
import { type CaptureSink, withCapture } from '../../src/packet-io/with-capture.ts';
import { LinkType } from '../../src/wire/capture-format.ts';
import { NO_LINK } from '../../src/wire/packet-batch.ts';
import { readCapture } from '../support/captures.ts';
import { frame } from '../support/frames.ts';

const client: Link = { index: 2, name: 'c0', mac: Uint8Array.of(2, 0, 0, 0, 0, 2), mtu: 1500, loopback: false };
const server: Link = { index: 3, name: 's0', mac: Uint8Array.of(2, 0, 0, 0, 0, 3), mtu: 1500, loopback: false };
const syn = frame().ipv4('10.0.0.5', '192.168.1.120').tcp(40000, 80, { syn: true });
const answer = frame().ipv4('192.168.1.120', '10.0.0.5').tcp(80, 40000, { syn: true, ack: 2 });

class ListSink implements CaptureSink {
  readonly pieces: Uint8Array[] = [];
  closed = 0;
  full = false;

  write(bytes: Uint8Array): void {
    if (this.full) throw new Error('no space left');
    this.pieces.push(bytes.slice());
  }

  close(): void {
    this.closed++;
  }
}

describe('a capture', () => {
  test('holds every frame that came and went, with link, time, direction and what the bytes do not show', () => {
    const memory = new MemoryIo([client]);
    const sink = new ListSink();
    let timeNs = 1_000n;
    const io = withCapture(memory, { sink, timeNs: () => timeNs });
    io.attach(server);
    expect(io.links).toEqual([client, server]);
    memory.inject(2, syn, { mark: 5, partialChecksum: true, segmentBytes: 1448 });
    memory.inject(3, answer);
    const batch = io.createBatch(4);
    expect(io.receive(batch)).toBe(2);
    timeNs = 2_000n;
    batch.egress[0] = 3;
    batch.flags[0] = 0;
    batch.segmentBytes[0] = 0;
    batch.mark[0] = 0;
    batch.egress[1] = NO_LINK;
    expect(io.transmit(batch)).toBe(1);
    io.wait(1);
    io.detach(3);
    io.close();
    expect(memory.links).toEqual([]);
    expect(io.counters).toMatchObject({ received: 2, transmitted: 1 });
    expect(io.captureFailure).toBeNull();
    expect(sink.closed).toBe(1);

    const { interfaces, packets } = readCapture(Buffer.concat(sink.pieces));
    expect(interfaces).toEqual([
      { linkType: LinkType.ETHERNET, snapBytes: 0, name: 'c0', mac: client.mac },
      { linkType: LinkType.ETHERNET, snapBytes: 0, name: 's0', mac: server.mac },
    ]);
    const beside = ['partial checksum', 'super-frame, 1448 payload bytes a segment', 'mark 5'];
    const one = { data: syn, originalBytes: syn.length };
    const other = { data: answer, originalBytes: answer.length };
    expect(packets).toEqual([
      { ...one, interfaceIndex: 0, timestampNs: 1_000n, direction: 'inbound', comments: beside },
      { ...other, interfaceIndex: 1, timestampNs: 1_000n, direction: 'inbound', comments: [] },
      { ...one, interfaceIndex: 1, timestampNs: 2_000n, direction: 'outbound', comments: [] },
    ]);
  });

  test('shows a frame as it was before and after it was rewritten in place', () => {
    const memory = new MemoryIo([client]);
    const sink = new ListSink();
    const io = withCapture(memory, { sink, timeNs: () => 0n });
    memory.inject(2, syn);
    const batch = io.createBatch(1);
    io.receive(batch);
    batch.bytes.set(answer, batch.start[0]);
    batch.egress[0] = 2;
    io.transmit(batch);
    expect(memory.take(2)).toEqual([answer]);
    expect(readCapture(Buffer.concat(sink.pieces)).packets.map((packet) => packet.data)).toEqual([syn, answer]);
  });

  test('ends when its file cannot grow, and the traffic goes on', () => {
    const memory = new MemoryIo([client]);
    const sink = new ListSink();
    const io = withCapture(memory, { sink, timeNs: () => 0n });
    const batch = io.createBatch(1);
    sink.full = true;
    memory.inject(2, syn);
    expect(io.receive(batch)).toBe(1);
    expect(io.captureFailure?.message).toBe('no space left');
    sink.full = false;
    memory.inject(2, syn);
    expect(io.receive(batch)).toBe(1);
    expect(readCapture(Buffer.concat(sink.pieces)).packets).toEqual([]);
  });

  test('of an event-driven back end is event-driven, and of others not', () => {
    const memory = new MemoryIo([client]);
    let called = 0;
    const eventDriven: PacketIo = Object.assign(new MemoryIo(), { listen: (onReadable: () => void) => onReadable() });
    withCapture(eventDriven, { sink: new ListSink(), timeNs: () => 0n }).listen?.(() => called++);
    expect(called).toBe(1);
    expect('listen' in withCapture(memory, { sink: new ListSink(), timeNs: () => 0n })).toBe(false);
  });

  test('goes to a file that only its owner may read, also when it is larger than the buffer', () => {
    const folder = mkdtempSync(join(tmpdir(), 'uipvs-capture-'));
    try {
      const path = join(folder, 'trace.pcapng');
      const memory = new MemoryIo([client]);
      const io = withCapture(memory, { sink: new OutputFile(path), timeNs: () => 0n });
      const batch = io.createBatch(1);
      const large = new Uint8Array(65_600).fill(7);
      const frames = [syn, large, answer, ...Array.from({ length: 2_000 }, () => syn)];
      for (const bytes of frames) {
        memory.inject(2, bytes);
        io.receive(batch);
      }
      io.close();
      io.close();
      const { packets } = readCapture(readFileSync(path));
      expect(packets.map((packet) => packet.data)).toEqual(frames);
      expect(statSync(path).mode & 0o777).toBe(0o600);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

/** The fast path in the kernel: what it takes, what becomes of it, and what it leaves to the engine. */
import { execFileSync } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { getLibc } from '../../src/native/libc.ts';
import { KernelFastPath } from '../../src/packet-io/fast-path/kernel-fast-path.ts';
import type { Flow } from '../../src/wire/fast-path.ts';
import { collect } from './conformance.ts';
import { liveConformance } from './live-conformance.ts';
import { AgentProgram } from './support/agent-process.ts';
import { FlowRig, MTU, flowRigRefused as refused, WITH_FAST_PATH } from './support/flow-rig.ts';
import { flowOf } from './support/flows.ts';
import { type PacketSpec, packetFrame } from './support/frames.ts';

describe('with a fast path, and nothing on it', () => {
  liveConformance(WITH_FAST_PATH);
  liveConformance({ ...WITH_FAST_PATH, kind: 'packet-mmsg' });
});

interface Case {
  readonly spec?: Partial<PacketSpec>;
  /** What is wrong with the frame. */
  readonly damage?: (frame: Buffer) => Buffer;
  /** Of the way out. */
  readonly mtu?: number;
}

const why = refused === null ? '' : ` (skipped: ${refused})`;

describe.skipIf(refused !== null)(`a flow of the fast path${why}`, () => {
  let program: AgentProgram;
  let rig: FlowRig;
  let flows: number[] = [];
  beforeAll(async () => {
    program = new AgentProgram();
    rig = await FlowRig.create(program);
  });
  afterEach(async () => {
    for (const flow of flows) await rig.removeFlow(flow);
    flows = [];
  });
  afterAll(async () => {
    await rig?.close();
    program?.remove();
  });

  /** Until the end of the test. */
  const addFlow = async (came: PacketSpec, left: PacketSpec, mtu = MTU): Promise<number> => {
    const flow = await rig.addFlow(came, left, mtu);
    if (flow >= 0) flows.push(flow);
    return flow;
  };

  for (const ipv6 of [false, true]) {
    for (const protocol of ['tcp', 'udp'] as const) {
      test(`is rewritten and sent on: ${protocol} over IPv${ipv6 ? 6 : 4}, random ends and payloads`, async () => {
        for (let round = 0; round < 40; round++) {
          const came: PacketSpec = { protocol, ipv6, ...randomEnds(ipv6), payload: randomBytes(randomInt(1400)) };
          // Some connections keep their port or their source.
          const left: PacketSpec = { ...came, ...randomEnds(ipv6) };
          if (round % 4 === 1) left.destinationPort = came.destinationPort as number;
          if (round % 4 === 2) left.source = came.source as number[];
          const flow = await addFlow(came, left);
          await rig.sendIn([rig.incoming(came)]);
          const [seen] = await collect(rig.live.outside, 1);
          expect(seen).toMatchObject({ link: rig.live.outsideLinks[1], frame: rig.outgoing(left).toString('hex') });
          const bytes = rig.incoming(came).length - 14;
          expect(await rig.takeFlow(flow)).toMatchObject({ packets: 1, bytes });
          expect(await rig.takeFlow(flow)).toBeNull();
        }
        // The engine has seen none of it.
        expect(await rig.live.subject.seen()).toEqual([]);
      });
    }
  }

  test('keeps its ends and checksum where only the way changes (direct routing)', async () => {
    const spec: PacketSpec = { protocol: 'tcp', ...randomEnds(false), payload: Buffer.from('direct') };
    await addFlow(spec, spec);
    await rig.sendIn([rig.incoming(spec)]);
    expect((await collect(rig.live.outside, 1))[0]?.frame).toBe(rig.outgoing(spec).toString('hex'));
  });

  test('counts packets, bytes and the time of the last of them', async () => {
    const came: PacketSpec = { protocol: 'udp', ...randomEnds(false), payload: randomBytes(500) };
    const flow = await addFlow(came, { ...came, ...randomEnds(false) });
    for (let i = 0; i < 25; i++) await rig.sendIn([rig.incoming(came)]);
    await collect(rig.live.outside, 25);
    const counts = await rig.takeFlow(flow);
    expect(counts).toMatchObject({ packets: 25, bytes: 25 * 528 });
    // The clock it is told by has the tick of the kernel's timer.
    expect(counts?.agoMs).toBeGreaterThan(-1);
    expect(counts?.agoMs).toBeLessThan(5_000);
  });

  test('an unfinished checksum stays unfinished and becomes that of the new ends', async () => {
    for (const protocol of ['tcp', 'udp'] as const) {
      for (const ipv6 of [false, true]) {
        const came: PacketSpec = { protocol, ipv6, ...randomEnds(ipv6), payload: Buffer.from('unfinished') };
        const left: PacketSpec = { ...came, ...randomEnds(ipv6) };
        await addFlow(came, left);
        await rig.sendIn([rig.incoming({ ...came, checksum: 'partial' })], 1);
        expect((await collect(rig.live.outside, 1))[0]?.frame).toBe(rig.outgoing(left).toString('hex'));
      }
    }
  });

  test('the padding of a short frame does no harm and is not counted', async () => {
    const came: PacketSpec = { protocol: 'tcp', ...randomEnds(false), payload: Buffer.alloc(0), padding: 6 };
    const left: PacketSpec = { ...came, ...randomEnds(false) };
    const flow = await addFlow(came, left);
    expect(rig.incoming(came)).toHaveLength(60);
    await rig.sendIn([rig.incoming(came)]);
    expect((await collect(rig.live.outside, 1))[0]?.frame).toBe(rig.outgoing(left).toString('hex'));
    expect(await rig.takeFlow(flow)).toMatchObject({ packets: 1, bytes: 40 });
  });

  describe('leaves to the engine, as it came,', () => {
    const tcp = (change: Partial<PacketSpec>): Partial<PacketSpec> => ({ protocol: 'tcp', ...change });
    const cases: Readonly<Record<string, Case>> = {
      'what opens a connection': { spec: tcp({ tcpFlags: 0x02 }) },
      'what opens one and acknowledges': { spec: tcp({ tcpFlags: 0x12 }) },
      'what ends one': { spec: tcp({ tcpFlags: 0x11 }) },
      'a reset': { spec: tcp({ tcpFlags: 0x14 }) },
      'a segment without ACK': { spec: tcp({ tcpFlags: 0x08 }) },
      'another port': { spec: tcp({ destinationPort: 81 }) },
      'the other protocol': { spec: { protocol: 'udp' } },
      'the last hop': { spec: tcp({ hops: 1 }) },
      'no hop at all': { spec: tcp({ hops: 0 }) },
      'a packet longer than the way allows': { spec: tcp({ payload: randomBytes(1400) }), mtu: 1439 },
      'something behind the packet': { spec: tcp({ payload: randomBytes(100), padding: 5 }) },
      'a datagram without a checksum': { spec: { protocol: 'udp', destinationPort: 53, checksum: 'none' } },
      'a bad header checksum': { damage: (frame) => withByte(frame, 24, frame[24]! ^ 0x40) },
      'IP options': {
        damage(frame) {
          const long = Buffer.concat([frame.subarray(0, 34), Buffer.from('01010101', 'hex'), frame.subarray(34)]);
          long[14] = 0x46;
          long.writeUInt16BE(long.length - 14, 16);
          return repaired(long, 24);
        },
      },
      'a first fragment': { damage: (frame) => repaired(withFragmentField(frame, 0x2000), 20) },
      'a later fragment': { damage: (frame) => repaired(withFragmentField(frame, 0x0005), 20) },
      'a TCP header that is too short': { damage: (frame) => withByte(frame, 46, 0x40) },
      'a TCP header longer than the packet': { damage: (frame) => withByte(frame, 46, 0xf0) },
      'a length beyond the frame': {
        damage(frame) {
          frame.writeUInt16BE(frame.length, 16);
          return repaired(frame, 20);
        },
      },
      'IP version 6 in a frame for version 4': { damage: (frame) => withByte(frame, 14, 0x65) },
      'less than its headers': { damage: (frame) => frame.subarray(0, 50) },
      'another EtherType': { damage: (frame) => withByte(withByte(frame, 12, 0x88), 13, 0xb5) },
    };
    for (const [name, { spec = {}, damage, mtu = MTU }] of Object.entries(cases)) {
      test(name, async () => {
        const ends = { source: [10, 9, 8, 7], destination: [10, 0, 0, 2], sourcePort: 40_000, destinationPort: 80 };
        const base: PacketSpec = { protocol: 'tcp', ...ends, payload: Buffer.from('for the engine') };
        const left = { ...base, ...randomEnds(false) };
        const added = [await addFlow(base, left, mtu)];
        added.push(await addFlow({ ...base, protocol: 'udp', destinationPort: 53 }, { ...left, protocol: 'udp' }));
        const good = rig.incoming({ ...base, ...spec } as PacketSpec);
        const frame = damage?.(good) ?? good;
        await rig.sendIn([frame]);
        const [seen] = await collect(rig.live.subject, 1);
        expect(seen).toMatchObject({ link: rig.live.links[0], frame: frame.toString('hex') });
        await collect(rig.live.outside, 0);
        for (const flow of added) expect(await rig.takeFlow(flow)).toBeNull();
      });
    }

    test('frames for another MAC', async () => {
      const came: PacketSpec = { protocol: 'tcp', ...randomEnds(false), payload: Buffer.from('not ours') };
      await addFlow(came, { ...came, ...randomEnds(false) });
      const frame = packetFrame({ ...came, destinationMac: '020000000bad' });
      await rig.sendIn([frame]);
      expect((await collect(rig.live.subject, 1))[0]?.frame).toBe(frame.toString('hex'));
      await collect(rig.live.outside, 0);
    });

    test('everything, once it was removed', async () => {
      const came: PacketSpec = { protocol: 'udp', ...randomEnds(true), ipv6: true, payload: Buffer.from('before') };
      const flow = await addFlow(came, { ...came, ...randomEnds(true) });
      await rig.sendIn([rig.incoming(came)]);
      await collect(rig.live.outside, 1);
      await rig.removeFlow(flow);
      // What it had carried is still told.
      expect(await rig.takeFlow(flow)).toMatchObject({ packets: 1 });
      await rig.sendIn([rig.incoming(came)]);
      await collect(rig.live.subject, 1);
      await collect(rig.live.outside, 0);
    });
  });

  test('two flows of the same ends are refused, and the first goes on', async () => {
    const came: PacketSpec = { protocol: 'tcp', ...randomEnds(false), payload: Buffer.from('first') };
    const left = { ...came, ...randomEnds(false) };
    expect(await addFlow(came, left)).toBeGreaterThanOrEqual(0);
    expect(await addFlow(came, { ...came, ...randomEnds(false) })).toBe(-1);
    await rig.sendIn([rig.incoming(came)]);
    expect((await collect(rig.live.outside, 1))[0]?.frame).toBe(rig.outgoing(left).toString('hex'));
  });

  test('a link that is detached takes its program along, and gets it again', async () => {
    const came: PacketSpec = { protocol: 'tcp', ...randomEnds(false), payload: Buffer.from('again') };
    await addFlow(came, { ...came, ...randomEnds(false) });
    await rig.live.subject.detach(0);
    await rig.sendIn([rig.incoming(came)]);
    await collect(rig.live.outside, 0);
    await rig.live.subject.attach(0);
    await rig.sendIn([rig.incoming(came)]);
    await collect(rig.live.outside, 1);
  });

  test('ends with the process, however that ends', async () => {
    const own = await FlowRig.create(program);
    try {
      const came: PacketSpec = { protocol: 'tcp', ...randomEnds(false), payload: Buffer.from('alive') };
      await own.addFlow(came, { ...came, ...randomEnds(false) });
      await own.sendIn([own.incoming(came)]);
      await collect(own.live.outside, 1);
      await own.live.agent.kill();
      await new Promise((resolve) => setTimeout(resolve, 50));
      await own.sendIn([own.incoming(came)]);
      await collect(own.live.outside, 0);
    } finally {
      await own.close();
    }
  });
});

describe.skipIf(refused !== null)(`the flows of a fast path${why}`, () => {
  test('are as many as there is room for, and numbers are used again', () => {
    const path = new KernelFastPath(getLibc(), 4);
    try {
      const add = (port: number): number =>
        path.flows.add({ ...flowOf(ends(port), ends(port)), ...way() } as unknown as Flow);
      expect([1, 2, 3, 4].map(add)).toEqual([0, 1, 2, 3]);
      expect(add(5)).toBe(-1);
      path.flows.remove(2);
      path.flows.remove(1);
      path.flows.remove(1);
      expect([add(6), add(7), add(8)]).toEqual([2, 1, -1]);
      // Those that were removed are free for the same ends again.
      path.flows.remove(0);
      expect(add(2)).toBe(0);
      expect(path.flows.take(0, { packets: 0, bytes: 0, lastMs: 0 })).toBe(false);
    } finally {
      path.close();
    }
  });

  test('of the same ends come again although thousands were removed at once', () => {
    const path = new KernelFastPath(getLibc(), 4096);
    try {
      const add = (port: number): number =>
        path.flows.add({ ...flowOf(ends(port), ends(port)), ...way() } as unknown as Flow);
      const ports = Array.from({ length: 4096 }, (_, i) => 1 + i);
      for (let round = 0; round < 3; round++) {
        const flows = ports.map(add);
        expect(new Set(flows).size).toBe(4096);
        expect(Math.min(...flows)).toBe(0);
        expect(add(9999)).toBe(-1);
        for (const flow of flows) path.flows.remove(flow);
        // In another order than they were made.
        ports.reverse();
      }
    } finally {
      path.close();
    }
  });

  test('leave no descriptor behind', () => {
    const words = ['-c', `grep -lE '^(map|prog|link)_type:' /proc/${process.pid}/fdinfo/* | wc -l`];
    const open = (): number => Number(execFileSync('sh', words, { stdio: ['ignore', 'pipe', 'ignore'] }));
    const before = open();
    for (let i = 0; i < 5; i++) {
      const path = new KernelFastPath(getLibc(), 16);
      expect(open()).toBeGreaterThan(before);
      path.close();
    }
    expect(open()).toBe(before);
  });
});

function ends(port: number): PacketSpec {
  return { protocol: 'tcp', source: [1, 1, 1, 1], destination: [2, 2, 2, 2], sourcePort: port, payload: Buffer.of() };
}

function way() {
  return { linkIndex: 1, destinationMac: new Uint8Array(6), sourceMac: new Uint8Array(6), mtu: 1500 };
}

function randomEnds(ipv6: boolean) {
  const address = (): number[] => (ipv6 ? [0xfd, ...randomBytes(15)] : [10, ...randomBytes(3)]);
  const port = (): number => 1 + randomInt(65_534);
  return { source: address(), destination: address(), sourcePort: port(), destinationPort: port() };
}

/** With the right checksum for an IPv4 header of so many bytes. */
function repaired(frame: Buffer, headerBytes: number): Buffer {
  frame.writeUInt16BE(0, 24);
  let sum = 0;
  for (let at = 14; at < 14 + headerBytes; at += 2) sum += frame.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  frame.writeUInt16BE(~sum & 0xffff, 24);
  return frame;
}

function withFragmentField(frame: Buffer, field: number): Buffer {
  frame.writeUInt16BE(field, 20);
  return frame;
}

function withByte(frame: Buffer, at: number, value: number): Buffer {
  frame[at] = value;
  return frame;
}

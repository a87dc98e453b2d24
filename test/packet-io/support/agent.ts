/**
 * A process inside a network namespace that owns one PacketIo and does what the test says, over the IPC channel.
 * Frames of the experimental EtherType 0x88b5 are collected; with a bridge, everything goes out of the other link.
 */
import { createSocket } from 'node:dgram';
import { readdirSync, readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { pingOnce } from '../../../src/native/icmp-socket.ts';
import { LIVE_KINDS } from '../../../src/packet-io/index.ts';
import type { FrameFilter, Link, PacketIo, PacketIoOptions } from '../../../src/packet-io/packet-io.ts';
import type { Flow } from '../../../src/wire/fast-path.ts';
import { PacketBatch } from '../../../src/wire/packet-batch.ts';
import { openSteered } from './steered.ts';

export interface SeenFrame {
  link: number;
  frame: string;
  flags: number;
  segmentBytes: number;
}
export interface FrameToSend {
  link: number;
  frame: string;
  flags?: number;
  segmentBytes?: number;
}

const EXPERIMENTAL = 0x88b5;
const TURNS_MS = 20;
let io: PacketIo;
let batch: PacketBatch;
let ownSends: PacketBatch | null = null;
let bridge: readonly [number, number] | null = null;
/** Time that each frame costs, so that frames come faster than they are worked off. */
let costUs = 0;
let collectIp = false;
let paused = false;
let closed = false;
let seen: SeenFrame[] = [];
const heard: string[] = [];

function turn(): number {
  const count = io.receive(batch);
  for (let i = 0; i < count; i++) {
    const ingress = batch.ingress[i] as number;
    if (costUs > 0) work(costUs);
    if (bridge !== null) {
      batch.egress[i] = ingress === bridge[0] ? bridge[1] : bridge[0];
      continue;
    }
    const start = batch.start[i] as number;
    const type = ((batch.bytes[start + 12] as number) << 8) | (batch.bytes[start + 13] as number);
    if (type !== EXPERIMENTAL && !(collectIp && (type === 0x0800 || type === 0x86dd))) continue;
    seen.push({
      link: ingress,
      frame: Buffer.from(batch.frame(i)).toString('hex'),
      flags: batch.flags[i] as number,
      segmentBytes: batch.segmentBytes[i] as number,
    });
  }
  if (bridge !== null) io.transmit(batch);
  return count;
}

function work(us: number): void {
  const doneMs = performance.now() + us / 1000;
  while (performance.now() < doneMs);
}

function loop(): void {
  if (closed) return;
  const until = performance.now() + TURNS_MS;
  while (!paused && performance.now() < until) if (turn() === 0) io.wait(2);
  setTimeout(loop, paused ? 1 : 0);
}

/** One for all sends of the back end's own: batches are made to be used again. */
const ownBatch = (frames: number): PacketBatch => {
  if (ownSends === null || ownSends.capacity < frames) ownSends = io.createBatch(Math.max(frames, 64));
  ownSends.clear();
  return ownSends;
};

function send(frames: FrameToSend[], own: boolean): number {
  const out = own ? ownBatch(frames.length) : PacketBatch.allocate(frames.length, 66 * 1024);
  for (const each of frames) {
    const slot = out.push(Buffer.from(each.frame, 'hex'), -1);
    out.egress[slot] = each.link;
    out.flags[slot] = each.flags ?? 0;
    out.segmentBytes[slot] = each.segmentBytes ?? 0;
  }
  return io.transmit(out);
}

function flood(link: number, frame: string, durationMs: number): number {
  const out = ownBatch(64);
  const until = performance.now() + durationMs;
  let sent = 0;
  while (performance.now() < until) {
    out.clear();
    for (let i = 0; i < 64; i++) {
      const slot = out.push(Buffer.from(frame, 'hex'), -1);
      out.egress[slot] = link;
      out.flags[slot] = 0;
      out.segmentBytes[slot] = 0;
    }
    sent += io.transmit(out);
  }
  return sent;
}

async function measureWait(timeoutMs: number, wakeAfterMs: number | null): Promise<number> {
  paused = true;
  while (turn() > 0);
  let waker: Worker | null = null;
  if (wakeAfterMs !== null) {
    const module = JSON.stringify(new URL('../../../src/native/wake.js', import.meta.url).href);
    const fd = (io as unknown as { wakeFd: number }).wakeFd;
    waker = new Worker(
      `import(${module}).then((wake) => {
        require('node:worker_threads').parentPort.postMessage('ready');
        setTimeout(() => wake.wakeEventFd(${fd}), ${wakeAfterMs});
      })`,
      { eval: true },
    );
    await new Promise((resolve) => waker?.once('message', resolve));
  }
  const before = performance.now();
  io.wait(timeoutMs);
  const elapsed = performance.now() - before;
  await waker?.terminate();
  paused = false;
  return elapsed;
}

// biome-ignore lint/suspicious/noExplicitAny: the test knows what it asks for.
const orders: Record<string, (order: any) => unknown> = {
  async open({ kind, frames, options }: { kind: string; frames?: number; options?: PacketIoOptions }) {
    const found = LIVE_KINDS[kind];
    if (found === undefined) throw new Error(`no back end ${kind}`);
    const reason = await found.unavailable();
    if (reason !== null) return reason;
    io = await (found.tap ? openSteered(found, options) : found.open(options));
    batch = io.createBatch(frames ?? 64);
    if (io.listen) io.listen(() => void (paused || drain()));
    else loop();
    return null;
  },
  attach: ({ link }: { link: Link }) => io.attach({ ...link, mac: Uint8Array.from(Object.values(link.mac)) }),
  detach: ({ index }: { index: number }) => io.detach(index),
  links: () => io.links.map((link) => link.index),
  send: ({ frames, own }: { frames: FrameToSend[]; own?: boolean }) => send(frames, own ?? true),
  flood: ({ link, frame, durationMs }) => flood(link, frame, durationMs),
  seen() {
    const result = seen;
    seen = [];
    return result;
  },
  collectIp: ({ on }: { on: boolean }) => void (collectIp = on),
  /** Whether the kernel chooses now. */
  filter({ program }: { program: FrameFilter }) {
    io.filter?.(program);
    return io.filters;
  },
  /** How many links have the program of a fast path. */
  linksWithProgram: () =>
    readdirSync('/proc/self/fdinfo').filter((fd) => {
      try {
        return readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1').includes('link_type:\ttcx');
      } catch {
        return false;
      }
    }).length,
  /** Flows of the fast path, MACs as text. */
  addFlow({
    flow,
  }: {
    flow: Omit<Flow, 'destinationMac' | 'sourceMac'> & { destinationMac: string; sourceMac: string };
  }) {
    const destinationMac = Buffer.from(flow.destinationMac, 'hex');
    return io.fastPath?.add({ ...flow, destinationMac, sourceMac: Buffer.from(flow.sourceMac, 'hex') }) ?? null;
  },
  removeFlow: ({ flow }: { flow: number }) => io.fastPath?.remove(flow),
  /** `null`: nothing since the last time. */
  takeFlow({ flow }: { flow: number }) {
    const counts = { packets: 0, bytes: 0, lastMs: 0 };
    const some = io.fastPath?.take(flow, counts) ?? false;
    return some ? { ...counts, agoMs: performance.now() - counts.lastMs } : null;
  },
  bridge(order: { links: [number, number] | null; costUs?: number }) {
    bridge = order.links;
    costUs = order.costUs ?? 0;
  },
  pause: ({ on }: { on: boolean }) => void (paused = on),
  once() {
    const count = io.receive(batch);
    return Array.from(batch.ingress.subarray(0, count));
  },
  counters: () => io.counters,
  linkCounters: () => io.linkCounters?.() ?? null,
  /** Sends what the last `once` has received out by that link, after `detach` of the link it came by. */
  detachAndSend({ index, egress }: { index: number; egress: number }) {
    const starts = Array.from(batch.start.subarray(0, batch.count));
    const before = starts.map((at) => batch.bytes[at]);
    io.detach(index);
    const after = starts.map((at) => batch.bytes[at]);
    batch.egress.fill(egress, 0, batch.count);
    const sent = io.transmit(batch);
    return { before, after, sent };
  },
  wait: ({ timeoutMs, wakeAfterMs }) => measureWait(timeoutMs, wakeAfterMs ?? null),
  udpListen: ({ address, port }: { address: string; port: number }) =>
    new Promise((resolve) => {
      const socket = createSocket('udp4', (message) => heard.push(message.toString()));
      socket.bind(port, address, () => resolve(null));
    }),
  heard: () => heard,
  ping({ cancelAfterMs, ...request }: { address: string; timeoutMs: number; cancelAfterMs?: number }) {
    const signal = cancelAfterMs === undefined ? undefined : AbortSignal.timeout(cancelAfterMs);
    return pingOnce(signal === undefined ? request : { ...request, signal });
  },
  async udpSendSizes({ address, port, sizes }: { address: string; port: number; sizes: number[] }) {
    const socket = createSocket('udp4');
    for (const [i, size] of sizes.entries()) {
      await new Promise((resolve) => socket.send(Buffer.alloc(size, i + 1), port, address, resolve));
    }
    socket.close();
  },
  udpSend: ({ address, port, text }: { address: string; port: number; text: string }) =>
    new Promise((resolve) => {
      const socket = createSocket('udp4');
      socket.send(text, port, address, () => socket.close(() => resolve(null)));
    }),
  close() {
    closed = true;
    io.close();
    io.close();
  },
};

function drain(): void {
  while (turn() > 0);
}

process.on('message', async ({ id, name, order }: { id: number; name: string; order: unknown }) => {
  try {
    process.send?.({ id, result: await orders[name]?.(order) });
  } catch (error) {
    process.send?.({ id, error: (error as Error).message });
  }
});
process.on('disconnect', () => process.exit());
process.send?.({ ready: true });

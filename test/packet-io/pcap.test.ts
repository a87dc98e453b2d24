import { describe, expect, test } from 'vitest';
import { type CaptureHandle, captureAbortsOnLinkDown } from '../../src/native/cap.ts';
import { openRawIp } from '../../src/native/raw-ip.ts';
import type { Link } from '../../src/packet-io/packet-io.ts';
import { packetMmsg } from '../../src/packet-io/packet-mmsg.ts';
import { Pcap, pcap } from '../../src/packet-io/pcap.ts';
import { collect } from './conformance.ts';
import { createLiveRig, type LiveSubject, liveConformance } from './live-conformance.ts';
import { AgentProgram } from './support/agent-process.ts';
import { experimentalFrame, packetFrame, textOf } from './support/frames.ts';
import { namespacesRefused } from './support/namespaces.ts';

const subject: LiveSubject = {
  kind: 'pcap',
  // The far ends of the test's links are packet sockets.
  refused: (await pcap.unavailable()) ?? (await packetMmsg.unavailable()),
  losesFirstFrame: true,
  waits: false,
  linkDownRefused: captureAbortsOnLinkDown() ? 'this build of the package cap ends the process there' : null,
};
liveConformance(subject);

/** Reads on in one go, as the package does, for as long as there are frames and nobody has closed it. */
class FakeCapture implements CaptureHandle {
  closed = false;
  readonly sent: Uint8Array[] = [];
  #buffer: Uint8Array = new Uint8Array();
  #listener: (length: number, truncated: boolean) => void = () => {};

  open(_device: string, _filter: string, _ringBytes: number, buffer: Uint8Array): string {
    this.#buffer = buffer;
    return 'ETHERNET';
  }
  on(_event: 'packet', listener: (length: number, truncated: boolean) => void) {
    this.#listener = listener;
  }
  removeAllListeners() {
    this.#listener = () => {};
  }
  send(frame: Uint8Array) {
    this.sent.push(frame.slice());
  }
  close() {
    this.closed = true;
    return true;
  }
  /** Returns the frames read before somebody closed the handle. */
  drain(framesMax: number, timeMaxMs: number): number {
    const until = performance.now() + timeMaxMs;
    let frames = 0;
    for (; frames < framesMax && !this.closed && performance.now() < until; frames++) {
      const frame = experimentalFrame(`frame ${frames}`);
      this.#buffer.set(frame);
      this.#listener(frame.length, false);
    }
    return frames;
  }
}

describe('pcap: a capture that does not stop', () => {
  // No such link: nothing is known about its state, and nothing comes in by itself.
  const link: Link = { index: 7, name: 'no-such-link', mac: new Uint8Array(6), mtu: 1500, loopback: false };
  const nextTurn = () => new Promise((resolve) => setTimeout(resolve, 5));

  function createPcap() {
    const handles: FakeCapture[] = [];
    const createHandle = () => {
      const handle = new FakeCapture();
      handles.push(handle);
      return handle;
    };
    const io = new Pcap({ createHandle });
    io.attach(link);
    return { io, handles, batch: io.createBatch(64) };
  }

  test('the event loop gets its turn, and the link is opened again', async () => {
    const { io, handles, batch } = createPcap();
    let timers = 0;
    const timer = setInterval(() => timers++, 1);
    io.listen(() => {
      while (io.receive(batch) > 0);
    });
    const beganMs = performance.now();
    expect(handles[0]?.drain(Number.POSITIVE_INFINITY, 5000)).toBeGreaterThan(1000);
    expect(performance.now() - beganMs).toBeLessThan(3000);
    expect(timers).toBe(0);
    await nextTurn();
    expect(timers).toBeGreaterThan(0);
    expect(handles).toHaveLength(2);
    const before = io.counters.received;
    handles[1]?.drain(3, 1000);
    await nextTurn();
    expect(io.counters.received).toBe(before + 3);
    clearInterval(timer);
    io.close();
    expect(handles.every((each) => each.closed)).toBe(true);
  });

  test('no frame of a burst is lost while somebody takes them, and each comes in its order', async () => {
    const { io, handles, batch } = createPcap();
    const seen: string[] = [];
    io.listen(() => {
      while (io.receive(batch) > 0) {
        for (let i = 0; i < batch.count; i++) seen.push(textOf(Buffer.from(batch.frame(i)).toString('hex')));
      }
    });
    handles[0]?.drain(1000, 400);
    await nextTurn();
    expect(seen).toEqual(Array.from({ length: seen.length }, (_, i) => `frame ${i}`));
    expect(seen).toHaveLength(1000);
    expect(io.counters.receiveDrops).toBe(0);
    io.close();
  });

  test('with nobody to take them, frames are kept up to a bound and the others counted', () => {
    const { io, handles, batch } = createPcap();
    handles[0]?.drain(1000, 400);
    let kept = 0;
    for (let count = 1; count > 0; kept += count) count = io.receive(batch);
    expect(kept).toBe(256);
    expect(io.counters.receiveDrops).toBe(1000 - 256);
    io.close();
  });

  test('frames of a link that was detached meanwhile are counted as dropped', () => {
    const { io, handles, batch } = createPcap();
    handles[0]?.drain(5, 400);
    io.detach(link.index);
    expect(io.receive(batch)).toBe(0);
    expect(io.counters.receiveDrops).toBe(5);
    io.close();
  });
});

const rawRefused = subject.refused ?? rawIpRefused() ?? namespacesRefused();
describe.skipIf(rawRefused !== null)(`pcap: through raw-socket${rawRefused ? ` (skipped: ${rawRefused})` : ''}`, () => {
  test('the kernel routes IPv4 packets, cut up and with finished checksums; other frames are injected', async () => {
    const program = new AgentProgram();
    process.env['UIPVS_PCAP_SEND'] = 'raw';
    const rig = await createLiveRig(program, subject, 1).finally(() => {
      delete process.env['UIPVS_PCAP_SEND'];
    });
    try {
      rig.spaces.exec(rig.director, 'ip', 'address', 'add', '10.0.0.9/24', 'dev', 'd0');
      rig.spaces.exec(rig.director, 'ip', 'neigh', 'add', '10.0.0.2', 'lladdr', '02:00:00:00:00:77', 'dev', 'd0');
      await rig.far.order('collectIp', { on: true });
      const payload = Buffer.alloc(2500, 'text');
      const frame = packetFrame({ protocol: 'tcp', payload, checksum: 'partial' }).toString('hex');
      expect(await rig.subject.send([{ link: rig.links[0]!, frame, flags: 1, segmentBytes: 1400 }])).toBe(1);
      const arrived = await collect(rig.outside, 2);
      const packets = [payload.subarray(0, 1400), payload.subarray(1400)].map((part, i) =>
        packetFrame({ protocol: 'tcp', payload: part, sequence: 1 + i * 1400, identification: 7 + i }).toString(
          'hex',
          14,
        ),
      );
      expect(arrived.map((each) => each.frame.slice(28))).toEqual(packets);
      // The kernel wrote the Ethernet header, not we.
      expect(arrived[0]?.frame.slice(0, 12)).toBe('020000000077');
      const other = Buffer.from(experimentalFrame('not IP')).toString('hex');
      expect(await rig.subject.send([{ link: rig.links[0]!, frame: other }])).toBe(1);
      expect((await collect(rig.outside, 1))[0]?.frame).toBe(other);
    } finally {
      await rig.close();
      program.remove();
    }
  });
});

function rawIpRefused(): string | null {
  try {
    openRawIp().close();
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

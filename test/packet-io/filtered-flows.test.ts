/** A socket whose filter chooses frames and leaves flows to the fast path: what the kernel makes of it. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { SteeringFacts } from '../../src/data-plane/steering/facts.ts';
import { steeringProgram } from '../../src/data-plane/steering/program.ts';
import { Bpf } from '../../src/native/bpf.ts';
import { getLibc } from '../../src/native/libc.ts';
import { setPacketFilter, setPacketProgram } from '../../src/native/packet-socket.ts';
import { socketFilter } from '../../src/packet-io/fast-path/flow-programs.ts';
import { FlowTable } from '../../src/packet-io/fast-path/flow-table.ts';
import { BpfCode, type BpfInstruction } from '../../src/wire/bpf.ts';
import type { Flow } from '../../src/wire/fast-path.ts';
import { facts, randomFrames } from '../data-plane/support/steering-frames.ts';
import { runBpf } from '../support/bpf-interpreter.ts';
import { Random } from '../support/random.ts';
import { randomBpf, randomBytes } from '../support/random-bpf.ts';
import { collect } from './conformance.ts';
import { AgentProgram } from './support/agent-process.ts';
import { FilteredSocket } from './support/filtered-socket.ts';
import { FlowRig, flowRigRefused as refused, WITH_FAST_PATH } from './support/flow-rig.ts';
import { flowOf } from './support/flows.ts';
import { type PacketSpec, packetFrame } from './support/frames.ts';
import { Namespaces } from './support/namespaces.ts';

const ALL: readonly BpfInstruction[] = [[BpfCode.RETURN, 0, 0, 0x40000]];
/** Frames of a hundred bytes or more. */
const LONG: readonly BpfInstruction[] = [
  [BpfCode.LOAD_LENGTH, 0, 0, 0],
  [BpfCode.IF_AT_LEAST, 0, 1, 100],
  [BpfCode.RETURN, 0, 0, 0x40000],
  [BpfCode.RETURN, 0, 0, 0],
];
/** LONG, as long as a program may be. */
const LONG_AND_LARGE: readonly BpfInstruction[] = [
  ...Array.from({ length: 4000 }, (): BpfInstruction => [BpfCode.XOR, 0, 0, 1]),
  ...LONG,
];

describe.skipIf(WITH_FAST_PATH.refused !== null)(`the kernel${because(WITH_FAST_PATH.refused)}`, () => {
  const libc = getLibc();
  let bpf: Bpf;
  let table: FlowTable;
  const sockets: FilteredSocket[] = [];
  beforeAll(() => {
    bpf = new Bpf(libc);
    table = new FlowTable(libc, bpf, 'uipvs_test', 64);
  });
  afterEach(() => {
    for (const each of sockets.splice(0)) each.close();
  });
  afterAll(() => table.close());

  const classic = (program: readonly BpfInstruction[]): FilteredSocket => {
    const socket = new FilteredSocket(libc);
    sockets.push(socket);
    setPacketFilter(libc, socket.fd, false, program);
    return socket;
  };
  const behindFlows = (program: readonly BpfInstruction[]): FilteredSocket => {
    const socket = new FilteredSocket(libc);
    sockets.push(socket);
    const loaded = bpf.loadProgram('filter', socketFilter(table.maps, program), 'uipvs_test');
    setPacketProgram(libc, socket.fd, loaded);
    libc.close(loaded);
    return socket;
  };

  test.each([
    ['IPv4 servers', (asked: SteeringFacts, n: number) => void asked.servers.addText(`10.1.${n >> 8}.${n & 255}`)],
    ['IPv6 servers', (asked: SteeringFacts, n: number) => void asked.servers.addText(`fd00:${n}::${n}`)],
    [
      'services, sources and tunnels',
      (asked: SteeringFacts, n: number) => {
        asked.virtual.addText(`10.2.${n >> 8}.${n & 255}`);
        asked.local.addText(`10.3.${n >> 8}.${n & 255}`);
        asked.servicePorts.add(1000 + n);
        asked.tunnelPorts.add(2000 + n);
      },
    ],
  ])('takes the largest steering program that %s can make', (_what, add) => {
    const asked = facts(4);
    let program = steeringProgram(asked, 1) as BpfInstruction[];
    for (let n = 0; ; n++) {
      add(asked, n);
      if (n % 8 !== 0) continue;
      const larger = steeringProgram(asked, 1);
      if (larger === null) break;
      program = larger;
    }
    expect(program.length).toBeGreaterThan(3_900);
    const next = randomFrames(new Random(7));
    const socket = behindFlows(program);
    for (let n = 0; n < 200; n++) {
      const bytes = next();
      if (bytes.length > 0) expect(socket.hears(bytes)).toBe(heardOf(program, bytes));
    }
  });

  test('judges random frames by the steering program as it does with the classic one, and as we do', () => {
    const next = randomFrames(new Random(20261129));
    let [accepted, rejected] = [0, 0];
    for (const shards of [2, 3]) {
      for (let index = 0; index < shards; index++) {
        const program = steeringProgram(facts(shards), index) as BpfInstruction[];
        const both = [classic(program), behindFlows(program)];
        for (let n = 0; n < 1_000; n++) {
          const bytes = next();
          if (bytes.length === 0) continue;
          const expected = heardOf(program, bytes);
          if (expected === 0) rejected++;
          else accepted++;
          const said = both.map((socket) => socket.hears(bytes));
          if (said.some((each) => each !== expected)) expect.fail(`${said} and not ${expected}: ${bytes}`);
        }
      }
    }
    expect(Math.min(accepted, rejected)).toBeGreaterThan(1_000);
  });

  test('judges random programs as it does the classic ones, and as we do', () => {
    const lengths = new Set<number>();
    for (let seed = 1; seed <= 300; seed++) {
      const random = new Random(seed);
      const program = randomBpf(random, 64);
      const both = [classic(program), behindFlows(program)];
      for (let n = 0; n < 10; n++) {
        const bytes = randomBytes(random, n === 0 ? 20 : 64);
        const expected = heardOf(program, bytes);
        lengths.add(expected);
        const said = both.map((socket) => socket.hears(bytes));
        if (said.some((each) => each !== expected)) {
          expect.fail(`seed ${seed}: ${said} and not ${expected}: ${JSON.stringify(program)} of ${bytes}`);
        }
      }
      for (const each of sockets.splice(0)) each.close();
    }
    expect(lengths.size).toBeGreaterThan(15);
  });

  test('lets a socket hear nothing of a flow, whatever its program accepts', () => {
    const came = packet(40_000);
    const [frame, other] = [packetFrame(came), packetFrame(packet(40_001))];
    const socket = behindFlows(ALL);
    const hears = () => [socket.hears(frame), socket.hears(other)];
    expect(hears()).toEqual([frame.length, other.length]);
    const way = { linkIndex: 1, destinationMac: new Uint8Array(6), sourceMac: new Uint8Array(6), mtu: 1500 };
    const flow = table.add({ ...flowOf(came, came), ...way } as unknown as Flow);
    expect(hears()).toEqual([0, other.length]);
    table.remove(flow);
    expect(hears()).toEqual([frame.length, other.length]);
  });
});

describe.skipIf(refused !== null)(`a link with a filter and a fast path${because(refused)}`, () => {
  let program: AgentProgram;
  let rig: FlowRig;
  beforeAll(async () => {
    program = new AgentProgram();
    rig = await FlowRig.create(program);
  });
  afterAll(async () => {
    await rig?.close();
    program?.remove();
  });

  const addFlow = (came: PacketSpec): Promise<number> => rig.addFlow(came, came);
  const filter = (chosen: readonly BpfInstruction[] | null): Promise<boolean> =>
    rig.live.agent.order('filter', { program: chosen });

  test('carries what a flow has, and hears what the filter chooses of the rest', async () => {
    expect(await filter(LONG)).toBe(true);
    expect(await rig.live.agent.order('linksWithProgram')).toBe(2);
    const flow = await addFlow(packet(1));
    const frames = [
      rig.incoming(packet(1)),
      rig.incoming(packet(1, 500)),
      rig.incoming(packet(2)),
      rig.incoming(packet(2, 500)),
    ];
    await rig.sendIn(frames);
    expect((await collect(rig.live.outside, 2)).every(({ link }) => link === rig.live.outsideLinks[1])).toBe(true);
    expect((await collect(rig.live.subject, 1))[0]?.frame).toBe(frames[3]?.toString('hex'));
    await filter(null);
    await rig.sendIn(frames);
    await collect(rig.live.outside, 2);
    expect((await collect(rig.live.subject, 2)).map(({ frame }) => frame)).toEqual(hexOf(frames.slice(2)));
    await rig.removeFlow(flow);
  });

  test('hears only what is chosen when it is attached later', async () => {
    await filter(LONG);
    await rig.live.subject.detach(0);
    await rig.live.subject.attach(0);
    expect(await rig.live.agent.order('linksWithProgram')).toBe(2);
    const flow = await addFlow(packet(3));
    await rig.sendIn([rig.incoming(packet(3)), rig.incoming(packet(4)), rig.incoming(packet(4, 500))]);
    await collect(rig.live.outside, 1);
    await collect(rig.live.subject, 1);
    await rig.removeFlow(flow);
  });

  test('loses and doubles nothing while its filter is replaced again and again', async () => {
    const flow = await addFlow(packet(5));
    const [carried, heard] = [rig.incoming(packet(5, 200)), rig.incoming(packet(6, 200))];
    const steps = [LONG, null, ALL, LONG_AND_LARGE];
    const sending = (async () => {
      for (let n = 0; n < 60; n++) await rig.sendIn(Array.from({ length: 20 }, () => [carried, heard]).flat());
    })();
    for (let n = 0; n < 60; n++) await filter(steps[n % steps.length] as (typeof steps)[number]);
    await sending;
    expect((await collect(rig.live.outside, 1200)).every(({ link }) => link === rig.live.outsideLinks[1])).toBe(true);
    expect(new Set((await collect(rig.live.subject, 1200)).map(({ frame }) => frame))).toEqual(new Set(hexOf([heard])));
    expect(await rig.takeFlow(flow)).toMatchObject({ packets: 1200 });
    await rig.removeFlow(flow);
  });

  test('does without a fast path where the socket has no memory for both, and gets it back', async () => {
    const flow = await addFlow(packet(7));
    const frames = [rig.incoming(packet(7, 200)), rig.incoming(packet(8, 200)), rig.incoming(packet(8))];
    await filter(null);
    // Somewhere between all and nothing there is room for the filter alone.
    let found = false;
    for (let bytes = 60_000; bytes > 20_000 && !found; bytes -= 500) {
      rig.live.spaces.exec(rig.live.director, 'sysctl', '-qw', `net.core.optmem_max=${bytes}`);
      found = (await filter(LONG_AND_LARGE)) && (await rig.live.agent.order('linksWithProgram')) === 0;
      if (!found) await filter(null);
    }
    expect(found).toBe(true);
    await rig.sendIn(frames);
    expect((await collect(rig.live.subject, 2)).map(({ frame }) => frame)).toEqual(hexOf(frames.slice(0, 2)));
    await collect(rig.live.outside, 0);
    expect(await filter(LONG)).toBe(true);
    expect(await rig.live.agent.order('linksWithProgram')).toBe(2);
    await rig.sendIn(frames);
    await collect(rig.live.subject, 1);
    await collect(rig.live.outside, 1);
    await rig.removeFlow(flow);
  });
});

describe.skipIf(refused !== null)(`several workers with a fast path each${because(refused)}`, () => {
  let program: AgentProgram;
  let spaces: Namespaces;
  beforeAll(() => {
    program = new AgentProgram();
    spaces = new Namespaces();
  });
  afterAll(() => {
    spaces?.remove();
    program?.remove();
  });

  test('serve the same link, and one that was ended from outside leaves nothing to the others', async () => {
    const [director, outside] = [spaces.add('w'), spaces.add('x')];
    spaces.cable(director, 'd0', outside, 'o0');
    const link = spaces.link(director, 'd0');
    const words = [
      'netns',
      'exec',
      director,
      process.execPath,
      program.workersPath,
      JSON.stringify({ ...link, mac: [...link.mac] }),
    ];
    const { stdout } = await promisify(execFile)('ip', words, { env: { ...process.env } });
    const told = JSON.parse(stdout) as Record<string, { links: string[]; maps: number }>;
    const { both, oneGone, replaced, bothGone, bothReplaced, closed } = told as Required<typeof told>;
    expect(both).toMatchObject({ links: [expect.any(String), expect.any(String)], maps: 8 });
    // What a worker leaves behind stays until its successor comes, which leaves the other worker's alone.
    expect(oneGone).toEqual(both);
    expect(replaced?.links).toHaveLength(2);
    expect(replaced?.links).toContain(both?.links[1]);
    expect(replaced?.links).not.toContain(both?.links[0]);
    expect(replaced?.maps).toBe(8);
    expect(bothGone).toEqual(replaced);
    expect(bothReplaced?.links).toHaveLength(2);
    expect(bothReplaced?.links.some((each) => replaced?.links.includes(each))).toBe(false);
    expect(bothReplaced?.maps).toBe(8);
    expect(closed).toEqual({ links: [], maps: 0 });
  });
});

/** What a socket with that filter hears of a frame: all of it, its first bytes, or nothing. */
function heardOf(program: readonly BpfInstruction[], bytes: Uint8Array): number {
  return Math.min(runBpf(program, bytes), bytes.length);
}

function packet(sourcePort: number, payloadBytes = 10): PacketSpec {
  const ends = { source: [11, 0, 0, 1], destination: [192, 0, 2, 10], sourcePort, destinationPort: 80 };
  return { protocol: 'tcp', ...ends, payload: Buffer.alloc(payloadBytes, 0x61) };
}

function hexOf(frames: readonly Buffer[]): string[] {
  return frames.map((frame) => frame.toString('hex'));
}

function because(reason: string | null): string {
  return reason === null ? '' : ` (skipped: ${reason})`;
}

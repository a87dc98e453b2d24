import { expect, test } from 'vitest';
import type { Mailbox } from '../../../src/data-plane/packet/mailbox.ts';
import type { FromWorker, ToWorker, WorkerStart } from '../../../src/data-plane/packet/messages.ts';
import { createScoreboard, readScoreboard } from '../../../src/data-plane/packet/scoreboard.ts';
import { runWorker } from '../../../src/data-plane/packet/worker-loop.ts';
import type { NetworkLink, NetworkSnapshot } from '../../../src/model/network.ts';
import { FakeEngine, FakeIo } from '../support/fake-engine.ts';
import { key } from '../support/specs.ts';

const START: WorkerStart = { io: 'fake', ioOptions: {}, seed: 1, connectionsMax: 10, sourceNat: 'none' };

/** A mailbox with its letters inside; a process gets them one by one, then learns that its host is gone. */
class TestMailbox implements Mailbox {
  readonly posted: FromWorker[] = [];
  readonly scoreboard: SharedArrayBuffer | null;
  readonly kind: 'thread' | 'process';
  readonly #letters: ToWorker[];

  constructor(kind: 'thread' | 'process', letters: readonly ToWorker[]) {
    this.kind = kind;
    this.#letters = [...letters];
    this.scoreboard = kind === 'thread' ? createScoreboard() : null;
  }

  start = async () => START;
  post = (message: FromWorker) => void this.posted.push(message);
  take = () => this.#letters.shift() ?? null;
  close = () => {};

  listen(onMessage: (message: ToWorker | null) => void): void {
    for (const letter of this.#letters) setImmediate(() => onMessage(letter));
    setTimeout(() => onMessage(null), 20);
  }
}

function link(index: number, name: string, mac = '02:00:00:00:00:01'): NetworkLink {
  return { index, name, mac, mtu: 1_500, loopback: false, up: true, addresses: [] };
}

function network(...links: NetworkLink[]): NetworkSnapshot {
  return { links, routes: [], neighbors: [], hostLink: null, localPortRange: [32_768, 60_999] };
}

async function run(kind: 'thread' | 'process', letters: ToWorker[], io = new FakeIo()) {
  const mailbox = new TestMailbox(kind, letters);
  const engine = new FakeEngine(io.diary);
  const outcome = runWorker(START, mailbox, { openIo: async () => io, createEngine: () => engine });
  const error = await outcome.then(
    () => null,
    (reason: unknown) => reason,
  );
  return { mailbox, engine, io, error, posted: mailbox.posted };
}

for (const kind of ['thread', 'process'] as const) {
  test(`a ${kind} answers commands and refusals in order, lets the engine speak, and closes`, async () => {
    const { posted, io, error } = await run(kind, [
      { type: 'command', id: 1, command: { name: 'flush' } },
      { type: 'command', id: 2, command: { name: 'deleteService', key: key('192.0.2.1', 80) } },
      { type: 'stop' },
    ]);
    expect(posted).toEqual([
      { type: 'ready', wakeFd: null },
      { type: 'answer', id: 1, answer: null },
      { type: 'error', id: 2, code: 'ESRCH', message: 'no such service' },
    ]);
    expect(io.diary).toContain('transmit 1');
    expect(io.closed).toBe(true);
    expect(error).toBeNull();
  });

  test(`a mistake of ours ends a ${kind}, which says where it was`, async () => {
    const { posted, io, error } = await run(kind, [
      { type: 'command', id: 1, command: { name: 'stopSyncDaemon', role: 'master' } },
    ]);
    expect(posted[1]).toMatchObject({ type: 'fatal' });
    expect((posted[1] as { message: string }).message).toMatch(/a broken invariant\n\s+at .*fake-engine/);
    expect(error).toBeInstanceOf(TypeError);
    expect(io.closed).toBe(true);
  });
}

test('the counters of the links come from the back end, and are refused where it keeps none', async () => {
  const ask: ToWorker[] = [{ type: 'command', id: 1, command: { name: 'getLinkCounters' } }, { type: 'stop' }];
  const io = new FakeIo();
  expect((await run('thread', [...ask], io)).posted[1]).toMatchObject({ type: 'error', code: 'EOPNOTSUPP' });
  const counters = {
    link: 'e0',
    received: 1,
    transmitted: 2,
    receiveDrops: 3,
    transmitErrors: { ENOBUFS: 4 },
    ring: { waiting: 0, peak: 5, slots: 6 },
  };
  const counting = Object.assign(new FakeIo(), { linkCounters: () => [counters] });
  const { posted } = await run('thread', [...ask], counting);
  expect(posted[1]).toEqual({ type: 'answer', id: 1, answer: { links: [counters] } });
});

test('links are opened, closed and opened anew as the network changes', async () => {
  const io = new FakeIo();
  const { posted, engine } = await run(
    'thread',
    [
      { type: 'network', id: 1, snapshot: network(link(2, 'e0'), link(3, 'e1'), link(4, 'broken')) },
      { type: 'network', id: 2, snapshot: network(link(3, 'e1', '02:00:00:00:00:0f'), link(5, 'e2')) },
      { type: 'stop' },
    ],
    io,
  );
  const links = io.diary.filter((line) => /^(at|de)tach/.test(line));
  expect(links).toEqual([
    'attach e0 020000000001',
    'attach e1 020000000001',
    'detach 2',
    'detach 3',
    'attach e1 02000000000f',
    'attach e2 020000000001',
  ]);
  expect(posted.slice(1)).toEqual([
    {
      type: 'answer',
      id: 1,
      answer: { attached: ['e0', 'e1'], failed: [{ name: 'broken', reason: 'cannot be opened' }] },
    },
    { type: 'answer', id: 2, answer: { attached: ['e1', 'e2'], failed: [] } },
  ]);
  expect(engine.network?.links).toHaveLength(2);
});

test('a thread waits only when nothing came, and shows its turns', async () => {
  const io = new FakeIo();
  io.waiting = 2;
  const letters: ToWorker[] = [];
  const mailbox = new TestMailbox('thread', letters);
  const waits: number[] = [];
  io.onWait = (timeoutMs) => {
    waits.push(timeoutMs);
    mailbox.take = () => ({ type: 'stop' });
  };
  const engine = new FakeEngine(io.diary);
  await runWorker(START, mailbox, { openIo: async () => io, createEngine: () => engine });
  expect(waits).toEqual([50]);
  const gauges = readScoreboard(mailbox.scoreboard as SharedArrayBuffer);
  expect(gauges.turns).toBe(2);
  expect(Math.abs(gauges.lastTurnMs - Date.now())).toBeLessThan(60_000);
});

test('a process reads as long as full batches come, after one word from its back end', async () => {
  const io = new FakeIo();
  const running = run('process', [], io);
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  io.waiting = 2;
  io.onReadable?.();
  await running;
  expect(io.diary.filter((line) => line.startsWith('process'))).toHaveLength(1);
});

test('a worker whose back end cannot be opened says why', async () => {
  const mailbox = new TestMailbox('thread', []);
  const openIo = async () => {
    throw new Error('no packet sockets here');
  };
  await expect(runWorker(START, mailbox, { openIo, createEngine: () => new FakeEngine() })).rejects.toThrow();
  expect(mailbox.posted).toMatchObject([{ type: 'fatal' }]);
});

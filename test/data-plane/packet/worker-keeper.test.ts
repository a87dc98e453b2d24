import { expect, test, vi } from 'vitest';
import type { ToWorker, WorkerStart } from '../../../src/data-plane/packet/messages.ts';
import type { Gauges } from '../../../src/data-plane/packet/scoreboard.ts';
import { spawnThread, type WorkerListeners } from '../../../src/data-plane/packet/worker-handle.ts';
import { WorkerKeeper } from '../../../src/data-plane/packet/worker-keeper.ts';
import { WorkerSession } from '../../../src/data-plane/packet/worker-session.ts';

const START: WorkerStart = { io: 'fake', ioOptions: {}, seed: 1, connectionsMax: 1, sourceNat: 'none' };

/** Workers made of their messages: each is born when the keeper starts it, and does what the test says. */
class Nursery {
  readonly born: { listeners: WorkerListeners; heard: ToWorker[]; turns: number; killed: boolean }[] = [];
  readonly notices: string[] = [];
  readonly prepared: number[] = [];
  willBeReady = true;

  owner = {
    startWorker: () => new WorkerSession((_, listeners) => this.#bear(listeners), START),
    prepare: async () => void this.prepared.push(this.born.length),
    notice: (_: string, message: string) => void this.notices.push(message),
  };

  #bear(listeners: WorkerListeners) {
    const worker = { listeners, heard: [] as ToWorker[], turns: 1, killed: false };
    this.born.push(worker);
    queueMicrotask(() => {
      if (this.willBeReady) listeners.onMessage({ type: 'ready', wakeFd: null });
      else listeners.onExit('it did not work');
    });
    return {
      post(message: ToWorker) {
        worker.heard.push(message);
        if (message.type === 'stop') listeners.onExit('exit code 0');
      },
      kill() {
        worker.killed = true;
        listeners.onExit('killed');
      },
      gauges: () => ({ turns: worker.turns }) as Gauges,
    };
  }
}

test('the first worker must start, or the keeper does not open', async () => {
  const nursery = new Nursery();
  nursery.willBeReady = false;
  await expect(WorkerKeeper.open(nursery.owner)).rejects.toThrow('the packet worker ended: it did not work');
  expect(nursery.born).toHaveLength(1);
});

test('a dead worker is replaced at once, and prepared before anybody speaks to it', async () => {
  const nursery = new Nursery();
  const keeper = await WorkerKeeper.open(nursery.owner);
  const asked = (await keeper.session()).execute({ name: 'info' });
  nursery.born[0]?.listeners.onExit('signal SIGSEGV');
  await expect(asked).rejects.toMatchObject({ code: 'EIO', message: 'the packet worker ended: signal SIGSEGV' });
  const session = await keeper.session();
  expect(nursery.born).toHaveLength(2);
  expect(nursery.prepared).toEqual([1, 2]);
  const answer = session.execute({ name: 'info' });
  nursery.born[1]?.listeners.onMessage({ type: 'answer', id: 1, answer: 'hello' });
  expect(await answer).toBe('hello');
  await keeper.close();
});

test('a worker that dies again and again is replaced ever more slowly, and commands do not wait for ever', async () => {
  vi.useFakeTimers();
  try {
    const nursery = new Nursery();
    const keeper = await WorkerKeeper.open(nursery.owner);
    nursery.willBeReady = false;
    nursery.born[0]?.listeners.onExit('exit code 1');
    await vi.advanceTimersByTimeAsync(10_000);
    const early = nursery.born.length;
    await vi.advanceTimersByTimeAsync(100_000);
    expect(early).toBeGreaterThan(4);
    expect(nursery.born.length - early).toBeLessThan(7);
    const patience = expect(keeper.session()).rejects.toMatchObject({ code: 'EIO' });
    await vi.advanceTimersByTimeAsync(10_000);
    await patience;
    nursery.willBeReady = true;
    await vi.advanceTimersByTimeAsync(30_000);
    expect(nursery.notices).toContain('a new packet worker serves');
    await keeper.close();
  } finally {
    vi.useRealTimers();
  }
});

test('a worker that makes no turn is said to be stuck within a second, one that turns is left alone', async () => {
  vi.useFakeTimers();
  try {
    const nursery = new Nursery();
    const keeper = await WorkerKeeper.open(nursery.owner);
    for (let look = 0; look < 40; look++) {
      (nursery.born[0] as { turns: number }).turns += 1;
      await vi.advanceTimersByTimeAsync(250);
    }
    expect(nursery.notices).toEqual([]);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(nursery.notices).toEqual(['the packet worker is stuck: it has made no turn for almost a second']);
    // It was only held up.
    (nursery.born[0] as { turns: number }).turns += 1;
    await vi.advanceTimersByTimeAsync(200);
    expect(nursery.notices.at(-1)).toMatch(/^the packet worker goes on after \d(\.\d)? s$/);
    expect(nursery.born).toHaveLength(1);
    await keeper.close();
  } finally {
    vi.useRealTimers();
  }
});

test('a worker that stays stuck is ended and replaced', async () => {
  vi.useFakeTimers();
  try {
    const nursery = new Nursery();
    const keeper = await WorkerKeeper.open(nursery.owner);
    await vi.advanceTimersByTimeAsync(11_000);
    expect(nursery.born[0]?.killed).toBe(false);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(nursery.born[0]?.killed).toBe(true);
    expect(nursery.born).toHaveLength(2);
    await keeper.close();
  } finally {
    vi.useRealTimers();
  }
});

test('closing stops the worker and starts no other', async () => {
  const nursery = new Nursery();
  const keeper = await WorkerKeeper.open(nursery.owner);
  await keeper.close();
  expect(nursery.born[0]?.heard).toEqual([{ type: 'stop' }]);
  expect(nursery.born).toHaveLength(1);
  expect(nursery.notices).toEqual([]);
});

test('a real thread that is blocked is noticed, and ended all the same', async () => {
  const entry = new URL('../support/stuck-worker.mjs', import.meta.url);
  const notices: string[] = [];
  const keeper = await WorkerKeeper.open({
    startWorker: () => new WorkerSession((start, listeners) => spawnThread(entry, start, listeners), START),
    prepare: async () => {},
    notice: (_, message) => void notices.push(message),
  });
  const session = await keeper.session();
  await vi.waitFor(() => expect(keeper.gauges()?.turns).toBeGreaterThan(2), { timeout: 10_000 });
  expect(notices).toEqual([]);
  session.execute({ name: 'flush' }).catch(() => {});
  await vi.waitFor(() => expect(notices[0]).toMatch(/^the packet worker is stuck/), { timeout: 10_000 });
  session.kill();
  await session.ended;
  await vi.waitFor(() => expect(notices.at(-1)).toBe('a new packet worker serves'), { timeout: 10_000 });
  await keeper.close();
});

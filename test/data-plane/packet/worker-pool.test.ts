/** Several workers behind one door: what they count is added up, what they list is joined, who dies is made up for. */
import { expect, test } from 'vitest';
import { mergeAnswers } from '../../../src/data-plane/packet/merge-answers.ts';
import type { ToWorker, WorkerStart } from '../../../src/data-plane/packet/messages.ts';
import type { WorkerListeners } from '../../../src/data-plane/packet/worker-handle.ts';
import { WorkerPool } from '../../../src/data-plane/packet/worker-pool.ts';
import { WorkerSession } from '../../../src/data-plane/packet/worker-session.ts';
import { Engine } from '../../../src/engine/engine.ts';
import type { Command, EngineCounters, Page } from '../../../src/model/commands.ts';
import type { ConnectionStatus } from '../../../src/model/connection-status.ts';
import { IpvsError } from '../../../src/model/errors.ts';
import type { ServiceStatus } from '../../../src/model/service.ts';
import { NO_SLICE, readTapRecords, TAP_HEADER_BYTES, writeTapRecord } from '../../../src/wire/tap-record.ts';
import { destination, key, service } from '../support/specs.ts';

const START: WorkerStart = { io: 'fake', ioOptions: {}, seed: 1, connectionsMax: 10, sourceNat: 'none' };
const web = key('192.0.2.1', 80);

/** Workers with a real engine and no frames. `listing` replaces what they say of connections. */
class Crew {
  readonly notices: string[] = [];
  readonly born: { shard: number; listeners: WorkerListeners; heard: Command[] }[] = [];
  /** Dies of this command instead of answering, once. */
  fatal: string | null = null;
  failing = -1;
  listing: (shard: number, cursor: string | undefined) => Page<ConnectionStatus> = () => ({ items: [], next: null });
  prepare: (session: { execute(command: Command): Promise<unknown> }) => Promise<void> = async () => {};

  open(shards: number): Promise<WorkerPool> {
    return WorkerPool.open({
      shards,
      startWorker: (shard) => new WorkerSession((_, listeners) => this.#bear(shard, listeners), START),
      prepare: (session) => this.prepare(session),
      notice: (_, message) => void this.notices.push(message),
    });
  }

  #bear(shard: number, listeners: WorkerListeners) {
    const engine = new Engine({ seed: 1, connectionsMax: 10, defaultSourceNat: 'none', nowMs: 0 });
    const heard: Command[] = [];
    this.born.push({ shard, listeners, heard });
    queueMicrotask(() => {
      if (shard === this.failing) listeners.onExit('it did not work');
      else listeners.onMessage({ type: 'ready', wakeFd: null });
    });
    const answer = (message: ToWorker) => {
      if (message.type === 'stop') return listeners.onExit('exit code 0');
      if (message.type === 'network') {
        const attached = message.snapshot.links.map(({ name }) => name);
        const failed = shard === 1 && attached.includes('bad') ? [{ name: 'bad', reason: 'no memory' }] : [];
        return listeners.onMessage({ type: 'answer', id: message.id, answer: { attached, failed } });
      }
      if (message.type !== 'command') return;
      const { id, command } = message;
      heard.push(command);
      if (command.name === this.fatal && shard === 1) {
        this.fatal = null;
        return listeners.onExit('struck down');
      }
      try {
        const said = command.name === 'listConnections' ? this.listing(shard, command.cursor) : engine.execute(command);
        listeners.onMessage({ type: 'answer', id, answer: said });
      } catch (error) {
        if (!(error instanceof IpvsError)) throw error;
        listeners.onMessage({ type: 'error', id, code: error.code, message: error.message });
      }
    };
    return {
      post: (message: ToWorker) => queueMicrotask(() => answer(message)),
      kill: () => listeners.onExit('killed'),
      gauges: () => null,
    };
  }
}

test('one worker is spoken to as it is, and named as ever', async () => {
  const crew = new Crew();
  const pool = await crew.open(1);
  expect(await pool.session()).toBeInstanceOf(WorkerSession);
  crew.born[0]!.listeners.onExit('struck down');
  await pool.session();
  expect(crew.notices[0]).toBe('the packet worker ended and is being replaced, its connections are lost: struck down');
  await pool.close();
});

test('every worker carries out every command in the same order, and refuses together', async () => {
  const crew = new Crew();
  const pool = await crew.open(3);
  const session = await pool.session();
  const add: Command = { name: 'addService', service: service(web) };
  const outcomes = await Promise.allSettled([
    session.execute(add),
    session.execute({ name: 'addDestination', service: web, destination: destination('10.0.0.1', 80) }),
    session.execute(add),
  ]);
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected']);
  expect(outcomes[2]).toMatchObject({ reason: { code: 'EEXIST' } });
  const orders = crew.born.map(({ heard }) => heard.map(({ name }) => name));
  expect(orders).toEqual([0, 1, 2].map(() => ['addService', 'addDestination', 'addService']));
  const { items } = (await session.execute({ name: 'listServices' })) as Page<ServiceStatus>;
  expect(items).toHaveLength(1);
  expect(items[0]!.destinations).toHaveLength(1);
  const { processors } = await session.execute<'getPerCpu'>({ name: 'getPerCpu' });
  expect(processors.map(({ processor }) => processor)).toEqual([0, 1, 2]);
  expect(((await session.execute({ name: 'getCounters' })) as EngineCounters).connectionsMax).toBe(30);
  await pool.close();
});

test('a command that a worker dies of is done by its successor, once', async () => {
  const crew = new Crew();
  const pool = await crew.open(2);
  crew.fatal = 'addService';
  const session = await pool.session();
  await session.execute({ name: 'addService', service: service(web) });
  expect(crew.born.map(({ shard }) => shard)).toEqual([0, 1, 1]);
  expect(crew.notices).toEqual([
    'the packet worker of shard 1 (of 2) ended and is being replaced, its connections are lost: struck down',
    'a new packet worker of shard 1 (of 2) serves',
  ]);
  // Its predecessor's owner may have told it already.
  crew.prepare = async (fresh) => void (await fresh.execute({ name: 'addService', service: service(web) }));
  crew.fatal = 'editService';
  const again = await pool.session();
  await again.execute({ name: 'editService', service: { ...service(web), scheduler: 'rr' } });
  const status = await (await pool.session()).execute<'getService'>({ name: 'getService', key: web });
  expect(status.spec.scheduler).toBe('rr');
  await pool.close();
});

test('connections are listed shard by shard, page by page, and a strange cursor is refused', async () => {
  const crew = new Crew();
  crew.listing = (shard, cursor) => {
    const row = Number(cursor ?? 0);
    const item = { protocol: `${shard}/${row}` } as unknown as ConnectionStatus;
    if (shard === 1) return { items: [], next: null };
    return { items: [item], next: row < 2 ? String(row + 1) : null };
  };
  const pool = await crew.open(3);
  const session = await pool.session();
  const seen: string[] = [];
  for (let cursor: string | null = null, pages = 0; pages < 20; pages++) {
    const page: Page<ConnectionStatus> = await session.execute<'listConnections'>({
      name: 'listConnections',
      ...(cursor === null ? {} : { cursor }),
    });
    seen.push(...page.items.map(({ protocol }) => protocol));
    cursor = page.next;
    if (cursor === null) break;
  }
  expect(seen).toEqual(['0/0', '0/1', '0/2', '2/0', '2/1', '2/2']);
  for (const cursor of ['3:', '-1:0', '17', ':', '0:x', '1:2:3', '99999999:1']) {
    await expect(session.execute({ name: 'listConnections', cursor })).rejects.toMatchObject({ code: 'EINVAL' });
  }
  await pool.close();
});

test('a link that one shard cannot serve is not served', async () => {
  const pool = await new Crew().open(2);
  const link = (name: string, index: number) => {
    return { index, name, mac: '02:00:00:00:00:01', mtu: 1500, loopback: false, up: true, addresses: [] };
  };
  const answer = await (await pool.session()).setNetwork({
    links: [link('good', 1), link('bad', 2)],
    routes: [],
    neighbors: [],
    hostLink: null,
    localPortRange: [32768, 60999],
  });
  expect(answer).toEqual({ attached: ['good'], failed: [{ name: 'bad', reason: 'no memory' }] });
  await pool.close();
});

test('when one of them cannot begin, none is left', async () => {
  const crew = new Crew();
  crew.failing = 1;
  await expect(crew.open(3)).rejects.toThrow('the packet worker ended: it did not work');
  await expect(crew.open(3)).rejects.toMatchObject({ code: 'EIO' });
});

test('captures of all shards are one, by the time of their packets', () => {
  const record = (timeUs: number) => {
    const bytes = Buffer.alloc(TAP_HEADER_BYTES + 3, timeUs);
    const frame = { bytes: Uint8Array.of(timeUs, 2, 3), at: 0, originalBytes: 3, keptBytes: 3 };
    const decision = { timeUs, verdict: 0, reason: 0, flags: 0, ingress: 1, egress: 1 };
    writeTapRecord(bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, decision, frame, NO_SLICE);
    return bytes;
  };
  const pages = [[1, 4, 5], [], [2, 3, 6]].map((times, shard) => ({
    records: Buffer.concat(times.map(record)).toString('base64'),
    more: shard === 1,
    lost: 1,
    begun: false,
    links: [{ index: 1, name: 'eth0' }],
  }));
  const merged = mergeAnswers<'readCapture'>({ name: 'readCapture', id: 'x' }, pages);
  expect([...readTapRecords(Buffer.from(merged.records, 'base64'))].map(({ timeUs }) => timeUs)).toEqual([
    1, 2, 3, 4, 5, 6,
  ]);
  expect(merged).toMatchObject({ more: true, lost: 3, begun: false, links: [{ name: 'eth0' }] });
});

test('counters, rings and rules are added up by name', () => {
  const ring = { waiting: 1, peak: 2, slots: 4096 };
  const link = { link: 'eth0', received: 5, transmitted: 4, receiveDrops: 1, transmitErrors: { ENOBUFS: 2 }, ring };
  const links = [
    [link],
    [
      { ...link, transmitErrors: { EAGAIN: 1 } },
      { ...link, link: 'eth1', ring: null },
    ],
  ];
  const answers = links.map((list) => ({ links: list }));
  expect(mergeAnswers<'getLinkCounters'>({ name: 'getLinkCounters' }, answers)).toEqual({
    links: [
      {
        link: 'eth0',
        received: 10,
        transmitted: 8,
        receiveDrops: 2,
        transmitErrors: { ENOBUFS: 2, EAGAIN: 1 },
        ring: { waiting: 2, peak: 4, slots: 8192 },
      },
      { ...link, link: 'eth1', ring: null },
    ],
  });
  const rule = { origin: 'iptables', text: '-A x', problem: null, concerned: true };
  const reports = [3, 4].map((hits) => ({ inForce: true, rules: [{ ...rule, hits }] }));
  reports.push({ inForce: true, rules: [] });
  expect(mergeAnswers<'listSourceNatRules'>({ name: 'listSourceNatRules' }, reports).rules).toEqual([
    { ...rule, hits: 7 },
  ]);
  const helper = { name: 'ftp', protocol: 'tcp', port: 21 } as const;
  const helpers = [1, 2].map((connections) => ({ helpers: [{ ...helper, connections }] }));
  expect(mergeAnswers<'listHelpers'>({ name: 'listHelpers' }, helpers).helpers).toEqual([
    { ...helper, connections: 3 },
  ]);
});

import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { TCP_STATE_NAMES } from '../../src/engine/protocols/tcp-states.ts';
import { SyncMaster, type SyncMasterSettings } from '../../src/engine/sync.ts';
import { firstSyncEnd, SyncCandidate, syncNeeded } from '../../src/engine/sync-needed.ts';
import { SyncQueue } from '../../src/engine/sync-queue.ts';
import { SyncConnection } from '../../src/wire/sync-message.ts';
import { SYNC_END, SyncMessageReader } from '../../src/wire/sync-message-reader.ts';
import { fromHex, readVectorFile, toHex } from '../support/vectors.ts';
import { DirectorOfRecording, type ServiceOfMaster, TICKS_PER_SECOND } from './sync-director.ts';

const SETTINGS: SyncMasterSettings = {
  sync_threshold: [3, 50],
  sync_refresh_period: 0,
  sync_retries: 0,
  sync_persist_mode: 0,
  sync_version: 1,
  sync_qlen_max: 4096,
};

describe('when a connection is told of', () => {
  interface Case {
    readonly title: string;
    readonly settings: {
      template: boolean;
      proto: string;
      threshold: number;
      period: number;
      refresh: number;
      retries: number;
    };
    readonly steps: readonly { now: number; pkts: number; state: string | null; timeout: number; sync: boolean }[];
  }
  for (const { title, settings, steps } of readVectorFile<{ cases: Case[] }>(import.meta.url, 'sync-needed.json')
    .cases) {
    test(title, () => {
      const candidate = new SyncCandidate();
      candidate.syncEnd = firstSyncEnd(0);
      candidate.isTemplate = settings.template;
      candidate.protocol = settings.proto === 'tcp' ? 6 : 17;
      for (const { now, pkts, state, timeout, sync } of steps) {
        candidate.state = Math.max(0, TCP_STATE_NAMES.indexOf((state ?? 'NONE') as (typeof TCP_STATE_NAMES)[number]));
        candidate.timeoutTicks = timeout * TICKS_PER_SECOND;
        const needed = syncNeeded(candidate, pkts, Math.round(now * TICKS_PER_SECOND), {
          sync_threshold: [settings.threshold, settings.period],
          sync_refresh_period: settings.refresh,
          sync_retries: settings.retries,
          sync_persist_mode: 0,
        });
        expect(needed, `at ${now} s, packet ${pkts}`).toBe(sync);
      }
    });
  }

  test('with sync_persist_mode the members of a template are not', () => {
    const candidate = new SyncCandidate();
    candidate.protocol = 17;
    candidate.hasTemplate = true;
    expect(syncNeeded(candidate, 3, 0, SETTINGS)).toBe(true);
    expect(syncNeeded(candidate, 53, 0, { ...SETTINGS, sync_persist_mode: 1 })).toBe(false);
    candidate.isTemplate = true;
    expect(syncNeeded(candidate, 53, 0, { ...SETTINGS, sync_persist_mode: 1 })).toBe(true);
  });

  test('SCTP associations at their changes of state', () => {
    const candidate = new SyncCandidate();
    candidate.protocol = 132;
    const told = (state: number, packets: number) => {
      candidate.state = state;
      return syncNeeded(candidate, packets, 0, SETTINGS);
    };
    expect([told(4, 3), told(8, 2), told(8, 3), told(10, 4), told(10, 5), told(13, 6)]).toEqual([
      false,
      false,
      true,
      true,
      false,
      true,
    ]);
  });

  test('is the same when the ticks wrap', () => {
    const candidate = new SyncCandidate();
    candidate.protocol = 17;
    candidate.timeoutTicks = 300 * TICKS_PER_SECOND;
    const settings = { ...SETTINGS, sync_threshold: [0, 0], sync_refresh_period: 10 } as const;
    const start = 2 ** 31 - 4 * TICKS_PER_SECOND;
    candidate.syncEnd = firstSyncEnd(start);
    const at = (seconds: number) => syncNeeded(candidate, 1, (start + seconds * TICKS_PER_SECOND) | 0, settings);
    expect([at(0), at(1), at(9), at(11), at(12)]).toEqual([true, false, false, true, false]);
  });
});

describe('recorded masters', () => {
  interface Case {
    readonly recording: string;
    readonly settings: SyncMasterSettings & { readonly sync_ports: number };
    readonly options: { readonly syncId: number; readonly messageBytesMax: number; readonly startedMs: number };
    readonly service: ServiceOfMaster;
    readonly endMs: number;
    readonly packets: readonly {
      atMs: number;
      fromClient: boolean;
      packet: string;
      output?: string;
      to?: string;
      dropped?: boolean;
    }[];
    readonly messages: readonly { atMs: number; thread: number; payload: string }[];
  }
  const { cases } = JSON.parse(
    gunzipSync(readFileSync(new URL('recorded-sync-master.json.gz', import.meta.url))).toString(),
  ) as { cases: Case[] };

  function play({ settings, options, service, endMs, packets }: Case) {
    const director = new DirectorOfRecording(service);
    const master = new SyncMaster(director, settings, { ...options, threads: settings.sync_ports }, options.startedMs);
    const sent: { atMs: number; thread: number; payload: string }[] = [];
    const advance = (toMs: number) => {
      for (let atMs = master.nextDeadlineMs; atMs <= toMs; atMs = master.nextDeadlineMs) {
        for (const { thread, bytes } of master.takeDue(atMs)) sent.push({ atMs, thread, payload: toHex(bytes) });
      }
    };
    for (const { atMs, fromClient, packet, output, to, dropped } of packets) {
      advance(atMs);
      if (dropped) continue;
      const nowTick = Math.floor((atMs * TICKS_PER_SECOND) / 1000);
      if (!fromClient) {
        director.fromServer(fromHex(packet));
        continue;
      }
      const { row, packets: count } = director.fromClient(
        fromHex(packet),
        fromHex(output as string),
        to as string,
        nowTick,
      );
      const counted = service.onePacket ? settings.sync_threshold[0] : count;
      master.consider(row, counted, nowTick, atMs);
    }
    advance(endMs);
    return sent;
  }

  for (const recorded of cases) {
    const { recording, messages } = recorded;
    if (recorded.settings.sync_ports > 1) {
      test(`${recording}: the same connections, each on one port`, () => {
        const perConnection = (sent: readonly { thread: number; payload: string }[]) => {
          const all: string[] = [];
          const threadOf = new Map<string, number>();
          for (const { thread, payload } of sent) {
            for (const one of read(fromHex(payload))) {
              const name = `${one.client} ${one.clientPort}`;
              expect(threadOf.get(name) ?? thread).toBe(thread);
              threadOf.set(name, thread);
              all.push(JSON.stringify(one));
            }
          }
          expect(new Set(threadOf.values()).size).toBe(2);
          return all.sort();
        };
        expect(perConnection(play(recorded))).toEqual(perConnection(messages));
      });
      continue;
    }
    test(`${recording}: ${messages.length} messages, byte for byte, about when they were sent`, () => {
      const sent = play(recorded);
      expect(sent.map(({ payload }) => payload)).toEqual(messages.map(({ payload }) => payload));
      for (const [index, { atMs }] of sent.entries()) {
        // The kernel's timers are coarse; nobody knows how far its first second had come.
        expect(Math.abs(atMs - (messages[index] as { atMs: number }).atMs)).toBeLessThan(80);
      }
    });
  }

  function read(bytes: Uint8Array): SyncConnection[] {
    const reader = new SyncMessageReader();
    expect(reader.open(bytes, 0, bytes.length, 0)).toBe(true);
    const all: SyncConnection[] = [];
    for (;;) {
      const into = new SyncConnection();
      if (reader.next(into) === SYNC_END) return all;
      all.push(into);
    }
  }
});

describe('messages wait', () => {
  const OPTIONS = { syncId: 1, messageBytesMax: 8 + 2 * 36, threads: 1 };
  const connection = new SyncConnection();
  const append = (queue: SyncQueue, nowMs: number, times = 1, max = 100) => {
    for (let i = 0; i < times; i++) queue.append(0, 1, connection, nowMs, max);
  };

  test('two seconds and up to the next look when they are not full', () => {
    const queue = new SyncQueue(OPTIONS, 0);
    expect(queue.nextDeadlineMs).toBe(Number.POSITIVE_INFINITY);
    append(queue, 100);
    expect(queue.nextDeadlineMs).toBe(3 * 1024);
    expect(queue.takeDue(3071)).toEqual([]);
    append(queue, 3071);
    expect(queue.takeDue(3072).map(({ bytes }) => bytes[4])).toEqual([2]);
    expect(queue.nextDeadlineMs).toBe(Number.POSITIVE_INFINITY);
  });

  test('20 ms when they are full', () => {
    const queue = new SyncQueue(OPTIONS, 0);
    append(queue, 100, 3);
    expect(queue.nextDeadlineMs).toBe(120);
    append(queue, 110, 2);
    expect(queue.takeDue(119)).toEqual([]);
    expect(queue.takeDue(120).map(({ bytes }) => bytes[4])).toEqual([2, 2]);
  });

  test('not at all when eight are full', () => {
    const queue = new SyncQueue(OPTIONS, 0);
    append(queue, 100, 17);
    expect(queue.nextDeadlineMs).toBe(100);
    expect(queue.takeDue(100)).toHaveLength(8);
  });

  test('and are thrown away when too many do', () => {
    const queue = new SyncQueue(OPTIONS, 0);
    append(queue, 100, 9, 3);
    expect(queue.dropped).toBe(1);
    expect(queue.takeDue(120)).toHaveLength(3);
  });

  test('for a while longer when the version changes in between: each message has one', () => {
    const queue = new SyncQueue(OPTIONS, 0);
    queue.append(0, 1, connection, 0, 100);
    queue.append(0, 0, connection, 0, 100);
    queue.append(0, 1, connection, 0, 100);
    expect(queue.takeDue(5000).map(({ bytes }) => bytes[5])).toEqual([1, 0, 1]);
  });

  test('a connection that is longer than a message makes a longer one', () => {
    const queue = new SyncQueue({ ...OPTIONS, messageBytesMax: 1 }, 0);
    append(queue, 0, 3);
    expect(queue.takeDue(5000).map(({ bytes }) => bytes.length)).toEqual([44, 44, 44]);
  });

  test('however often anybody looks: what is sent when does not depend on it', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(900), fc.integer({ min: 1, max: 20 }), fc.nat(1)), { minLength: 1, maxLength: 20 }),
        fc.integer({ min: 1, max: 500 }),
        (bursts, stepMs) => {
          const run = (step: number) => {
            const queue = new SyncQueue({ ...OPTIONS, threads: 2 }, 0);
            const sent: string[] = [];
            let nowMs = 0;
            const advance = (toMs: number) => {
              if (step > 0) for (let at = nowMs + step; at < toMs; at += step) take(at);
              while (queue.nextDeadlineMs <= toMs) take(queue.nextDeadlineMs);
              nowMs = toMs;
            };
            const take = (atMs: number) => {
              for (const { thread, bytes } of queue.takeDue(atMs)) sent.push(`${thread} ${toHex(bytes)}`);
            };
            for (const [index, [wait, count, thread]] of bursts.entries()) {
              advance(nowMs + wait);
              connection.state = index;
              for (let i = 0; i < count; i++) queue.append(thread, 1, connection, nowMs, 1000);
            }
            advance(nowMs + 5000);
            expect(queue.nextDeadlineMs).toBe(Number.POSITIVE_INFINITY);
            return sent.sort();
          };
          expect(run(stepMs)).toEqual(run(0));
        },
      ),
      { numRuns: 200 },
    );
  });
});

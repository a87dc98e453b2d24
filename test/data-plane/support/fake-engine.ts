/** An engine that remembers what it was asked, and an I/O back end that gives out prepared frames. */

import type { PacketEngine } from '../../../src/data-plane/packet-engine.ts';
import type { Answer, Command, CommandName } from '../../../src/model/commands.ts';
import { IpvsError } from '../../../src/model/errors.ts';
import type { NetworkSnapshot } from '../../../src/model/network.ts';
import { type Link, type PacketIo, type PacketIoCounters, PacketIoError } from '../../../src/packet-io/packet-io.ts';
import { PacketBatch } from '../../../src/wire/packet-batch.ts';

export class FakeEngine implements PacketEngine {
  readonly outbox = PacketBatch.allocate(4, 64);
  readonly diary: string[];
  network: NetworkSnapshot | null = null;
  deadlineMs = Number.POSITIVE_INFINITY;

  constructor(diary: string[] = []) {
    this.diary = diary;
  }

  setNetwork(snapshot: NetworkSnapshot): void {
    this.network = snapshot;
  }

  /** `deleteService` is refused, `stopSyncDaemon` hits a mistake of ours, `flush` makes the engine speak. */
  execute<N extends CommandName>(command: Command<N>): Answer<N> {
    this.diary.push(command.name);
    if (command.name === 'deleteService') throw new IpvsError('ESRCH', 'no such service');
    if (command.name === 'stopSyncDaemon') throw new TypeError('a broken invariant');
    if (command.name === 'flush') this.outbox.push(Uint8Array.of(9), -1);
    return null as Answer<N>;
  }

  process(batch: PacketBatch, nowMs: number): void {
    this.diary.push(`process ${batch.count} at ${nowMs}`);
    this.outbox.push(Uint8Array.of(7), -1);
  }

  advance(nowMs: number): void {
    this.diary.push(`advance ${nowMs}`);
  }

  nextDeadlineMs(): number {
    return this.deadlineMs;
  }
}

export class FakeIo implements PacketIo {
  readonly links: Link[] = [];
  readonly counters: PacketIoCounters = { received: 0, transmitted: 0, receiveDrops: 0, transmitErrors: {} };
  readonly diary: string[];
  /** Frames the next `receive` gives out. */
  waiting = 0;
  closed = false;
  onWait: (timeoutMs: number) => void = () => {};
  onReadable: (() => void) | null = null;

  constructor(diary: string[] = []) {
    this.diary = diary;
  }

  attach(link: Link): void {
    if (link.name === 'broken') throw new PacketIoError('cannot be opened');
    this.diary.push(`attach ${link.name} ${Buffer.from(link.mac).toString('hex')}`);
    this.links.push(link);
  }

  detach(linkIndex: number): void {
    this.diary.push(`detach ${linkIndex}`);
  }

  createBatch(frames: number): PacketBatch {
    return PacketBatch.allocate(frames, 64);
  }

  receive(batch: PacketBatch): number {
    batch.clear();
    for (; this.waiting > 0; this.waiting--) batch.push(Uint8Array.of(1), 2);
    return batch.count;
  }

  transmit(batch: PacketBatch): number {
    this.diary.push(`transmit ${batch.count}`);
    return batch.count;
  }

  wait(timeoutMs: number): void {
    this.onWait(timeoutMs);
  }

  listen(onReadable: () => void): void {
    this.onReadable = onReadable;
  }

  close(): void {
    this.closed = true;
  }
}

/** Thresholds are about the connections of all shards together: two engines, and the memory they share. */
import { expect, test } from 'vitest';
import { createLoadBoard, LoadBoard } from '../../../src/data-plane/steering/load-board.ts';
import { Shard } from '../../../src/data-plane/steering/shard.ts';
import { Engine } from '../../../src/engine/engine.ts';
import type { ServiceStatus } from '../../../src/model/service.ts';
import { PacketBatch } from '../../../src/wire/packet-batch.ts';
import { frame } from '../../support/frames.ts';
import { destination, key, service } from '../support/specs.ts';

const VIP = '192.0.2.10';
const WEB = key(VIP, 80);
const ETH0 = '02:00:00:00:00:02';

function shardedEngine(index: number, loads: SharedArrayBuffer) {
  const shard = new Shard({ index, count: 2, loads }, 'none');
  const engine = new Engine({ seed: 1, connectionsMax: 100, defaultSourceNat: 'none', nowMs: 0, shard });
  const addresses = [{ address: '192.0.2.1', prefixLength: 24 }];
  engine.setNetwork({
    links: [{ index: 1, name: 'eth0', mac: ETH0, mtu: 1500, loopback: false, up: true, addresses }],
    routes: [],
    neighbors: [],
    hostLink: null,
    localPortRange: [32_768, 60_999],
  });
  engine.execute({ name: 'addService', service: { ...service(WEB), scheduler: 'rr' } });
  const limited = { ...destination('192.0.2.11', 80), upperThreshold: 4, lowerThreshold: 2 };
  engine.execute({ name: 'addDestination', service: WEB, destination: limited });
  let clients = 0;
  return {
    /** A client opens a connection; returns how many there are in this shard. */
    open(nowMs: number): number {
      const batch = PacketBatch.allocate(1, 2_000);
      clients++;
      batch.push(frame().ethernet({ to: ETH0 }).ipv4(`198.51.100.${clients}`, VIP).tcp(40_000, 80, { syn: true }), 1);
      engine.advance(nowMs);
      engine.process(batch, nowMs);
      return this.connections();
    },
    connections(): number {
      const { destinations } = engine.execute<'getService'>({ name: 'getService', key: WEB }) as ServiceStatus;
      return destinations[0]!.activeConnections + destinations[0]!.inactiveConnections;
    },
    advance: (nowMs: number) => engine.advance(nowMs),
  };
}

test('a server is full when both shards together have brought it so many, and has room again when some have gone', () => {
  const loads = createLoadBoard(2);
  const [a, b] = [shardedEngine(0, loads), shardedEngine(1, loads)];
  expect([a.open(0), a.open(0), b.open(0), b.open(0)]).toEqual([1, 2, 1, 2]);
  // The one that brought the last knows at once, the other after its next look.
  expect(b.open(0)).toBe(2);
  expect(a.open(20)).toBe(2);
  // The connections of one shard expire; the other has not one less and takes new ones all the same.
  for (let nowMs = 20; nowMs < 70_000; nowMs += 100) a.advance(nowMs);
  expect(a.connections()).toBe(0);
  expect(b.connections()).toBe(2);
  // Two are left, which is not below the lower threshold of 2.
  expect(a.open(70_000)).toBe(0);
  for (let nowMs = 20; nowMs < 70_000; nowMs += 100) b.advance(nowMs);
  expect(b.open(70_050)).toBe(1);
  expect(a.open(70_050)).toBe(1);
});

test('a worker that begins has no connections, whatever its predecessor had', () => {
  const loads = createLoadBoard(2);
  const [first, second] = [new LoadBoard(loads, 0, 2), new LoadBoard(loads, 1, 2)];
  first.loadOf('a')?.add(1);
  second.loadOf('a')?.add(1);
  second.loadOf('b')?.add(1);
  expect([first.loadOf('a')?.total(), first.loadOf('b')?.total()]).toEqual([2, 1]);
  const successor = new LoadBoard(loads, 1, 2);
  expect([first.loadOf('a')?.total(), successor.loadOf('b')?.total()]).toEqual([1, 0]);
});

test('when there is no place any more, shards count for themselves', () => {
  const board = new LoadBoard(createLoadBoard(2), 0, 2);
  let without = 0;
  for (let n = 0; n < 40_000; n++) if (board.loadOf(`server ${n}`) === null) without++;
  expect(without).toBeGreaterThanOrEqual(40_000 - (1 << 15));
});

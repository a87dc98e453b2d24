/** Synchronisation between directors with shards: every shard tells of its own, and each of the other side takes its own. */
import { expect, test } from 'vitest';
import { Shard } from '../../../src/data-plane/steering/shard.ts';
import { Engine } from '../../../src/engine/engine.ts';
import type { SyncRole } from '../../../src/model/commands.ts';
import { PacketBatch } from '../../../src/wire/packet-batch.ts';
import { frame } from '../../support/frames.ts';
import { destination, key, service } from '../support/specs.ts';

const VIP = '192.0.2.10';
const DNS = key(VIP, 53, 'udp');
const CLIENTS = [...Array(40).keys()].map((n) => `198.51.100.${n + 1}`);
const MACS = { master: '02:00:00:00:00:02', backup: '02:00:00:00:00:03' };

function shardsOf(role: SyncRole, count: number) {
  return [...Array(count).keys()].map((index) => {
    const shard = new Shard({ index, count }, 'none');
    const engine = new Engine({ seed: index, connectionsMax: 100, defaultSourceNat: 'none', nowMs: 0, shard });
    const address = role === 'master' ? '192.0.2.1' : '192.0.2.2';
    const link = { index: 1, name: 'eth0', mac: MACS[role], mtu: 1500, loopback: false, up: true };
    engine.setNetwork({
      links: [{ ...link, addresses: [{ address, prefixLength: 24 }] }],
      routes: [],
      neighbors: [],
      hostLink: null,
      localPortRange: [32_768, 60_999],
    });
    const persistent = { ...service(DNS), persistenceTimeoutSeconds: 300, netmask: '255.255.255.248' };
    const add = { name: 'addService', service: persistent } as const;
    const spec = {
      name: 'addDestination',
      service: DNS,
      destination: destination('192.0.2.11', 53, 'direct'),
    } as const;
    for (const command of [add, spec]) {
      engine.execute(command);
      shard.note(command);
    }
    const group = { interface: 'eth0', syncId: 1, maxLength: 0, group: '224.0.0.81', port: 8848, ttl: 1 };
    engine.execute({ name: 'startSyncDaemon', daemon: { role, ...group } });
    return { shard, engine };
  });
}

test('each connection and each template is told by one shard, and taken over by one', () => {
  const masters = shardsOf('master', 2);
  const backups = shardsOf('backup', 3);
  const told: Uint8Array[][] = masters.map(() => []);
  for (let nowMs = 0; nowMs < 6_000; nowMs += 500) {
    masters.forEach(({ shard, engine }, n) => {
      engine.advance(nowMs);
      for (const client of nowMs < 2_000 ? CLIENTS : []) {
        const bytes = frame().ethernet({ to: MACS.master }).ipv4(client, VIP).udp(4_000, 53);
        if (!shard.ownsFrame(bytes)) continue;
        const batch = PacketBatch.allocate(1, 2_000);
        batch.push(bytes, 1);
        engine.process(batch, nowMs);
      }
      for (let slot = 0; slot < engine.outbox.count; slot++) told[n]?.push(engine.outbox.frame(slot).slice());
      engine.outbox.clear();
    });
  }
  for (const frames of told) expect(frames.filter((bytes) => bytes[0] === 1).length).toBeGreaterThan(0);
  for (const { engine } of backups) {
    for (const bytes of told.flat()) {
      const batch = PacketBatch.allocate(1, 2_000);
      batch.push(bytes, 1);
      engine.process(batch, 6_000);
    }
  }
  const rows = (engines: typeof masters) =>
    engines.map(({ engine }) => engine.execute<'listConnections'>({ name: 'listConnections' }).items);
  const names = (list: ReturnType<typeof rows>) =>
    list.flatMap((items) => items.map(({ client, template }) => `${client.address}:${client.port} ${template}`)).sort();
  const there = rows(backups);
  expect(names(there)).toEqual(names(rows(masters)));
  expect(new Set(names(there)).size).toBe(names(there).length);
  expect(names(there).filter((name) => name.endsWith('true')).length).toBe(6);
  there.forEach((items, index) => {
    for (const { client } of items) {
      const packet = frame().ethernet({ to: MACS.backup }).ipv4(client.address, VIP).udp(4_000, 53);
      expect(backups[index]!.shard.ownsFrame(packet)).toBe(true);
    }
  });
});

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { IpvsError } from '../../src/model/errors.ts';
import { formatServiceKey, type ServiceKey } from '../../src/model/service.ts';
import { createTable, destinationSpec, seededRandom, serviceSpec, wordsOf } from './support.ts';

const PROTOCOLS = { tcp: 6, udp: 17, sctp: 132 } as const;
const address = fc.constantFrom('192.0.2.1', '192.0.2.2', '2001:db8::1', '::c000:201');
const port = fc.constantFrom(0, 20, 21, 53, 80, 1023, 1024, 40000);
const protocol = fc.constantFrom('tcp' as const, 'udp' as const, 'sctp' as const);
const mark = fc.constantFrom(1, 2, 0x80000000);
const key: fc.Arbitrary<ServiceKey> = fc.oneof(
  fc.record({ protocol, address, port }),
  fc.record({ mark, family: fc.constantFrom('ipv4' as const, 'ipv6' as const) }),
);
const server = fc.record({ address: fc.constantFrom('10.0.0.1', '10.0.0.2'), port: fc.constantFrom(80, 0) });
const operation = fc.record({
  kind: fc.constantFrom('add', 'add', 'add', 'delete', 'add-server', 'add-server', 'delete-server', 'flush'),
  key,
  server,
});

/** The names of the services, with the servers of each, the newest first. */
class NaiveTable {
  readonly services = new Map<string, { key: ServiceKey; servers: string[] }>();

  carryOut({
    kind,
    key,
    server,
  }: {
    kind: string;
    key: ServiceKey;
    server: { address: string; port: number };
  }): string {
    const name = formatServiceKey(key);
    const service = this.services.get(name);
    const endpoint = `${server.address}:${server.port}`;
    if (kind === 'flush') this.services.clear();
    else if (kind === 'add') {
      if (service) return 'EEXIST';
      this.services.set(name, { key, servers: [] });
    } else if (!service) return 'ESRCH';
    else if (kind === 'delete') this.services.delete(name);
    else if (kind === 'add-server') {
      if ('mark' in key ? key.family === 'ipv6' : key.address.includes(':')) return 'EINVAL';
      if (service.servers.includes(endpoint)) return 'EEXIST';
      service.servers.unshift(endpoint);
    } else {
      if (!service.servers.includes(endpoint)) return 'ENOENT';
      service.servers.splice(service.servers.indexOf(endpoint), 1);
    }
    return 'ok';
  }

  find(packetMark: number, name: keyof typeof PROTOCOLS, text: string, at: number): string | null {
    const family = text.includes(':') ? 'ipv6' : 'ipv4';
    const names = [
      formatServiceKey({ mark: packetMark, family }),
      formatServiceKey({ protocol: name, address: text, port: at }),
    ];
    if (name === 'tcp' && (at === 20 || at >= 1024))
      names.push(formatServiceKey({ protocol: name, address: text, port: 21 }));
    names.push(formatServiceKey({ protocol: name, address: text, port: 0 }));
    return names.find((it) => this.services.has(it)) ?? null;
  }
}

test('the table holds and finds what a naive map does', () => {
  fc.assert(
    fc.property(
      fc.array(operation, { maxLength: 80 }),
      fc.array(fc.tuple(fc.oneof(fc.constant(0), mark), protocol, address, port), { minLength: 30, maxLength: 30 }),
      fc.integer(),
      (operations, packets, seed) => {
        const table = createTable(seededRandom(seed));
        const naive = new NaiveTable();
        const perform = ({ kind, key, server }: (typeof operations)[number], nowTicks: number): void => {
          const spec = destinationSpec({ ...server, weight: 1 });
          if (kind === 'add') table.addService(serviceSpec({ key }), nowTicks);
          else if (kind === 'delete') table.deleteService(key, nowTicks);
          else if (kind === 'flush') table.flush(nowTicks);
          else if (kind === 'add-server') table.addDestination(key, spec, nowTicks);
          else table.deleteDestination(key, server, nowTicks);
        };
        for (const [index, step] of operations.entries()) {
          // Time passes, so that deleted destinations are freed now and then and their indexes used again.
          const nowTicks = index * 4000;
          table.advance(nowTicks);
          let outcome = 'ok';
          try {
            perform(step, nowTicks);
          } catch (error) {
            expect(error).toBeInstanceOf(IpvsError);
            outcome = (error as IpvsError).code;
          }
          expect(outcome).toBe(naive.carryOut(step));
        }
        expect(table.serviceCount).toBe(naive.services.size);
        const listed = table
          .services()
          .map((it) => [
            formatServiceKey(it.key),
            it.destinations.map((destination) => `${destination.address}:${destination.port}`),
          ]);
        expect(new Map(listed as [string, string[]][])).toEqual(
          new Map([...naive.services].map(([name, { servers }]) => [name, servers])),
        );
        for (const [packetMark, name, text, at] of packets) {
          const found = table.findService(packetMark, text.includes(':'), PROTOCOLS[name], ...wordsOf(text), at);
          expect(found && formatServiceKey(found.key)).toBe(naive.find(packetMark, name, text, at));
          const known = [...naive.services.values()].some(({ key: it }) => 'address' in it && it.address === text);
          expect(table.isServiceAddress(text.includes(':'), ...wordsOf(text))).toBe(known);
        }
        const indexes = table.services().flatMap((it) => it.destinations.map((destination) => destination.index));
        expect(new Set(indexes).size).toBe(indexes.length);
        for (const service of table.services()) {
          for (const destination of service.destinations)
            expect(table.destinationAt(destination.index)).toBe(destination);
        }
      },
    ),
    { numRuns: 300 },
  );
});

test('table order goes by bucket, the newest first in each, and stays the same', () => {
  fc.assert(
    fc.property(fc.uniqueArray(key, { selector: formatServiceKey, maxLength: 40 }), fc.integer(), (keys, seed) => {
      const table = createTable(seededRandom(seed));
      for (const it of keys) table.addService(serviceSpec({ key: it }), 0);
      const places = table.services().map((it) => [table.bucketOf(it), -it.serial] as const);
      expect(places).toEqual([...places].sort((a, b) => a[0] - b[0] || a[1] - b[1]));
      const marks = table.services().map((it) => it.mark !== 0);
      expect(marks).toEqual([...marks].sort());
    }),
  );
});

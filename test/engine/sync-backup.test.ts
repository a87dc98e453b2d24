import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ServiceTable } from '../../src/balance/service-table.ts';
import { receiveSyncMessage } from '../../src/engine/sync-backup.ts';
import { PLAIN_TUNNEL } from '../../src/model/forwarding.ts';
import { SyncConnection } from '../../src/wire/sync-message.ts';
import { SyncMessageWriter } from '../../src/wire/sync-message-writer.ts';
import { fromHex } from '../support/vectors.ts';
import { BackupOfRecording } from './sync-backup-table.ts';

interface Step {
  readonly atMs: number;
  readonly command?: readonly string[];
  readonly syncId?: number;
  readonly stop?: boolean;
  readonly datagram?: string;
  readonly note?: string;
  /** Lines of /proc/net/ip_vs_conn. */
  readonly table?: readonly string[];
  /** Server to method, active, inactive, as listed. */
  readonly counts?: Record<string, [method: string, active: number, inactive: number]>;
}
const METHODS = { '-m': 'masquerade', '-g': 'direct', '-i': 'tunnel' } as const;

/** `-A` and `-a` of ipvsadm, as far as the recordings use them. */
function configure(services: ServiceTable, argv: readonly string[]): void {
  const after = (option: string) => (argv.includes(option) ? (argv[argv.indexOf(option) + 1] as string) : null);
  const endpoint = (text: string) => {
    const colon = text.lastIndexOf(':');
    return { address: text.slice(0, colon).replace(/[[\]]/g, ''), port: Number(text.slice(colon + 1)) };
  };
  const mark = after('-f');
  const key =
    mark !== null
      ? { mark: Number(mark), family: 'ipv4' as const }
      : after('-t') !== null
        ? { protocol: 'tcp' as const, ...endpoint(after('-t') as string) }
        : { protocol: 'udp' as const, ...endpoint(after('-u') as string) };
  if (argv[0] === '-A') {
    const persistence = after('-p');
    const ipv6 = 'address' in key && key.address.includes(':');
    services.addService(
      {
        key,
        scheduler: 'rr',
        schedulerFlags: [],
        persistenceTimeoutSeconds: persistence === null ? null : Number(persistence),
        netmask: ipv6 ? '128' : '255.255.255.255',
        persistenceEngine: after('--pe'),
        onePacket: argv.includes('-o'),
      },
      0,
    );
    return;
  }
  const option = (Object.keys(METHODS) as (keyof typeof METHODS)[]).find((name) => argv.includes(name));
  services.addDestination(
    key,
    {
      ...endpoint(after('-r') as string),
      method: METHODS[option as keyof typeof METHODS],
      weight: 1,
      upperThreshold: 0,
      lowerThreshold: 0,
      tunnel: PLAIN_TUNNEL,
    },
    0,
  );
}

function newServices(): ServiceTable {
  return new ServiceTable({ random: () => 0.5, defaultSourceNat: 'none', nowTicks: 0 });
}

/** A line of the table without its remaining time, and that. */
function splitLine(line: string): [entry: string, seconds: number] {
  const words = line.trim().split(/\s+/);
  const [seconds] = words.splice(8, 1);
  return [words.join(' '), Number(seconds)];
}

describe('recorded backups', () => {
  const { cases } = JSON.parse(
    gunzipSync(readFileSync(new URL('recorded-sync-backup.json.gz', import.meta.url))).toString(),
  ) as { cases: { recording: string; steps: Step[] }[] };

  for (const { recording, steps } of cases) {
    test(`${recording}: the same connections, states, times and counters`, () => {
      const services = newServices();
      const table = new BackupOfRecording(services);
      let syncId = -1;
      let tables = 0;
      for (const [index, step] of steps.entries()) {
        const { atMs, command, datagram, counts, note } = step;
        table.advance(atMs);
        if (command !== undefined) configure(services, command);
        if (step.syncId !== undefined) syncId = step.syncId;
        if (step.stop) syncId = -1;
        if (datagram !== undefined && syncId >= 0) {
          const bytes = fromHex(`5a${datagram}5a`);
          receiveSyncMessage(bytes, 1, bytes.length - 1, syncId, table);
        }
        if (step.table !== undefined) {
          const expected = new Map(step.table.map(splitLine));
          const actual = new Map(table.lines().map(splitLine));
          const what = `${recording} step ${index} after ${steps[index - 1]?.note ?? note}`;
          // The kernel's timers are late: what has no time left may be there or not.
          const lasting = (all: Map<string, number>) =>
            [...all]
              .filter(([, left]) => left > 0)
              .map(([line]) => line)
              .sort();
          expect(lasting(actual), what).toEqual(lasting(expected));
          for (const [line, left] of actual) {
            expect(Math.abs(left - (expected.get(line) ?? left)), `${what}: ${line}`).toBeLessThanOrEqual(1);
          }
          tables++;
        }
        if (counts !== undefined) {
          const listed = table.counts();
          for (const [server, expected] of Object.entries(counts)) expect(listed[server], server).toEqual(expected);
        }
      }
      expect(tables).toBeGreaterThan(0);
    });
  }
});

describe('what a message makes', () => {
  const services = () => {
    const made = newServices();
    configure(made, ['-A', '-t', '10.0.0.100:80', '-s', 'rr']);
    configure(made, ['-a', '-t', '10.0.0.100:80', '-r', '10.1.0.11:80', '-g']);
    return made;
  };
  function connection(change: Partial<SyncConnection> = {}): SyncConnection {
    const made = new SyncConnection();
    made.protocol = 6;
    made.state = 1;
    made.clientPort = 1000;
    made.virtualPort = made.destinationPort = 80;
    made.timeoutSeconds = 100;
    made.client[3] = 0x0a000001;
    made.virtual[3] = 0x0a000064;
    made.destination[3] = 0x0a01000b;
    return Object.assign(made, change);
  }
  function send(table: BackupOfRecording, ...connections: SyncConnection[]): number {
    const writer = new SyncMessageWriter(1, 1, 1472, connections[0] as SyncConnection);
    for (const one of connections) writer.append(one);
    const bytes = writer.finish();
    return receiveSyncMessage(bytes, 0, bytes.length, 1, table);
  }

  test('takes the method from the destination here', () => {
    const table = new BackupOfRecording(services());
    expect(send(table, connection({ flags: 0x0102 }))).toBe(1);
    expect(table.flags()).toEqual([0x0020 | 0x0003 | 0x0080 | 0x0100]);
  });

  test('keeps the method of the message when nobody here knows the server', () => {
    const table = new BackupOfRecording(newServices());
    send(table, connection({ flags: 0x0082 }));
    expect(table.flags()).toEqual([0x00a2]);
  });

  test('binds to a destination that was added since', () => {
    const made = newServices();
    const table = new BackupOfRecording(made);
    send(table, connection());
    configure(made, ['-A', '-t', '10.0.0.100:80', '-s', 'rr']);
    configure(made, ['-a', '-t', '10.0.0.100:80', '-r', '10.1.0.11:80', '-m']);
    send(table, connection());
    expect(table.counts()['10.1.0.11:80']).toEqual(['Masq', 1, 0]);
  });

  test('moves a connection between the counters', () => {
    const table = new BackupOfRecording(services());
    send(table, connection());
    expect(table.counts()['10.1.0.11:80']).toEqual(['Route', 1, 0]);
    send(table, connection({ flags: 0x0100, state: 5 }));
    expect(table.counts()['10.1.0.11:80']).toEqual(['Route', 0, 1]);
    send(table, connection());
    expect(table.counts()['10.1.0.11:80']).toEqual(['Route', 1, 0]);
  });

  test('replaces a connection that went to another server, but not with late news', () => {
    const table = new BackupOfRecording(services());
    send(table, connection());
    const elsewhere = connection({ destinationPort: 81 });
    expect(send(table, Object.assign(elsewhere, { flags: 0x0100 }))).toBe(0);
    expect(table.lines()[0]).toContain(' 0050 ESTABLISHED');
    expect(send(table, Object.assign(elsewhere, { flags: 0 }))).toBe(1);
    expect(table.lines()).toHaveLength(1);
    expect(table.lines()[0]).toContain(' 0051 ESTABLISHED');
  });

  test('is left out when its protocol, state or engine is unknown; what follows counts', () => {
    const table = new BackupOfRecording(services());
    const data = Uint8Array.of(65);
    const odd = [
      connection({ protocol: 1 }),
      connection({ state: 11 }),
      connection({ protocol: 17, state: 1 }),
      connection({ protocol: 132, state: 14 }),
      connection({ flags: 0x1000, engineData: data, engineName: 'other' }),
      connection({ flags: 0x1000, engineData: data }),
    ];
    expect(send(table, ...odd, connection())).toBe(1);
    expect(table.lines()).toHaveLength(1);
  });

  test('finds its destination by mark: with NAT by its port or any, else by port 0 or its own', () => {
    const marked = (...destination: string[]) => {
      const made = newServices();
      configure(made, ['-A', '-f', '9', '-s', 'rr']);
      configure(made, ['-a', '-f', '9', '-r', ...destination]);
      return made;
    };
    const found = (made: ServiceTable, flags: number) => {
      const table = new BackupOfRecording(made);
      send(table, connection({ mark: 9, flags, destinationPort: 8080 }));
      return table.bound().active;
    };
    const [masquerade, direct] = [0, 3];
    expect(found(marked('10.1.0.11:8080', '-m'), masquerade)).toBe(1);
    expect(found(marked('10.1.0.11:0', '-m'), masquerade)).toBe(1);
    expect(found(marked('10.1.0.11:81', '-m'), masquerade)).toBe(0);
    expect(found(marked('10.1.0.11:0', '-g'), direct)).toBe(1);
    expect(found(marked('10.1.0.11:8080', '-m'), direct)).toBe(1);
    expect(found(marked('10.1.0.12:0', '-g'), direct)).toBe(0);
  });

  test('lasts 180 seconds when neither it nor the protocol says', () => {
    const table = new BackupOfRecording(services());
    send(table, connection({ timeoutSeconds: 0, flags: 0x1000, state: 7 }));
    expect(table.lines()[0]).toMatch(/ERR! +179$|ERR! +180$/);
  });
});

test('random messages: nobody throws, the counters agree with the table', () => {
  const services = newServices();
  configure(services, ['-A', '-t', '10.0.0.100:80', '-s', 'rr']);
  configure(services, ['-a', '-t', '10.0.0.100:80', '-r', '10.1.0.11:80', '-m']);
  const table = new BackupOfRecording(services);
  const word = fc.constantFrom(0x0a000064, 0x0a01000b, 1);
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          version: fc.constantFrom(0 as const, 1 as const),
          flags: fc.nat(0xffff),
          protocol: fc.constantFrom(6, 17, 132, 0, 99),
          state: fc.nat(12),
          port: fc.constantFrom(0, 80),
          words: fc.tuple(word, word, word),
          mark: fc.constantFrom(0, 9),
          timeoutSeconds: fc.constantFrom(0, 1, 2 ** 32 - 1),
        }),
        { minLength: 1, maxLength: 20 },
      ),
      (all) => {
        for (const { version, port, words, ...rest } of all) {
          const made = Object.assign(new SyncConnection(), rest);
          made.virtualPort = made.destinationPort = port;
          [made.client[3], made.virtual[3], made.destination[3]] = words;
          const writer = new SyncMessageWriter(version, 1, 100, made);
          writer.append(made);
          const bytes = writer.finish();
          receiveSyncMessage(bytes, 0, bytes.length, 0, table);
        }
        const { active, inactive, persistent } = table.bound();
        const [destination] = (
          services.services()[0] as {
            destinations: readonly {
              activeConnections: number;
              inactiveConnections: number;
              persistentConnections: number;
            }[];
          }
        ).destinations;
        expect(destination).toMatchObject({
          activeConnections: active,
          inactiveConnections: inactive,
          persistentConnections: persistent,
        });
      },
    ),
    { numRuns: 300 },
  );
});

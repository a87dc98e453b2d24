/** The kernel's IPVS as a data plane, against a kernel that is played; the real one is asked in the guest. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { applyChanges, readActual } from '../../../src/control/apply-changes.ts';
import { NOBODY_OUTSIDE, planChanges } from '../../../src/control/change-plan.ts';
import { IpvsCommand } from '../../../src/data-plane/kernel/family.ts';
import { KernelDataPlane } from '../../../src/data-plane/kernel/kernel-data-plane.ts';
import { SettingFiles } from '../../../src/data-plane/kernel/setting-files.ts';
import type { DataPlaneEvent } from '../../../src/model/events.ts';
import type { ServiceSpec } from '../../../src/model/service.ts';
import { DEFAULT_TIMEOUTS } from '../../../src/model/settings.ts';
import { destination, key, service } from '../support/specs.ts';
import { FakeKernel } from './fake-kernel.ts';

const WEB = key('192.0.2.1', 80);
const MAIL6 = key('2001:db8::25', 25);

let folder: string;
let kernel: FakeKernel;
let nowMs = 0;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'uipvs-kernel-'));
  mkdirSync(join(folder, 'net'));
  mkdirSync(join(folder, 'vs'));
  kernel = new FakeKernel();
  nowMs = 0;
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function open(): KernelDataPlane {
  return new KernelDataPlane({
    openNetlink: kernel.openNetlink,
    procNet: join(folder, 'net'),
    settings: new SettingFiles(join(folder, 'vs')),
    nowMs: () => nowMs,
  });
}

const specs = async (plane: KernelDataPlane) =>
  (await plane.execute<'listServices'>({ name: 'listServices' })).items.map(({ spec }) => spec);

describe('orders and questions', () => {
  test('a service comes back as it was added, with its counters', async () => {
    const plane = open();
    const wanted = {
      ...service(WEB),
      scheduler: 'sh',
      schedulerFlags: [1, 2] as const,
      persistenceTimeoutSeconds: 300,
      netmask: '255.255.255.0',
    };
    await plane.execute({ name: 'addService', service: wanted });
    const status = await plane.execute<'getService'>({ name: 'getService', key: WEB });
    expect(status.spec).toEqual({ ...wanted, sourceNat: 'none' });
    expect(status.statistics).toEqual({
      connections: 101,
      inPackets: 102,
      outPackets: 103,
      inBytes: 104,
      outBytes: 105,
    });
    expect(status.rates.outBytesPerSecond).toBe(110);
  });

  test('IPv6, firewall marks, persistence engines and one-packet scheduling are told in the words of the kernel', async () => {
    const plane = open();
    const six = { ...service(MAIL6), netmask: '64', persistenceTimeoutSeconds: 60 };
    const mark = { ...service({ mark: 4_294_967_295, family: 'ipv6' }), onePacket: true };
    const sip = { ...service(key('192.0.2.1', 5060, 'udp')), persistenceTimeoutSeconds: 60, persistenceEngine: 'sip' };
    for (const each of [six, mark, sip]) await plane.execute({ name: 'addService', service: each });
    const found = await specs(plane);
    for (const each of [six, mark, sip]) expect(found).toContainEqual({ ...each, sourceNat: 'none' });
  });

  test('destinations too: methods, tunnels, thresholds, another family', async () => {
    const plane = open();
    await plane.execute({ name: 'addService', service: service(WEB) });
    const wanted = [
      { ...destination('10.0.0.1', 8080), weight: 2_147_483_647, upperThreshold: 10, lowerThreshold: 5 },
      destination('10.0.0.2', 80, 'direct'),
      destination('10.0.0.3', 80, 'tunnel', { type: 'gue', port: 6080, checksum: 'remote' }),
      destination('fd00::3', 80, 'tunnel', { type: 'gre', port: 0, checksum: 'full' }),
    ];
    for (const each of wanted) await plane.execute({ name: 'addDestination', service: WEB, destination: each });
    const { destinations } = await plane.execute<'getService'>({ name: 'getService', key: WEB });
    expect(destinations.map(({ spec }) => spec)).toEqual([...wanted].reverse());
  });

  test('watchers hear of what was carried out, and of nothing that was refused', async () => {
    const plane = open();
    const heard: DataPlaneEvent[] = [];
    plane.watch((event) => heard.push(event));
    await plane.execute({ name: 'addService', service: service(WEB) });
    await expect(plane.execute({ name: 'addService', service: service(WEB) })).rejects.toMatchObject({
      code: 'EEXIST',
    });
    await plane.execute({ name: 'flush' });
    expect(heard.map(({ type }) => type)).toEqual(['service-added', 'flushed']);
  });

  test('timeouts, daemons and the version', async () => {
    const plane = open();
    await plane.execute({ name: 'setTimeouts', timeouts: { tcpSeconds: 60, tcpFinSeconds: 0, udpSeconds: 30 } });
    expect(await plane.execute({ name: 'getTimeouts' })).toEqual({
      ...DEFAULT_TIMEOUTS,
      tcpSeconds: 60,
      udpSeconds: 30,
    });
    const daemon = {
      role: 'backup',
      interface: 'e0',
      syncId: 7,
      maxLength: 1400,
      group: '224.0.0.82',
      port: 9000,
      ttl: 2,
    } as const;
    await plane.execute({ name: 'startSyncDaemon', daemon });
    expect(await plane.execute({ name: 'listSyncDaemons' })).toEqual({ daemons: [daemon] });
    await plane.execute({ name: 'stopSyncDaemon', role: 'backup' });
    await expect(plane.execute({ name: 'stopSyncDaemon', role: 'backup' })).rejects.toMatchObject({ code: 'ESRCH' });
    expect(await plane.execute({ name: 'info' })).toEqual({ version: '1.2.1', connectionTableSize: 4096 });
  });

  test('600 services come in three pages, whatever is deleted in between', async () => {
    const plane = open();
    for (let port = 1; port <= 600; port++) {
      await plane.execute({ name: 'addService', service: service(key('192.0.2.1', port)) });
    }
    const found: number[] = [];
    let cursor: string | null | undefined;
    do {
      const page: Awaited<ReturnType<typeof plane.execute<'listServices'>>> = await plane.execute<'listServices'>({
        name: 'listServices',
        ...(cursor === undefined ? {} : { cursor: cursor as string }),
      });
      for (const { spec } of page.items) if ('port' in spec.key) found.push(spec.key.port);
      await plane.execute({ name: 'deleteService', key: key('192.0.2.1', found[0] as number) }).catch(() => {});
      cursor = page.next;
    } while (cursor !== null);
    expect(found.sort((a, b) => a - b)).toEqual(Array.from({ length: 600 }, (_, index) => index + 1));
  });

  test.each(['', 'x', '1-', '7-1', 3, '9'.repeat(40)])('the cursor %j is refused', async (cursor) => {
    const plane = open();
    const command = { name: 'listServices', cursor } as { name: 'listServices'; cursor: string };
    await expect(plane.execute(command)).rejects.toMatchObject({ code: 'EINVAL' });
  });

  test('a listing is not kept for ever', async () => {
    const plane = open();
    for (const port of [1, 2]) await plane.execute({ name: 'addService', service: service(key('192.0.2.1', port)) });
    const { next } = await plane.execute<'listServices'>({ name: 'listServices', limit: 1 });
    nowMs = 61_000;
    await expect(plane.execute({ name: 'listServices', cursor: next as string })).rejects.toThrow(/too old/);
  });
});

describe('files of the kernel', () => {
  test('settings are read and written where the kernel has them', async () => {
    writeFileSync(join(folder, 'vs/conntrack'), '0\n');
    writeFileSync(join(folder, 'vs/sync_threshold'), '3\t50\n');
    const plane = open();
    await plane.execute({ name: 'setSetting', setting: 'conntrack', value: '1' });
    expect(await plane.execute({ name: 'getSetting', setting: 'conntrack' })).toEqual({ value: '1' });
    // Those of modules that are not loaded are not there.
    expect(await plane.execute({ name: 'listSettings' })).toEqual({
      settings: { conntrack: '1', sync_threshold: '3\t50' },
    });
    await expect(plane.execute({ name: 'getSetting', setting: 'lblc_expiration' })).rejects.toMatchObject({
      code: 'ENOENT',
      message: 'this kernel has no setting lblc_expiration',
    });
  });

  test.each(['../../etc/passwd', '', 'toString', null])('%j is no setting', async (name) => {
    const plane = open();
    const command = { name: 'setSetting', setting: name, value: '1' } as unknown as { name: 'flush' };
    await expect(plane.execute(command)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('connections are told with origin, template and persistence engine', async () => {
    const heading = 'Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n';
    writeFileSync(
      join(folder, 'net/ip_vs_conn'),
      `${heading}TCP CB007105 03E9 C0000201 0050 0A000001 1F90 ESTABLISHED     899\n` +
        'UDP CB007105 0000 C0000201 13C4 0A000001 13C4 NONE             59 sip call 1@host\n' +
        'TCP 2001:0db8:0000:0000:0000:0000:0000:0005 03E9 2001:0db8:0000:0000:0000:0000:0000:0025 0019 0A000001 0019 SYN_RECV         3\n',
    );
    writeFileSync(
      join(folder, 'net/ip_vs_conn_sync'),
      'Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Origin Expires\n' +
        'TCP CB007105 03E9 C0000201 0050 0A000001 1F90 ESTABLISHED SYNC       899\n',
    );
    const plane = open();
    const { items, next } = await plane.execute<'listConnections'>({ name: 'listConnections' });
    expect(next).toBe(null);
    expect(items).toEqual([
      {
        protocol: 'TCP',
        client: { address: '203.0.113.5', port: 1001 },
        virtual: { address: '192.0.2.1', port: 80 },
        destination: { address: '10.0.0.1', port: 8080 },
        state: 'ESTABLISHED',
        expiresSeconds: 899,
        template: false,
        origin: 'SYNC',
      },
      {
        protocol: 'UDP',
        client: { address: '203.0.113.5', port: 0 },
        virtual: { address: '192.0.2.1', port: 5060 },
        destination: { address: '10.0.0.1', port: 5060 },
        state: 'NONE',
        expiresSeconds: 59,
        template: true,
        origin: 'LOCAL',
        engine: { name: 'sip', data: 'call 1@host' },
      },
      {
        protocol: 'TCP',
        client: { address: '2001:db8::5', port: 1001 },
        virtual: { address: '2001:db8::25', port: 25 },
        destination: { address: '10.0.0.1', port: 25 },
        state: 'SYN_RECV',
        expiresSeconds: 3,
        template: false,
        origin: 'LOCAL',
      },
    ]);
    expect(await plane.execute({ name: 'getCounters' })).toMatchObject({ connections: 3, connectionsMax: 0 });
  });

  test.each([
    'TCP CB007105 03E9 C0000201 0050 0A000001 1F90 ESTABLISHED\n',
    'TCP CB00710 03E9 C0000201 0050 0A000001 1F90 ESTABLISHED 5\n',
    'TCP CB007105 3E9 C0000201 0050 0A000001 1F90 ESTABLISHED 5\n',
    'TCP ::zz 03E9 C0000201 0050 0A000001 1F90 ESTABLISHED 5\n',
    'TCP CB007105 03E9 C0000201 0050 0A000001 1F90 ESTABLISHED -5\n',
    'x\n',
  ])('a row that is none is an error, no wrong connection: %j', async (row) => {
    writeFileSync(join(folder, 'net/ip_vs_conn'), `Pro\n${row}`);
    writeFileSync(join(folder, 'net/ip_vs_conn_sync'), 'Pro\n');
    await expect(open().execute({ name: 'listConnections' })).rejects.toMatchObject({ code: 'EIO' });
  });

  test('counters of all processors and of each', async () => {
    writeFileSync(
      join(folder, 'net/ip_vs_stats'),
      '   Total Incoming Outgoing         Incoming         Outgoing\n   Conns  Packets  Packets            Bytes            Bytes\n' +
        '       A       1F        0              FFF                1\n\n Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n' +
        '       1        2        3                4                5\n',
    );
    writeFileSync(
      join(folder, 'net/ip_vs_stats_percpu'),
      '       Total Incoming Outgoing         Incoming         Outgoing\nCPU    Conns  Packets  Packets            Bytes            Bytes\n' +
        '  0        6       1F        0              FFF                1\n  1        4        0        0                0                0\n' +
        '  ~        A       1F        0              FFF                1\n\n     Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n' +
        '           1        2        3                4                5\n',
    );
    const plane = open();
    const { statistics, rates } = await plane.execute<'getTotals'>({ name: 'getTotals' });
    expect([statistics.connections, statistics.inPackets, statistics.inBytes, rates.outBytesPerSecond]).toEqual([
      10, 31, 4095, 5,
    ]);
    const { processors } = await plane.execute<'getPerCpu'>({ name: 'getPerCpu' });
    expect(processors.map(({ processor, counted }) => [processor, counted.connections])).toEqual([
      [0, 6],
      [1, 4],
    ]);
    writeFileSync(join(folder, 'net/ip_vs_stats'), '   Total Incoming Outgoing\n       A       1F\n');
    await expect(plane.execute({ name: 'getTotals' })).rejects.toMatchObject({ code: 'EIO' });
  });
});

describe('refusals', () => {
  test('a kernel without IPVS is said to be one, with the way out, and no socket is left open', () => {
    kernel.present = false;
    expect(open).toThrow(
      expect.objectContaining({ code: 'EOPNOTSUPP', message: expect.stringMatching(/modprobe ip_vs/) }),
    );
    expect(kernel.open).toBe(0);
  });

  test('without the right to use it the reason is told', () => {
    kernel.forbidden = true;
    expect(open).toThrow(expect.objectContaining({ code: 'EPERM', message: expect.stringMatching(/CAP_NET_ADMIN/) }));
    expect(kernel.open).toBe(0);
  });

  test('a scheduler without its module is named', async () => {
    kernel.missingSchedulers.add('mh');
    const adding = open().execute({ name: 'addService', service: { ...service(WEB), scheduler: 'mh' } });
    await expect(adding).rejects.toMatchObject({ code: 'ENOENT', message: expect.stringMatching(/ip_vs_mh/) });
  });

  test('full NAT is refused before anything happens', async () => {
    const plane = open();
    const before = kernel.requests.length;
    const adding = plane.execute({ name: 'addService', service: { ...service(WEB), sourceNat: 'masquerade' } });
    await expect(adding).rejects.toMatchObject({ code: 'EOPNOTSUPP', message: expect.stringMatching(/conntrack=1/) });
    expect(kernel.requests.length).toBe(before);
  });

  test('mark rules are the packet filter’s business there', async () => {
    const adding = open().execute({ name: 'addMarkRule', rule: { family: 'ipv4', mark: 5 } });
    await expect(adding).rejects.toMatchObject({ code: 'EOPNOTSUPP', message: expect.stringMatching(/-j MARK/) });
    expect(await open().execute({ name: 'listMarkRules' })).toEqual({ rules: [] });
  });

  test('what is no spec never reaches the kernel', async () => {
    const plane = open();
    const before = kernel.requests.length;
    const bad = [
      { name: 'addService' },
      { name: 'addService', service: { ...service(WEB), scheduler: 'a'.repeat(16) } },
      { name: 'addService', service: { ...service(WEB), netmask: '255.255.255' } },
      { name: 'deleteService', key: { protocol: 'icmp', address: '192.0.2.1', port: 1 } },
      { name: 'addDestination', service: WEB, destination: { ...destination('10.0.0.1', 70_000) } },
      { name: 'addDestination', service: WEB, destination: { ...destination('10.0.0.256', 80) } },
      { name: 'startSyncDaemon' },
      {
        name: 'startSyncDaemon',
        daemon: { role: 'both', interface: 'e0', syncId: 0, maxLength: 0, group: '', port: 0, ttl: 0 },
      },
      {
        name: 'startSyncDaemon',
        daemon: { role: 'master', interface: 'e0', syncId: 256, maxLength: 0, group: '', port: 0, ttl: 0 },
      },
      {
        name: 'startSyncDaemon',
        daemon: { role: 'master', interface: '', syncId: 1, maxLength: 0, group: 'x', port: 0, ttl: 0 },
      },
      { name: 'stopSyncDaemon', role: 'x' },
      { name: 'setTimeouts' },
      { name: 'setTimeouts', timeouts: { tcpSeconds: -1, tcpFinSeconds: 0, udpSeconds: 0 } },
    ];
    for (const command of bad) {
      await expect(plane.execute(command as { name: 'flush' })).rejects.toMatchObject({ code: 'EINVAL' });
    }
    expect(kernel.requests.length).toBe(before);
    await expect(plane.execute({ name: 'nonsense' } as unknown as { name: 'flush' })).rejects.toMatchObject({
      code: 'EOPNOTSUPP',
    });
  });

  test.each([-1, -5, 2_147_483_648, 4_294_967_297, 1e15])(
    'a weight of %d is out of range, as the kernel says',
    async (weight) => {
      const plane = open();
      const destinations = {
        name: 'addDestination',
        service: WEB,
        destination: { ...destination('10.0.0.1', 80), weight },
      } as const;
      await expect(plane.execute(destinations)).rejects.toMatchObject({ code: 'ESRCH' });
      await plane.execute({ name: 'addService', service: service(WEB) });
      await expect(plane.execute(destinations)).rejects.toMatchObject({ code: 'ERANGE' });
    },
  );

  test('a plan whose third step needs a missing module leaves nothing behind', async () => {
    kernel.missingSchedulers.add('lblc');
    writeFileSync(join(folder, 'vs/conntrack'), '0\n');
    const plane = open();
    await plane.execute({ name: 'addService', service: service(MAIL6) });
    const before = await specs(plane);
    const wanted = (spec: ServiceSpec, server: string) => ({
      spec,
      destinations: [destination(server, 80)],
      checked: false,
      fallback: null,
    });
    const desired = {
      services: [
        wanted(service(MAIL6), 'fd00::1'),
        wanted(service(key('192.0.2.1', 81)), '10.0.0.1'),
        wanted({ ...service(WEB), scheduler: 'lblc' }, '10.0.0.1'),
      ],
      timeouts: {},
      settings: {},
      markRules: [],
      syncDaemons: [],
    };
    const { steps } = planChanges(desired, await readActual(plane), {
      mayDelete: { service: () => true, markRule: () => true, syncDaemon: () => true },
      outside: NOBODY_OUTSIDE,
    });
    expect(steps.length).toBe(5);
    const outcome = await applyChanges(plane, steps);
    expect(outcome).toMatchObject({ type: 'refused', reason: expect.stringMatching(/ip_vs_lblc/), left: [] });
    expect(await specs(plane)).toEqual(before);
    expect((await plane.execute<'getService'>({ name: 'getService', key: MAIL6 })).destinations).toEqual([]);
  });
});

/** Spoils the answer to one kind of request, once. */
function once(command: number, spoil: (datagrams: readonly Uint8Array[]) => readonly Uint8Array[]) {
  let done = false;
  kernel.spoil = (datagrams, request) => {
    if (done || request !== command) return datagrams;
    done = true;
    return spoil(datagrams);
  };
}
const lost = () => [];
const cut = (datagrams: readonly Uint8Array[]) => datagrams.map((each) => each.subarray(0, each.length - 1));
const withType = (type: number) => (datagrams: readonly Uint8Array[]) =>
  datagrams.map((each) => {
    const copy = Uint8Array.from(each);
    copy[4] = type;
    return copy;
  });

describe('answers that do not come whole', () => {
  test.each([
    ['lost', lost],
    ['cut short', cut],
    ['of no known type', withType(0x77)],
    ['an overrun', withType(4)],
  ])('an order whose acknowledgement is %s was carried out when the table shows it', async (_, spoil) => {
    const plane = open();
    once(IpvsCommand.NEW_SERVICE, spoil);
    await plane.execute({ name: 'addService', service: service(WEB) });
    once(IpvsCommand.NEW_DEST, spoil);
    await plane.execute({ name: 'addDestination', service: WEB, destination: destination('10.0.0.1', 80) });
    once(IpvsCommand.SET_CONFIG, spoil);
    await plane.execute({ name: 'setTimeouts', timeouts: { tcpSeconds: 5, tcpFinSeconds: 0, udpSeconds: 0 } });
    once(IpvsCommand.DEL_SERVICE, spoil);
    await plane.execute({ name: 'deleteService', key: WEB });
    expect(await specs(plane)).toEqual([]);
    // A socket on which something may still come is not used again.
    expect(kernel.opened).toBe(5);
    expect(kernel.open).toBe(1);
  });

  test('an order that was not carried out is said to have changed nothing', async () => {
    const plane = open();
    kernel.forgetful = true;
    for (const [number, command] of [
      [IpvsCommand.NEW_SERVICE, { name: 'addService', service: service(WEB) }],
      [IpvsCommand.SET_CONFIG, { name: 'setTimeouts', timeouts: { tcpSeconds: 5, tcpFinSeconds: 0, udpSeconds: 0 } }],
      [IpvsCommand.NEW_DEST, { name: 'addDestination', service: WEB, destination: destination('10.0.0.1', 80) }],
      [
        IpvsCommand.NEW_DAEMON,
        {
          name: 'startSyncDaemon',
          daemon: { role: 'master', interface: 'e0', syncId: 0, maxLength: 0, group: '224.0.0.81', port: 0, ttl: 0 },
        },
      ],
    ] as const) {
      once(number, lost);
      await expect(plane.execute(command)).rejects.toMatchObject({
        code: 'EIO',
        message: expect.stringMatching(/changed nothing/),
      });
    }
  });

  test('where the table cannot be looked at either, that is told', async () => {
    const plane = open();
    kernel.spoil = lost;
    const adding = plane.execute({ name: 'addService', service: service(WEB) });
    await expect(adding).rejects.toMatchObject({ code: 'EIO', message: expect.stringMatching(/cannot be found out/) });
  });

  test('a listing without its end is no listing', async () => {
    const plane = open();
    for (const port of [1, 2, 3]) await plane.execute({ name: 'addService', service: service(key('192.0.2.1', port)) });
    once(IpvsCommand.GET_SERVICE, (datagrams) => datagrams.slice(0, 2));
    await expect(plane.execute({ name: 'listServices' })).rejects.toMatchObject({ code: 'EIO' });
    expect((await specs(plane)).length).toBe(3);
  });

  test('a listing during which the table changed is read again, and given up after five times', async () => {
    const plane = open();
    await plane.execute({ name: 'addService', service: service(WEB) });
    const interrupted = (datagrams: readonly Uint8Array[]) =>
      datagrams.map((each) => {
        const copy = Uint8Array.from(each);
        copy[6] = (copy[6] as number) | 0x10;
        return copy;
      });
    once(IpvsCommand.GET_SERVICE, interrupted);
    expect((await specs(plane)).length).toBe(1);
    kernel.spoil = (datagrams, request) => (request === IpvsCommand.GET_SERVICE ? interrupted(datagrams) : datagrams);
    const before = kernel.requests.length;
    await expect(plane.execute({ name: 'listServices' })).rejects.toMatchObject({ code: 'EBUSY' });
    expect(kernel.requests.length - before).toBe(5);
  });

  test('what is left of an older answer is passed over', async () => {
    const plane = open();
    const stale = Uint8Array.of(20, 0, 0, 0, 2, 0, 0, 0, 99, 99, 0, 0, 0, 0, 0, 0, 234, 255, 255, 255);
    kernel.spoil = (datagrams) => [stale, ...datagrams];
    await plane.execute({ name: 'addService', service: service(WEB) });
    expect((await specs(plane)).length).toBe(1);
  });

  test('after it was closed nothing is asked any more', async () => {
    const plane = open();
    await plane.close();
    await plane.close();
    expect(kernel.open).toBe(0);
    await expect(plane.execute({ name: 'info' })).rejects.toMatchObject({ code: 'ENOPROTOOPT' });
  });
});

/** `uipvs migrate` over tables in memory: what is handed over, and that a failure on the way leaves everything as it was. */
import { beforeEach, describe, expect, test } from 'vitest';
import type { Cli, ConnectedDaemon } from '../../src/cli/cli.ts';
import type { MigrationTarget, MigrationTools } from '../../src/cli/migrate.ts';
import { runUipvs } from '../../src/cli/run.ts';
import type { Answer, Command, CommandName, SyncDaemonSpec } from '../../src/model/commands.ts';
import type { ConnectionStatus } from '../../src/model/connection-status.ts';
import { IpvsError } from '../../src/model/errors.ts';
import { FakeDataPlane, server, tcpService } from '../support/fake-data-plane.ts';

const NAMES = { kernel: 'kernel IPVS', packet: 'packet engine' } as const;
const web = tcpService('192.0.2.1', 80, { scheduler: 'rr', sourceNat: 'none' });
const connection = (port: number): ConnectionStatus => ({
  protocol: 'TCP',
  client: { address: '203.0.113.5', port },
  virtual: { address: '192.0.2.1', port: 80 },
  destination: { address: '10.0.0.1', port: 80 },
  state: 'ESTABLISHED',
  expiresSeconds: 800,
  template: false,
  origin: 'LOCAL',
});

/** A table with synchronisation daemons; it stays when nobody carries it. */
class Table extends FakeDataPlane {
  override readonly capabilities;
  daemons: SyncDaemonSpec[] = [];

  constructor(name: string) {
    super();
    this.capabilities = { ...new FakeDataPlane().capabilities, name };
  }

  override async execute<N extends CommandName>(command: Command<N>): Promise<Answer<N>> {
    const order = command as Command;
    if (order.name === 'listSyncDaemons') return { daemons: this.daemons } as Answer<N>;
    if (order.name === 'listMarkRules') return { rules: [] } as unknown as Answer<N>;
    if (order.name === 'startSyncDaemon' || order.name === 'stopSyncDaemon') {
      this.commands.push(order);
      await this.before(order);
      if (order.name === 'startSyncDaemon') this.daemons = [...this.daemons, order.daemon];
      else this.daemons = this.daemons.filter(({ role }) => role !== order.role);
      return null as Answer<N>;
    }
    return super.execute(command);
  }

  async health() {
    return [];
  }

  async status() {
    const pid = this.capabilities.name === NAMES.kernel ? 1 : 2;
    return { daemon: { pid, socket: '' }, capabilities: this.capabilities } as unknown as Awaited<
      ReturnType<ConnectedDaemon['status']>
    >;
  }
}

let kernel: Table;
let packet: Table;
/** The uipvsd that runs. */
let running: MigrationTarget | null;
let diary: string[];
let failToStart: MigrationTarget | null;
let lossy: boolean;
let forwarding: boolean;
beforeEach(async () => {
  kernel = new Table(NAMES.kernel);
  packet = new Table(NAMES.packet);
  running = 'packet';
  diary = [];
  failToStart = null;
  lossy = false;
  forwarding = true;
});

async function fill(table: Table): Promise<void> {
  await table.execute({ name: 'addService', service: web });
  for (const address of ['10.0.0.1', '10.0.0.2']) {
    await table.execute({ name: 'addDestination', service: web.key, destination: server(address, 80, { weight: 3 }) });
  }
  await table.execute({ name: 'setSetting', setting: 'conntrack', value: '1' });
  await table.execute({ name: 'setTimeouts', timeouts: { tcpSeconds: 60, tcpFinSeconds: 10, udpSeconds: 30 } });
  table.connections = [connection(1001), connection(1002)];
}

const tableOf = (name: MigrationTarget) => (name === 'kernel' ? kernel : packet);

const tools: MigrationTools = {
  kernelIsLoaded: async () => true,
  openKernel: async () => kernel,
  packetUnavailable: async () => null,
  async startDaemon(words) {
    const name = words[1] as MigrationTarget;
    diary.push(`start ${words.join(' ')}`);
    if (failToStart === name) throw new IpvsError('ENOPROTOOPT', 'it does not start');
    running = name;
    return tableOf(name);
  },
  async stopDaemon() {
    diary.push(`stop ${running}`);
    // The packet engine's table is gone with it, the kernel's is not.
    if (running === 'packet') {
      packet = new Table(NAMES.packet);
    }
    running = null;
  },
  writeHandOver: (connections) => {
    const kept = [...connections].filter(({ client }) => client.port !== 1);
    const others = [...connections].length - kept.length;
    return {
      datagrams: kept.map(({ client }) => Uint8Array.of(client.port >> 8, client.port)),
      kept: kept.length,
      left: new Map(others === 0 ? [] : [['a reason', others]]),
    };
  },
  listener: (_, syncId) => ({
    role: 'backup',
    interface: 'lo',
    syncId,
    maxLength: 0,
    group: '224.0.0.254',
    port: 1,
    ttl: 1,
  }),
  async send(target, datagrams) {
    expect(tableOf(target).daemons.some(({ role }) => role === 'backup')).toBe(true);
    const arrived = lossy ? datagrams.slice(1) : datagrams;
    tableOf(target).connections = arrived.map(([high = 0, low = 0]) => ({
      ...connection(high * 256 + low),
      origin: 'SYNC' as const,
    }));
  },
  forwards: () => forwarding,
};

async function migrate(...words: string[]) {
  let stdout = '';
  let stderr = '';
  const cli = {
    stdout: (text: string) => void (stdout += text),
    stderr: (text: string) => void (stderr += text),
    terminal: null,
    installation: { programs: '/', linkDirectory: '/', alternatives: null, standardPath: [] },
    pause: async () => true,
    connect: async () => {
      if (running === null) throw new IpvsError('ENOPROTOOPT', 'no uipvsd answers');
      return tableOf(running);
    },
    migration: async () => tools,
  } as unknown as Cli;
  const code = await runUipvs(['migrate', ...words], cli, []);
  return { code, stdout, stderr };
}

async function contents(table: Table) {
  const { items } = await table.execute<'listServices'>({ name: 'listServices' });
  return items.map(({ spec, destinations }) => ({ spec, servers: destinations.map((each) => each.spec) }));
}

describe('to the kernel', () => {
  test('everything is there, in the same order, before the old one ends', async () => {
    await fill(packet);
    const wanted = await contents(packet);
    const { code, stdout } = await migrate('--to', 'kernel');
    expect(stdout).toBe('from packet engine to kernel IPVS: 1 services, 2 servers, 2 connections kept\n');
    expect(code).toBe(0);
    expect(await contents(kernel)).toEqual(wanted);
    expect(await kernel.execute({ name: 'getSetting', setting: 'conntrack' })).toEqual({ value: '1' });
    expect(await kernel.execute({ name: 'getTimeouts' })).toMatchObject({ tcpSeconds: 60 });
    expect(kernel.connections.map(({ client }) => client.port)).toEqual([1001, 1002]);
    // The listener was for this alone.
    expect(kernel.daemons).toEqual([]);
    expect(diary).toEqual(['stop packet', 'start --data-plane kernel']);
  });

  test('--dry-run changes nothing and tells what would be lost, and what must be seen to', async () => {
    await fill(packet);
    packet.connections.push(connection(1));
    forwarding = false;
    const { code, stdout } = await migrate('--to', 'kernel', '--dry-run');
    expect(code).toBe(0);
    expect(stdout).toBe(
      'from packet engine to kernel IPVS: 1 services, 2 servers, 2 connections kept\n  lost: 1 (a reason)\n' +
        '  note: for NAT the kernel must forward: sysctl -w net.ipv4.ip_forward=1\nnothing was changed (--dry-run)\n',
    );
    expect([await contents(kernel), diary]).toEqual([[], []]);
  });

  test('synchronisation daemons go along', async () => {
    await fill(packet);
    packet.daemons = [tools.listener('kernel', 9), { ...tools.listener('kernel', 9), role: 'master' }];
    expect((await migrate('--to', 'kernel', '--json')).code).toBe(0);
    expect(kernel.daemons.map(({ role, syncId }) => [role, syncId])).toEqual([
      ['backup', 9],
      ['master', 9],
    ]);
  });

  test.each(['addService', 'addDestination', 'setTimeouts', 'setSetting', 'startSyncDaemon'] as const)(
    'when %s is refused, everything is taken back and the old one goes on',
    async (name) => {
      await fill(packet);
      let count = 0;
      kernel.before = (command) => {
        // A second server, the first of the others.
        if (command.name === name && ++count === (name === 'addDestination' ? 2 : 1)) {
          throw new IpvsError('ENOENT', 'no such module');
        }
      };
      const { code, stderr } = await migrate('--to', 'kernel');
      expect(code).toBe(1);
      expect(stderr).toMatch(/no such module/);
      kernel.before = () => {};
      expect(await contents(kernel)).toEqual([]);
      expect(await kernel.execute({ name: 'getSetting', setting: 'conntrack' })).toEqual({ value: '0' });
      expect(await kernel.execute({ name: 'getTimeouts' })).toMatchObject({ tcpSeconds: 900 });
      expect([running, diary]).toEqual(['packet', []]);
    },
  );

  test('when connections do not arrive, everything is taken back, and there is a way without them', async () => {
    await fill(packet);
    lossy = true;
    const { code, stderr } = await migrate('--to', 'kernel');
    expect(code).toBe(1);
    expect(stderr).toMatch(/only 1 of 2 connections arrived in the kernel IPVS; --drop-connections/);
    expect([await contents(kernel), kernel.daemons, running]).toEqual([[], [], 'packet']);
    const second = await migrate('--to', 'kernel', '--drop-connections');
    expect(second.stdout).toMatch(/0 connections kept/);
  });

  test('when the old one does not end, everything is taken back, daemons too', async () => {
    await fill(packet);
    packet.daemons = [{ ...tools.listener('kernel', 9), role: 'master' }];
    const stop = tools.stopDaemon;
    tools.stopDaemon = async () => {
      throw new IpvsError('EBUSY', 'it does not end');
    };
    try {
      expect((await migrate('--to', 'kernel')).stderr).toBe('uipvs: it does not end\n');
    } finally {
      tools.stopDaemon = stop;
    }
    expect([await contents(kernel), kernel.daemons, running]).toEqual([[], [], 'packet']);
  });

  test('a kernel that is in use, source NAT and the same data plane are refused', async () => {
    await fill(packet);
    await fill(kernel);
    expect((await migrate('--to', 'kernel')).stderr).toMatch(/has 1 services already; empty it first/);
    await kernel.execute({ name: 'flush' });
    await packet.execute({ name: 'editService', service: { ...web, sourceNat: 'masquerade' } });
    expect((await migrate('--to', 'kernel')).stderr).toMatch(/no source NAT of its own.*tcp 192\.0\.2\.1:80/);
    expect((await migrate('--to', 'packet')).stderr).toMatch(/the packet engine carries the traffic already/);
    expect([running, diary]).toEqual(['packet', []]);
  });

  test('without a uipvsd afterwards the traffic goes on, and that is told', async () => {
    await fill(packet);
    failToStart = 'kernel';
    const { code, stdout } = await migrate('--to', 'kernel');
    expect(code).toBe(0);
    expect(stdout).toMatch(/note: the kernel carries the traffic, but uipvsd did not start \(it does not start\)/);
  });
});

describe('to the packet engine', () => {
  test('from the kernel with its uipvsd: the kernel is emptied last', async () => {
    running = 'kernel';
    await fill(kernel);
    const wanted = await contents(kernel);
    const { code, stdout } = await migrate('--to', 'packet', '--json', '--', '--link', 'eth0');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ from: 'kernel IPVS', done: true, connections: { kept: 2, left: {} } });
    expect(diary).toEqual(['stop kernel', 'start --data-plane packet --link eth0']);
    expect(await contents(packet)).toEqual(wanted);
    expect(packet.connections.map(({ client }) => client.port)).toEqual([1001, 1002]);
    expect(await contents(kernel)).toEqual([]);
    expect(kernel.commands.at(-2)).toEqual({ name: 'flush' });
  });

  test('from the kernel alone, as ipvsadm filled it', async () => {
    running = null;
    await fill(kernel);
    expect((await migrate('--to', 'packet')).code).toBe(0);
    expect(diary).toEqual(['start --data-plane packet']);
    expect((await contents(packet)).length).toBe(1);
  });

  test('when it does not start the kernel has its uipvsd back and has lost nothing', async () => {
    running = 'kernel';
    await fill(kernel);
    failToStart = 'packet';
    const { code, stderr } = await migrate('--to', 'packet');
    expect([code, stderr]).toEqual([1, 'uipvs: it does not start\n']);
    expect(running).toBe('kernel');
    expect((await contents(kernel)).length).toBe(1);
  });

  test('when something is refused on the way, it is ended and the kernel goes on', async () => {
    running = 'kernel';
    await fill(kernel);
    packet.before = (command) => {
      if (command.name === 'addDestination') throw new IpvsError('ENOMEM', 'full');
    };
    const { code, stderr } = await migrate('--to', 'packet');
    expect(code).toBe(1);
    expect(stderr).toMatch(/the packet engine refused: full/);
    expect(diary).toEqual(['stop kernel', 'start --data-plane packet', 'stop packet', 'start --data-plane kernel']);
    expect((await contents(kernel)).length).toBe(1);
  });
});

test.each([[[]], [['--to', 'proxy']], [['--to']], [['--nosuch']]])('%j is refused with 2', async (words) => {
  expect((await migrate(...words)).code).toBe(2);
});

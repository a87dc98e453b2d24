/** When connections are handed over to a fast path, what comes back of them, and when. */
import { describe, expect, test } from 'vitest';
import { FAST_IDLE_MS, OFFER_PACKETS } from '../../src/engine/fast-flows.ts';
import { COMMANDS, type Command, type CommandName } from '../../src/model/commands.ts';
import { IpvsError } from '../../src/model/errors.ts';
import { PLAIN_TUNNEL } from '../../src/model/forwarding.ts';
import { NEIGHBORS_MAX } from '../../src/model/limits.ts';
import { expectFrame, ipv6, udp } from '../support/expect-frame.ts';
import type { TcpFields } from '../support/frames.ts';
import { ipPacketOf } from '../support/frames.ts';
import type { ModelFastPath } from '../support/model-fast-path.ts';
import {
  C0_MAC,
  CLIENT,
  CLIENT6,
  clientFrame,
  REAL1,
  REAL1_MAC,
  REAL2,
  REAL6,
  serverFrame,
  VIP,
  VIP6,
  World,
  type WorldOptions,
} from '../support/world.ts';
import { arpReply, Twins } from './fast-flows-twins.ts';

const PORT = 40_000;
const SERVICE = { protocol: 'tcp', address: VIP, port: 80 } as const;

function fastWorld(options: WorldOptions = {}): World & { readonly fastPath: ModelFastPath } {
  return new World({ ...options, fastPath: true }) as World & { readonly fastPath: ModelFastPath };
}

function natWorld(options: WorldOptions = {}): World & { readonly fastPath: ModelFastPath } {
  const world = fastWorld(options);
  world.addService('rr', [[REAL1]]);
  return world;
}

function request(fields: TcpFields = { ack: true, payload: 'more' }, port: number = PORT): Uint8Array {
  return clientFrame().ipv4(CLIENT, VIP, { ttl: 64 }).tcp(port, 80, fields);
}

function reply(fields: TcpFields = { ack: true, payload: 'answer' }, port: number = PORT): Uint8Array {
  return serverFrame().ipv4(REAL1, CLIENT, { ttl: 64 }).tcp(8080, port, fields);
}

/** A TCP connection with so many packets of the client that it is offered with the last. */
function open(world: World | Twins, packets: number = OFFER_PACKETS, port: number = PORT): void {
  world.receive('c0', request({ syn: true }, port));
  world.receive('s0', reply({ syn: true, ack: true }, port));
  for (let sent = 1; sent < packets; sent++) world.receive('c0', request({ ack: true, payload: 'more' }, port));
}

const yes = (): boolean => true;

function datagram(port = PORT): Uint8Array {
  return clientFrame().ipv4(CLIENT, VIP).udp(port, 53, { payload: 'question' });
}

function send(world: World, bytes: Uint8Array, times: number = OFFER_PACKETS): void {
  for (let i = 0; i < times; i++) world.fromClient(bytes);
}

function flowCount(world: World): number {
  return world.fastPath!.size;
}

/** IPv4 addresses of a flow as text, with ports. */
function ends(world: World): string[] {
  const text = (word: number, port: number): string =>
    `${[24, 16, 8, 0].map((shift) => (word >>> shift) & 0xff).join('.')}:${port}`;
  return world
    .fastPath!.flows()
    .map(
      (flow) =>
        `${text(flow.source3, flow.sourcePort)}>${text(flow.destination3, flow.destinationPort)} ` +
        `${text(flow.newSource3, flow.newSourcePort)}>${text(flow.newDestination3, flow.newDestinationPort)}`,
    )
    .toSorted();
}

function masterDaemon(role: 'master' | 'backup'): Command {
  const daemon = { role, interface: 'c0', syncId: 0, maxLength: 0, group: '224.0.0.81', port: 8848, ttl: 1 };
  return { name: 'startSyncDaemon', daemon };
}

describe('what is handed over', () => {
  test('NAT: both directions, with the packet that makes it worth the trouble', () => {
    const world = natWorld();
    open(world, OFFER_PACKETS - 1);
    expect(flowCount(world)).toBe(0);
    world.fromClient(request());
    expect(ends(world)).toEqual(
      [
        `${REAL1}:8080>${CLIENT}:${PORT} ${VIP}:80>${CLIENT}:${PORT}`,
        `${CLIENT}:${PORT}>${VIP}:80 ${CLIENT}:${PORT}>${REAL1}:8080`,
      ].toSorted(),
    );
    const { packets } = world.fastPath;
    world.fromClient(request()).fromServer(reply());
    expect(world.fastPath.packets).toBe(packets + 2);
  });

  test('full NAT: the answer goes to the address that the server knows', () => {
    const world = natWorld({ sourceNat: 'masquerade' });
    world.fromClient(request({ syn: true }));
    const local = world.connections()[0]!.local!;
    const back = serverFrame().ipv4(REAL1, local.address).tcp(8080, local.port, { ack: true, syn: true });
    world.fromServer(back);
    send(world, request(), OFFER_PACKETS - 1);
    const localText = `${local.address}:${local.port}`;
    expect(ends(world)).toEqual(
      [
        `${REAL1}:8080>${localText} ${VIP}:80>${CLIENT}:${PORT}`,
        `${CLIENT}:${PORT}>${VIP}:80 ${localText}>${REAL1}:8080`,
      ].toSorted(),
    );
  });

  test('direct routing: the way to the server, where nothing changes but MACs', () => {
    const world = fastWorld();
    world.addService('rr', [[REAL1]], { method: 'direct', serverPort: 80 });
    world.fromClient(request({ syn: true }));
    send(world, request(), OFFER_PACKETS - 1);
    const same = `${CLIENT}:${PORT}>${VIP}:80`;
    expect(ends(world)).toEqual([`${same} ${same}`]);
    expect(world.fastPath.flows()[0]).toMatchObject({ linkIndex: 2, mtu: 1500 });
  });

  test('UDP, and IPv6', () => {
    const world = fastWorld();
    world.addService('rr', [[REAL1]], { protocol: 'udp', port: 53 });
    world.addService('rr', [[REAL6]], { protocol: 'udp', port: 53, address: VIP6 });
    send(world, datagram());
    expect(flowCount(world)).toBe(2);
    send(world, clientFrame().ipv6(CLIENT6, VIP6).udp(PORT, 53, { payload: 'x' }));
    expect(flowCount(world)).toBe(4);
    expect(world.fastPath.flows().filter(({ ipv6 }) => ipv6)).toHaveLength(2);
  });

  test('datagrams that nobody answers: one direction, until the first answer', () => {
    const world = fastWorld();
    world.addService('rr', [[REAL1]], { protocol: 'udp', port: 53 });
    const near = '10.0.0.77';
    const datagrams = clientFrame().ipv4(near, VIP).udp(PORT, 53, { payload: 'log' });
    send(world, datagrams);
    expect(ends(world)).toEqual([`${near}:${PORT}>${VIP}:53 ${near}:${PORT}>${REAL1}:8080`]);
    send(world, datagrams, 5);
    expect(world.fastPath.packets).toBe(5);
    world.fromServer(serverFrame().ipv4(REAL1, near).udp(8080, PORT, { payload: 'heard' }));
    expect(flowCount(world)).toBe(0);
    world.receive('c0', arpReply('02:00:00:00:00:77', near, { mac: C0_MAC, address: '10.0.0.1' }));
    send(world, datagrams, OFFER_PACKETS);
    expect(flowCount(world)).toBe(2);
  });

  test('full NAT over IPv6', () => {
    const world = fastWorld({ sourceNat: 'masquerade' });
    world.addService('rr', [[REAL6]], { protocol: 'udp', port: 53, address: VIP6 });
    send(world, clientFrame().ipv6(CLIENT6, VIP6).udp(PORT, 53, { payload: 'x' }));
    expect(flowCount(world)).toBe(2);
    const { address, port } = world.connections()[0]!.local!;
    world.take();
    world.fromServer(serverFrame().ipv6(REAL6, address).udp(8080, port, { payload: 'y' }));
    expectFrame(world.toClient(), ipv6({ from: VIP6, to: CLIENT6, hopLimit: 63 }), udp({ toPort: PORT }));
    expect(world.fastPath.packets).toBe(1);
  });

  test('while other shards share the work', () => {
    const shard = { index: 0, ownsPacket: yes, ownsClient: yes, ownsPort: yes, loadOf: () => null };
    const world = natWorld({ shard });
    open(world, OFFER_PACKETS);
    expect(world.fastPath.added).toHaveLength(2);
  });

  test('a connection that came back is handed over again', () => {
    const world = natWorld();
    open(world);
    world.engine.execute({ name: 'zero' });
    expect(flowCount(world)).toBe(0);
    send(world, request());
    expect(flowCount(world)).toBe(2);
  });
});

describe('what is not handed over', () => {
  const CASES: Readonly<Record<string, (world: World) => void>> = {
    'while somebody watches': (world) => {
      world.engine.observe({ snapBytes: 0, wants: () => false, hear: () => {} });
    },
    'while a backup is told': (world) => {
      world.engine.execute(masterDaemon('master'));
    },
    'on a backup': (world) => {
      world.engine.execute(masterDaemon('backup'));
    },
    'on a backup that forwards nothing new': (world) => {
      world.engine.execute({ name: 'setSetting', setting: 'backup_only', value: '1' });
      world.engine.execute(masterDaemon('backup'));
    },
    'while a defence looks for silent connections': (world) => {
      world.engine.execute({ name: 'setSetting', setting: 'drop_entry', value: '3' });
    },
    'while every packet is to be seen': (world) => world.engine.setFastPath(false),
    'without a known way back': (world) => {
      const routes = world.network.routes.filter(({ gateway }) => gateway === null);
      world.setNetwork({ ...world.network, routes });
    },
    'while the next hop to the client is not known': (world) => {
      world.setNetwork({
        ...world.network,
        neighbors: world.network.neighbors.filter(({ address }) => address !== '10.0.0.254'),
      });
    },
    'for so long that no timer reaches there': (world) => {
      const timeouts = { tcpSeconds: 6_000_000, tcpFinSeconds: 0, udpSeconds: 0 };
      world.engine.execute({ name: 'setTimeouts', timeouts });
    },
  };

  test.each(Object.keys(CASES))('%s', (name) => {
    const world = natWorld();
    CASES[name]!(world);
    open(world, 3 * OFFER_PACKETS);
    expect(world.fastPath.added).toEqual([]);
  });

  test('UDP while some service asks an engine whose datagrams are', () => {
    const world = fastWorld();
    world.addService('rr', [[REAL1]], { protocol: 'udp', port: 53 });
    world.engine.execute({
      name: 'addService',
      service: {
        key: { protocol: 'udp', address: VIP, port: 5060 },
        scheduler: 'rr',
        schedulerFlags: [],
        persistenceTimeoutSeconds: 60,
        netmask: '255.255.255.255',
        persistenceEngine: 'sip',
        onePacket: false,
      },
    });
    send(world, datagram(), 2 * OFFER_PACKETS);
    expect(world.lastVerdict).toBe('transmit');
    expect(world.fastPath.added).toEqual([]);
  });

  test('before TCP is established, or after', () => {
    const world = natWorld();
    for (let i = 0; i < 2 * OFFER_PACKETS; i++) world.fromClient(request({ syn: true }));
    expect(world.connections()[0]!.state).toBe('SYN_RECV');
    open(world, 3, PORT + 1);
    world.fromClient(request({ fin: true, ack: true }, PORT + 1));
    for (let i = 0; i < 2 * OFFER_PACKETS; i++) world.fromClient(request({ ack: true }, PORT + 1));
    expect(world.fastPath.added).toEqual([]);
  });

  test('a control connection that a helper reads', () => {
    const world = fastWorld();
    world.addService('rr', [[REAL1]], { port: 21, serverPort: 21 });
    const ftp = (fields: TcpFields): Uint8Array => clientFrame().ipv4(CLIENT, VIP).tcp(PORT, 21, fields);
    world.fromClient(ftp({ syn: true }));
    world.fromServer(serverFrame().ipv4(REAL1, CLIENT).tcp(21, PORT, { syn: true, ack: true }));
    send(world, ftp({ ack: true }), 2 * OFFER_PACKETS);
    expect(world.connections()[0]!.state).toBe('ESTABLISHED');
    expect(world.fastPath.added).toEqual([]);
  });

  test('one-packet scheduling', () => {
    const world = fastWorld();
    world.addService('rr', [[REAL1]], { protocol: 'udp', port: 53, onePacket: true });
    send(world, datagram(), 2 * OFFER_PACKETS);
    expect(world.fastPath.added).toEqual([]);
  });

  test('tunnels', () => {
    const world = fastWorld();
    world.addService('rr', [[REAL1]], { protocol: 'udp', port: 53, method: 'tunnel', tunnel: PLAIN_TUNNEL });
    send(world, datagram(), 2 * OFFER_PACKETS);
    expect(world.lastVerdict).toBe('transmit');
    expect(world.fastPath.added).toEqual([]);
  });

  test('servers on this host, by a cable', () => {
    const world = fastWorld({ cable: true });
    world.addService('rr', [['10.1.0.1']], { protocol: 'udp', port: 53 });
    send(world, datagram(), 2 * OFFER_PACKETS);
    expect(world.lastVerdict).toBe('deliver');
    expect(world.fastPath.added).toEqual([]);
  });

  test('clients on this host, by a cable', () => {
    const world = fastWorld({ cable: true });
    world.addService('rr', [[REAL1]], { protocol: 'udp', port: 53 });
    for (let i = 0; i < 2 * OFFER_PACKETS; i++) {
      world.receive('cable', clientFrame().ethernet({ to: '02:00:00:77:00:02' }).ipv4('10.0.0.1', VIP).udp(PORT, 53));
    }
    expect(world.lastVerdict).toBe('transmit');
    expect(world.fastPath.added).toEqual([]);
  });

  test('a server whose answers another connection gets', () => {
    const world = natWorld();
    world.addService('rr', [[REAL1]], { port: 81 });
    open(world);
    expect(flowCount(world)).toBe(2);
    // The same client port to another service, and the same server: the newer connection gets the answers.
    world.fromClient(clientFrame().ipv4(CLIENT, VIP).tcp(PORT, 81, { syn: true }));
    expect(flowCount(world)).toBe(0);
    world.take();
    world.fromServer(reply({ ack: true }));
    expect(world.toClient().slice(34, 36)).toEqual(Uint8Array.of(0, 81));
    send(world, request(), 2 * OFFER_PACKETS);
    expect(flowCount(world)).toBe(0);
  });

  test('to a server whose MAC is not known', () => {
    const world = fastWorld({ knownServers: [] });
    world.addService('rr', [[REAL1]], { protocol: 'udp', port: 53 });
    send(world, datagram(), 2 * OFFER_PACKETS);
    expect(world.fastPath.added).toEqual([]);
  });

  test('in one direction alone, when there is no room for the other', () => {
    const world = natWorld();
    world.fastPath.capacity = 1;
    // The first of the two carries something before the second is refused.
    world.fastPath.beforeRemoval = () => world.receive('s0', reply());
    const before = world.fastPath.packets;
    open(world);
    expect(world.fastPath.added).toHaveLength(1);
    expect(flowCount(world)).toBe(0);
    expect(world.fastPath.packets).toBe(before + 1);
    world.wait(2100);
    expect(world.services()[0]!.statistics.outPackets).toBe(2);
    world.fastPath.capacity = 0;
    send(world, request(), 2 * OFFER_PACKETS);
    expect(world.fastPath.added).toHaveLength(1);
  });
});

describe('what takes a connection back', () => {
  test.each([
    ['the client ends it', (world: World) => world.fromClient(request({ fin: true, ack: true })), 'CLOSE_WAIT'],
    ['the server ends it', (world: World) => world.fromServer(reply({ fin: true, ack: true })), 'FIN_WAIT'],
    ['the client resets it', (world: World) => world.fromClient(request({ rst: true })), 'CLOSE'],
    ['the server resets it', (world: World) => world.fromServer(reply({ rst: true })), 'CLOSE'],
    ['a segment without any flag', (world: World) => world.fromClient(request({})), 'CLOSE'],
  ] as const)('%s', (_, happen, state) => {
    const world = natWorld();
    open(world);
    world.fromClient(request());
    happen(world);
    expect(flowCount(world)).toBe(0);
    expect(world.connections()[0]!.state).toBe(state);
  });

  test('but not a packet that goes through the engine and changes nothing', () => {
    const world = natWorld();
    open(world);
    world.fromClient(request({ syn: true }));
    world.fromClient(
      clientFrame()
        .ipv4(CLIENT, VIP, { options: [1, 1, 1, 1] })
        .tcp(PORT, 80, { ack: true }),
    );
    world.fromServer(reply({ syn: true, ack: true }));
    expect(flowCount(world)).toBe(2);
  });

  const changing = (Object.keys(COMMANDS) as CommandName[]).filter((name) => COMMANDS[name].changes);
  const ARGUMENTS: Readonly<Record<string, object>> = {
    addService: {
      service: {
        key: { ...SERVICE, port: 99 },
        scheduler: 'rr',
        schedulerFlags: [],
        persistenceTimeoutSeconds: null,
        netmask: '255.255.255.255',
        persistenceEngine: null,
        onePacket: false,
      },
    },
    deleteService: { key: { ...SERVICE, port: 99 } },
    addDestination: {
      service: SERVICE,
      destination: {
        address: REAL2,
        port: 8080,
        method: 'masquerade',
        weight: 1,
        upperThreshold: 0,
        lowerThreshold: 0,
        tunnel: PLAIN_TUNNEL,
      },
    },
    deleteDestination: { service: SERVICE, destination: { address: REAL2, port: 8080 } },
    setTimeouts: { timeouts: { tcpSeconds: 0, tcpFinSeconds: 0, udpSeconds: 7 } },
    setSetting: { setting: 'conntrack', value: '0' },
    startSyncDaemon: masterDaemon('master'),
    stopSyncDaemon: { role: 'master' },
    addMarkRule: { rule: { family: 'ipv4', mark: 1 } },
    deleteMarkRule: { rule: { family: 'ipv4', mark: 1 } },
  };

  test.each(changing)('the command %s', (name) => {
    const world = natWorld();
    open(world);
    const service = ARGUMENTS['addService'] as { service: object };
    const destination = ARGUMENTS['addDestination'] as object;
    const fallback = name === 'editService' ? { service: { ...service.service, key: SERVICE } } : destination;
    try {
      world.engine.execute({ ...(ARGUMENTS[name] ?? fallback), name } as Command);
    } catch (error) {
      // Even one that is refused: it may have been looked at for a while.
      expect(error).toBeInstanceOf(IpvsError);
    }
    expect(flowCount(world)).toBe(0);
  });

  test('but no question', () => {
    const world = natWorld();
    open(world);
    const names = ['info', 'listServices', 'listConnections', 'getTotals', 'getPerCpu', 'listHelpers', 'getTimeouts'];
    for (const name of [
      ...names,
      'listSettings',
      'listSyncDaemons',
      'listMarkRules',
      'listSourceNatRules',
      'getCounters',
    ])
      world.engine.execute({ name } as Command);
    world.engine.execute({ name: 'getService', key: SERVICE });
    world.engine.execute({ name: 'rehearse', packet: Buffer.from(ipPacketOf(request())).toString('hex') });
    expect(flowCount(world)).toBe(2);
  });

  test('a change of the network', () => {
    const world = natWorld();
    open(world);
    world.setNetwork(world.network);
    expect(flowCount(world)).toBe(0);
  });

  test('somebody who begins to watch, until nobody does any more', () => {
    const world = natWorld();
    open(world);
    const stop = world.engine.observe({ snapBytes: 0, wants: () => false, hear: () => {} });
    expect(flowCount(world)).toBe(0);
    send(world, request());
    expect(flowCount(world)).toBe(0);
    stop();
    send(world, request());
    expect(flowCount(world)).toBe(2);
    world.engine.execute({ name: 'readTrace', id: 'reader', limit: 1 });
    expect(flowCount(world)).toBe(0);
  });

  test('a wish to see every packet', () => {
    const world = natWorld();
    open(world);
    world.engine.setFastPath(false);
    send(world, request());
    expect(flowCount(world)).toBe(0);
    world.engine.setFastPath(true);
    send(world, request());
    expect(flowCount(world)).toBe(2);
  });

  test('another MAC of the server, and not the same one again', () => {
    const world = fastWorld({ knownServers: [] });
    world.addService('rr', [[REAL1]]);
    world.fromClient(request({ syn: true })).fromServer(arpReply(REAL1_MAC, REAL1));
    open(world);
    expect(flowCount(world)).toBe(2);
    world.fromServer(arpReply(REAL1_MAC, REAL1));
    expect(flowCount(world)).toBe(2);
    world.fromServer(arpReply('02:00:00:00:99:99', REAL1));
    expect(flowCount(world)).toBe(0);
  });

  test('a flood of neighbours that pushes the server out of the table', () => {
    const world = fastWorld({ knownServers: [], connectionsMax: 2 * NEIGHBORS_MAX });
    world.addService('rr', [[REAL1]]);
    world.addService('rr', [['10.1.0.50']], { protocol: 'udp', port: 53 });
    world.fromClient(request({ syn: true })).fromServer(arpReply(REAL1_MAC, REAL1));
    open(world);
    world.setNetwork({
      ...world.network,
      routes: [
        ...world.network.routes,
        {
          family: 'ipv4',
          destination: '172.16.0.0/12',
          gateway: null,
          linkIndex: 1,
          preferredSource: null,
          metric: 0,
          type: 'unicast',
        },
      ],
    });
    send(world, request());
    expect(flowCount(world)).toBe(2);
    // Errors to clients on the link itself: a next hop each.
    for (let i = 0; i < NEIGHBORS_MAX; i++) {
      // So many errors a second are allowed.
      world.nowMs++;
      const client = `172.16.${(i >> 8) & 255}.${i & 255}`;
      world.fromClient(clientFrame().ipv4(client, VIP, { ttl: 1 }).udp(PORT, 53, { payload: 'x' }));
    }
    expect(flowCount(world)).toBe(0);
  });

  test('the end of its time', () => {
    const world = natWorld();
    world.engine.execute({ name: 'setTimeouts', timeouts: { tcpSeconds: 5, tcpFinSeconds: 0, udpSeconds: 0 } });
    open(world);
    for (let second = 0; second < 4; second++) {
      world.wait(3000);
      world.fromClient(request());
    }
    expect(flowCount(world)).toBe(2);
    expect(world.connections()).toHaveLength(1);
    for (let i = 0; i < 80; i++) world.wait(100);
    expect(world.connections()).toEqual([]);
    expect(flowCount(world)).toBe(0);
  });

  test('silence', () => {
    const world = natWorld();
    open(world);
    const steps = (milliseconds: number): void => {
      for (let left = milliseconds; left > 0; left -= 100) world.wait(100);
    };
    steps(FAST_IDLE_MS - 1000);
    world.fromServer(reply());
    steps(FAST_IDLE_MS - 1000);
    expect(flowCount(world)).toBe(2);
    steps(2100);
    expect(flowCount(world)).toBe(0);
    expect(world.connections()[0]!.expiresSeconds).toBe(900 - 12);
    send(world, request());
    expect(flowCount(world)).toBe(2);
  });

  test('what the kernel carries at the very last moment counts', () => {
    const world = natWorld();
    open(world);
    world.fastPath.beforeRemoval = () => {
      world.fastPath.beforeRemoval = () => {};
      world.receive('c0', request());
    };
    world.engine.execute({ name: 'zero' });
    expect(world.fastPath.packets).toBe(1);
    expect(world.counters().verdicts['transmit']).toBe(OFFER_PACKETS + 2);
    world.wait(2100);
    expect(world.services()[0]!.statistics.inPackets).toBe(OFFER_PACKETS + 1);
  });
});

describe('while it is handed over', () => {
  test('counters say how much the fast path has carried', () => {
    const world = natWorld();
    expect(world.counters().fastPath).toEqual({ connections: 0, packets: 0, bytes: 0 });
    open(world);
    world.fromClient(request()).fromServer(reply());
    const bytes = request().length + reply().length - 2 * 14;
    expect(world.counters().fastPath).toEqual({ connections: 1, packets: 2, bytes });
    expect(new World().counters().fastPath).toBeUndefined();
  });

  test('the engine wants to be called ten times a second', () => {
    const world = natWorld();
    open(world);
    expect(world.engine.nextDeadlineMs()).toBeLessThanOrEqual(world.nowMs + 100);
  });

  test('what was carried is added within about a second, without anybody asking', () => {
    const world = natWorld();
    for (let port = PORT; port < PORT + 10; port++) open(world, OFFER_PACKETS, port);
    for (let port = PORT; port < PORT + 10; port++) world.fromClient(request({ ack: true }, port));
    for (let i = 0; i < 11; i++) world.wait(100);
    expect(world.fastPath.packets).toBe(10);
    expect(world.fastPath.untold).toBe(0);
  });

  // Some seconds lie just above a step of the timing wheel, where a timer set a little later would be kept more exactly.
  test.each([5, 17, 130, 1033])('it expires with a timeout of %i seconds when it would have without', (tcpSeconds) => {
    // The sweep comes at another moment after the last packet each time.
    for (let phaseMs = 0; phaseMs < 1000; phaseMs += tcpSeconds > 1000 ? 500 : 30) {
      const twins = new Twins({});
      const { plain, fast } = twins;
      for (const world of [plain, fast]) world.addService('rr', [[REAL1]]);
      twins.execute({ name: 'setTimeouts', timeouts: { tcpSeconds, tcpFinSeconds: 0, udpSeconds: 0 } });
      twins.wait(250);
      open(twins);
      for (let i = 0; i < 3; i++) {
        twins.wait(1000 + phaseMs);
        twins.receive('c0', request());
      }
      expect(twins.fastPath.packets).toBe(3);
      twins.wait(tcpSeconds * 1000 - 500);
      // Up to an eighth late, that is how the wheel rounds.
      for (let left = (tcpSeconds * 1000) / 7 + 2000; left > 0; left -= 50) {
        twins.wait(50);
        const count = (world: World): number => world.engine.execute({ name: 'getCounters' }).connections;
        expect(count(fast)).toBe(count(plain));
      }
      expect(fast.counters().connections).toBe(0);
    }
  });

  test('rates are made of all that was carried', () => {
    const twins = new Twins({});
    for (const world of [twins.plain, twins.fast]) world.addService('rr', [[REAL1]]);
    open(twins);
    for (let i = 0; i < 300; i++) {
      twins.wait(30);
      twins.receive(i % 2 === 0 ? 'c0' : 's0', i % 2 === 0 ? request() : reply());
      if (i % 67 === 0) twins.compareListings();
    }
    expect(twins.fast.services()[0]!.rates.inPacketsPerSecond).toBeGreaterThan(10);
    expect(twins.fastPath.packets).toBe(300);
  });

  test('its next hop is asked again from time to time, and one that is silent takes it back', () => {
    const world = fastWorld({ knownServers: [] });
    world.addService('rr', [[REAL1]]);
    world.fromClient(request({ syn: true })).fromServer(arpReply(REAL1_MAC, REAL1));
    open(world);
    const isArp = ({ bytes }: { bytes: Uint8Array }): boolean => bytes[12] === 8 && bytes[13] === 6;
    const carry = (milliseconds: number): number => {
      world.take();
      for (let left = milliseconds; left > 0; left -= 100) {
        world.wait(100);
        world.fromClient(request());
      }
      return world.take().filter(isArp).length;
    };
    const { packets } = world.fastPath;
    expect(carry(29_000)).toBe(0);
    expect(carry(1900)).toBe(1);
    expect(world.fastPath.packets).toBe(packets + 309);
    world.fromServer(arpReply(REAL1_MAC, REAL1));
    expect(carry(29_000)).toBe(0);
    expect(flowCount(world)).toBe(2);
    expect(carry(6000)).toBeGreaterThan(2);
    expect(flowCount(world)).toBe(0);
    expect(world.lastVerdict).not.toBe('transmit');
  });

  test('a rehearsal says the same as without, and changes nothing', () => {
    const twins = new Twins({});
    for (const world of [twins.plain, twins.fast]) world.addService('rr', [[REAL1]]);
    open(twins);
    twins.wait(700);
    twins.receive('c0', request());
    twins.wait(700);
    for (const bytes of [request(), request({ fin: true, ack: true }), reply()]) {
      const packet = Buffer.from(ipPacketOf(bytes)).toString('hex');
      const trace = twins.execute({ name: 'rehearse', packet });
      expect(trace).toMatchObject({ verdict: 'transmit', connection: { secondsBefore: 899 } });
    }
    expect(twins.fastPath.size).toBe(2);
    twins.compareListings();
  });

  test('a backup that is told of it later is told with the same packets', () => {
    const twins = new Twins({});
    for (const world of [twins.plain, twins.fast]) world.addService('rr', [[REAL1]]);
    open(twins);
    for (let i = 0; i < 7; i++) twins.receive('c0', request());
    twins.execute({ name: 'setSetting', setting: 'sync_threshold', value: '3 40' });
    twins.execute(masterDaemon('master'));
    let told = 0;
    for (let i = 0; i < 200; i++) {
      twins.receive('c0', request());
      twins.wait(50);
      told += twins.last.length;
    }
    expect(twins.fastPath.packets).toBe(7);
    expect(told).toBeGreaterThan(1);
  });

  test('an answered datagram is known to the template above it', () => {
    const twins = new Twins({});
    for (const world of [twins.plain, twins.fast]) {
      world.addService('rr', [[REAL1]], { protocol: 'udp', port: 53, persistence: 60 });
    }
    for (let i = 0; i < OFFER_PACKETS; i++) twins.receive('c0', datagram());
    const template = (): string | undefined => twins.fast.connections().find((each) => each.template)?.state;
    expect(template()).toBe('NONE');
    twins.receive('s0', serverFrame().ipv4(REAL1, CLIENT).udp(8080, PORT, { payload: 'answer' }));
    expect(twins.fastPath.packets).toBe(1);
    expect(template()).toBe('ASSURED');
    twins.compareListings();
  });
});

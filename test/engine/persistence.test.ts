import { expect, test } from 'vitest';
import { CLIENT, clientFrame, REAL1, REAL2, serverFrame, VIP, World } from '../support/world.ts';

const syn = (port: number) => clientFrame().ipv4(CLIENT, VIP).tcp(port, 80, { syn: true });

test('a client stays with its server as long as its template lives', () => {
  const world = new World();
  world.addService('rr', [[REAL1], [REAL2]], { persistence: 100 });
  for (const port of [40000, 40001, 40002]) world.fromClient(syn(port));
  const servers = new Set(world.connections().map(({ destination }) => destination.address));
  expect(servers.size).toBe(1);
  const template = world.connections().find((connection) => connection.template);
  expect(template).toMatchObject({ client: { address: CLIENT, port: 0 }, virtual: { port: 80 }, state: 'NONE' });
});

test('a template whose time is up while it has members is put off by a minute, and goes when they are gone', () => {
  const world = new World();
  world.addService('rr', [[REAL1]], { persistence: 10 });
  world.fromClient(syn(40000));
  world.wait(30_000);
  expect(world.connections().find((connection) => connection.template)?.expiresSeconds).toBeGreaterThan(30);
  world.wait(120_000);
  expect(world.connections()).toEqual([]);
  expect(world.services()[0]?.destinations[0]).toMatchObject({ persistentConnections: 0, inactiveConnections: 0 });
});

test('a server with weight 0 keeps its clients, unless quiescent templates expire', () => {
  for (const [value, same] of [
    ['0', true],
    ['1', false],
  ] as const) {
    const world = new World();
    world.addService('rr', [[REAL1], [REAL2]], { persistence: 100 });
    world.engine.execute({ name: 'setSetting', setting: 'expire_quiescent_template', value });
    world.fromClient(syn(40000));
    const first = world.connections().find((connection) => connection.template)!.destination.address;
    const service = world.services()[0]!;
    const { spec } = service.destinations.find((destination) => destination.spec.address === first)!;
    world.engine.execute({ name: 'editDestination', service: service.spec.key, destination: { ...spec, weight: 0 } });
    world.fromClient(syn(40001));
    const second = world.connections().find(({ client }) => client.port === 40001)!.destination.address;
    expect(second === first).toBe(same);
  }
});

test('a one-packet service chooses anew for every datagram and keeps nothing', () => {
  const world = new World();
  world.addService('rr', [[REAL1], [REAL2]], { protocol: 'udp', port: 53, serverPort: 53, onePacket: true });
  const servers: string[] = [];
  for (let i = 0; i < 4; i++) {
    world.fromClient(clientFrame().ipv4(CLIENT, VIP).udp(40000, 53, { payload: 'q' }));
    servers.push([...world.toServer().subarray(30, 34)].join('.'));
  }
  expect(servers).toEqual([REAL1, REAL2, REAL1, REAL2]);
  expect(world.connections()).toEqual([]);
  expect(world.services()[0]?.destinations.map(({ inactiveConnections }) => inactiveConnections)).toEqual([0, 0]);
  world.fromServer(serverFrame().ipv4(REAL1, CLIENT).udp(53, 40000, { payload: 'a' }));
  expect(world.lastVerdict).toBe('pass');
});

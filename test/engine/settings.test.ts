import { expect, test } from 'vitest';
import { NUMBER_SETTINGS, SETTING_NAMES, type SettingName } from '../../src/model/settings.ts';
import { CLIENT, clientFrame, REAL1, VIP, World } from '../support/world.ts';

const get = (world: World, setting: SettingName) =>
  world.engine.execute<'getSetting'>({ name: 'getSetting', setting }).value;
const set = (world: World, setting: SettingName, value: string) =>
  world.engine.execute({ name: 'setSetting', setting, value });

test('every setting has its default, its range, and takes no nonsense', () => {
  const world = new World();
  const { settings } = world.engine.execute<'listSettings'>({ name: 'listSettings' });
  expect(Object.keys(settings)).toEqual([...SETTING_NAMES]);
  for (const [name, rule] of Object.entries(NUMBER_SETTINGS)) {
    const setting = name as SettingName;
    expect(get(world, setting)).toBe(String(rule.default));
    expect(() => set(world, setting, 'abc')).toThrow(/whole number/);
    expect(() => set(world, setting, String(rule.max + 1))).toThrow();
    set(world, setting, '');
    expect(get(world, setting)).toBe(String(rule.default));
  }
  expect(() => set(world, 'nonsense' as SettingName, '1')).toThrow(expect.objectContaining({ code: 'ENOENT' }));
});

test('the synchronisation threshold is two numbers, the first below the second', () => {
  const world = new World();
  set(world, 'sync_threshold', '1 2 3');
  expect(get(world, 'sync_threshold')).toBe('1\t2');
  set(world, 'sync_threshold', '0');
  expect(get(world, 'sync_threshold')).toBe('0\t2');
  for (const bad of ['5 5', '-1 5', 'a b']) expect(() => set(world, 'sync_threshold', bad)).toThrow();
});

test('an automatic defence goes off again, since there is memory enough', () => {
  const world = new World();
  set(world, 'secure_tcp', '2');
  expect(get(world, 'secure_tcp')).toBe('1');
});

test('drop_packet 3 drops every am_droprate-th new connection, the first one too', () => {
  const world = new World();
  world.addService('rr', [[REAL1]]);
  set(world, 'am_droprate', '3');
  set(world, 'drop_packet', '3');
  const verdicts = [40000, 40001, 40002, 40003].map((port) => {
    world.fromClient(clientFrame().ipv4(CLIENT, VIP).tcp(port, 80, { syn: true }));
    return world.lastVerdict;
  });
  expect(verdicts).toEqual(['drop', 'transmit', 'transmit', 'drop']);
});

test('drop_entry 3 takes half-open connections, a thirty-second of the table a second', () => {
  const world = new World({ connectionsMax: 1024 });
  world.addService('rr', [[REAL1]]);
  set(world, 'drop_entry', '3');
  for (let port = 40000; port < 40500; port++) {
    world.fromClient(clientFrame().ipv4(CLIENT, VIP).tcp(port, 80, { syn: true }));
  }
  for (let second = 0; second < 20; second++) world.wait(1000);
  expect(world.connections().length).toBeLessThan(450);
  expect(world.connections().length).toBeGreaterThan(100);
  expect(world.services()[0]?.destinations[0]?.activeConnections).toBe(world.connections().length);
});

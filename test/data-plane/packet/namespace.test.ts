/** The host's side of the packet data plane against a real kernel, in namespaces of its own. */
import { execFileSync } from 'node:child_process';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Command } from '../../../src/model/commands.ts';
import { compileSources, eventually, Namespace, whySkipped } from '../support/namespace.ts';
import { destination, key, service } from '../support/specs.ts';

const reason = whySkipped();
const web = key('192.0.2.10', 80);
const addWeb: Command = { name: 'addService', service: service(web) };

describe.skipIf(reason !== null)(`in a network namespace${reason === null ? '' : ` (skipped: ${reason})`}`, () => {
  let compiled: ReturnType<typeof compileSources>;
  let namespace: Namespace;

  beforeAll(() => {
    compiled = compileSources();
  });
  afterAll(() => compiled?.remove());
  beforeEach(() => {
    namespace = new Namespace();
    namespace.run('ip link add e0 type veth peer name p0 && ip link set e0 up && ip address add 10.0.0.254/24 dev e0');
  });
  afterEach(() => namespace.remove());

  const table = () => namespace.run('nft list table netdev uipvs 2>&1 || true');
  const links = () => namespace.run('ip -o link');
  const setOf = (name: string) => {
    const listing = namespace.run(`nft -nn list set netdev uipvs ${name}`);
    const elements = /elements = \{([^}]*)\}/.exec(listing)?.[1] ?? '';
    return elements
      .split(',')
      .map((element) => element.trim())
      .filter((element) => element !== '');
  };

  test('guard and host link appear with the data plane and vanish with it, without a trace', async () => {
    const before = namespace.traces();
    const plane = await namespace.plane(compiled.folder);
    await plane.start();
    expect(table()).toMatch(/flags owner/);
    expect(table()).toMatch(/device "?lo"? priority -500/);
    expect(table()).toMatch(/device "?e0"? priority -500/);
    // It is down, and guarded all the same: when it comes up the stack may hear clients before the engine does.
    expect(table()).toMatch(/device "?p0"?/);
    expect(links()).toMatch(/uipvs-host@uipvs-io.*state UP/);
    await plane.close();
    expect(namespace.traces()).toBe(before);
  });

  test('the host link lets the stack take what the engine sends, and keeps the engine’s end quiet', async () => {
    const plane = await namespace.plane(compiled.folder);
    await plane.start();
    const conf = (path: string) => namespace.run(`cat /proc/sys/net/${path}`).trim();
    expect(conf('ipv4/conf/uipvs-host/rp_filter')).toBe('2');
    expect(conf('ipv4/conf/uipvs-host/accept_local')).toBe('1');
    expect(conf('ipv4/conf/uipvs-host/route_localnet')).toBe('1');
    expect(conf('ipv6/conf/uipvs-io/disable_ipv6')).toBe('1');
    expect(conf('ipv6/conf/uipvs-host/accept_ra')).toBe('0');
    expect(conf('ipv4/conf/uipvs-io/forwarding')).toBe('0');
    expect(namespace.run('ip neighbor show dev uipvs-host')).toMatch(
      /169\.254\.117\.2 lladdr 02:75:69:70:76:02 PERMANENT/,
    );
    expect(namespace.run('ip -4 -o address show dev uipvs-host')).toMatch(/169\.254\.117\.1\/30/);
    expect(namespace.run('ip neighbor show dev uipvs-host')).toMatch(/fd75:6970:7673::2 lladdr 02:75:69:70:76:02 PERM/);
    const addresses6 = namespace.run('ip -6 -o address show dev uipvs-host').trim().split('\n');
    expect(addresses6).toEqual([expect.stringContaining('fd75:6970:7673::1/126')]);
  });

  test('elements are in force when the command is answered, and go with the last that needs them', async () => {
    const plane = await namespace.plane(compiled.folder);
    await plane.start();
    await plane.execute(addWeb);
    expect(setOf('services')).toEqual(['192.0.2.10 . 6 . 80']);
    expect(setOf('icmp_errors')).toEqual(['3', '4', '11']);
    const alt = key('192.0.2.11', 80);
    await plane.execute({ name: 'addService', service: service(alt) });
    const real = destination('10.0.0.1', 8080);
    await plane.execute({ name: 'addDestination', service: web, destination: real });
    await plane.execute({ name: 'addDestination', service: alt, destination: real });
    expect(setOf('servers')).toEqual(['10.0.0.1 . 6 . 8080']);
    await plane.execute({ name: 'deleteService', key: web });
    expect(setOf('servers')).toEqual(['10.0.0.1 . 6 . 8080']);
    await plane.execute({ name: 'deleteService', key: alt });
    expect(setOf('servers')).toEqual([]);
    expect(setOf('services')).toEqual([]);
    expect(setOf('icmp_errors')).toEqual([]);
  });

  test('a refused command leaves the guard as it was', async () => {
    const plane = await namespace.plane(compiled.folder);
    await plane.start();
    const orphan: Command = { name: 'addDestination', service: web, destination: destination('10.0.0.1', 80) };
    await expect(plane.execute(orphan)).rejects.toMatchObject({ code: 'ESRCH' });
    expect(setOf('servers')).toEqual([]);
    await plane.execute(addWeb);
    await expect(plane.execute(addWeb)).rejects.toMatchObject({ code: 'EEXIST' });
    expect(setOf('services')).toEqual(['192.0.2.10 . 6 . 80']);
  });

  test('after kill -9 everything is gone within two seconds, and a successor may come at once', async () => {
    const before = namespace.traces();
    const first = await namespace.plane(compiled.folder);
    await first.start();
    await first.execute(addWeb);
    await first.kill();
    await eventually(() => namespace.traces() === before, 2_000);

    const second = await namespace.plane(compiled.folder);
    await second.start();
    const third = await namespace.plane(compiled.folder);
    await second.kill();
    await third.start();
    await third.execute(addWeb);
    // Longer than a predecessor's cleaning could still take.
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(setOf('services')).toEqual(['192.0.2.10 . 6 . 80']);
    expect(links()).toMatch(/uipvs-host/);
    await third.close();
    expect(namespace.traces()).toBe(before);
  });

  test('a second data plane in one namespace is refused and disturbs nothing', async () => {
    const first = await namespace.plane(compiled.folder);
    await first.start();
    await first.execute(addWeb);
    const second = await namespace.plane(compiled.folder);
    await expect(second.start()).rejects.toMatchObject({ code: 'EBUSY' });
    expect(setOf('services')).toEqual(['192.0.2.10 . 6 . 80']);
    expect(links()).toMatch(/uipvs-host/);
  });

  test('others cannot flush the guard by accident', async () => {
    const plane = await namespace.plane(compiled.folder);
    await plane.start();
    await plane.execute(addWeb);
    namespace.run('nft flush ruleset');
    expect(setOf('services')).toEqual(['192.0.2.10 . 6 . 80']);
  });

  test('the stack keeps quiet about services and servers, and about nothing else', async () => {
    const outside = new Namespace();
    try {
      namespace.run(`ip link set p0 netns ${outside.name} && ip address add 192.0.2.10/32 dev e0`);
      outside.run('ip link set p0 up && ip address add 10.0.0.1/24 dev p0 && ip route add default via 10.0.0.254');
      await outside.serve(8080, 'server');
      const plane = await namespace.plane(compiled.folder);
      await plane.start();
      expect(outside.connect('192.0.2.10', 80)).toBe('ECONNREFUSED');
      await plane.execute(addWeb);
      await plane.execute({ name: 'addDestination', service: web, destination: destination('10.0.0.1', 8080) });
      expect(outside.connect('192.0.2.10', 80)).toBe('silence');
      expect(outside.connect('192.0.2.10', 81)).toBe('ECONNREFUSED');
      // The host's own sockets reach the server; ports outside their range belong to full NAT.
      expect(namespace.connect('10.0.0.1', 8080)).toBe('server');
      expect(namespace.connect('10.0.0.1', 8080, 20_000)).toBe('silence');
      await plane.execute({ name: 'deleteService', key: web });
      expect(outside.connect('192.0.2.10', 80)).toBe('ECONNREFUSED');
      expect(namespace.connect('10.0.0.1', 8080, 20_001)).toBe('server');
    } finally {
      await outside.remove();
    }
  });

  test('leftovers of a predecessor that could not clean up are removed first', async () => {
    namespace.run('nft add table netdev uipvs; nft add set netdev uipvs old "{ type ipv4_addr; }"');
    namespace.run('ip link add uipvs-host type veth peer name uipvs-io');
    const plane = await namespace.plane(compiled.folder);
    await plane.start();
    expect(table()).not.toMatch(/set old/);
    expect(links().match(/uipvs-host@/g)).toHaveLength(1);
  });

  test('links that come, go, change their names or go down are followed', async () => {
    const plane = await namespace.plane(compiled.folder);
    await plane.start();
    const served = (names: string[]) =>
      plane.heard((event) => event.type === 'links-changed' && event.links.join() === names.join());
    namespace.run('ip link add e1 type veth peer name p1 && ip link set e1 up');
    await served(['e0', 'e1', 'lo']);
    expect(table()).toMatch(/device "?e1"?/);
    namespace.run('ip link set e1 down && ip link set e1 name e2 && ip link set e2 up');
    await served(['e0', 'e2', 'lo']);
    await eventually(() => /device "?e2"?/.test(table()) && !/device "?e1"?/.test(table()), 2_000);
    namespace.run('ip link delete e2');
    const lastLinks = () => plane.events.findLast((event) => event.type === 'links-changed');
    await eventually(() => lastLinks()?.links.join() === 'e0,lo', 2_000);
    // The others are guarded as before.
    expect(table()).toMatch(/device "?e0"?/);
    await plane.execute(addWeb);
    expect(setOf('services')).toHaveLength(1);
  });

  test('a worker that dies is replaced and knows what its predecessor knew', async () => {
    const plane = await namespace.plane(compiled.folder);
    await plane.start();
    await plane.execute(addWeb);
    await plane.execute({ name: 'addDestination', service: web, destination: destination('10.0.0.1', 80) });
    await plane.execute({ name: 'addDestination', service: web, destination: destination('10.0.0.2', 80) });
    const fatal = plane.execute({ name: 'stopSyncDaemon', role: 'master' });
    await expect(fatal).rejects.toMatchObject({ code: 'EIO', message: expect.stringContaining('struck down') });
    expect(await plane.execute({ name: 'listServices' })).toEqual({
      items: [[JSON.stringify(web), ['10.0.0.1:80', '10.0.0.2:80']]],
      next: null,
    });
    expect(setOf('services')).toHaveLength(1);
    expect(plane.events).toContainEqual({ type: 'notice', level: 'info', message: 'a new packet worker serves' });
  });

  test('guard and host link are set up anew when somebody kills their keeper', async () => {
    const plane = await namespace.plane(compiled.folder);
    await plane.start();
    await plane.execute(addWeb);
    const nft = namespace
      // Its keeper; `nft monitor` and questions run beside it.
      .run(`pgrep -f -x 'nft -i' || true`)
      .split('\n')
      .filter((pid) => pid !== '' && isIn(namespace.name, pid));
    expect(nft).toHaveLength(1);
    process.kill(Number(nft[0]), 'SIGKILL');
    await plane.heard((event) => event.type === 'notice' && event.message === 'guard and host link are set up again');
    expect(setOf('services')).toEqual(['192.0.2.10 . 6 . 80']);
    expect(links()).toMatch(/uipvs-host/);
  });

  test('what belongs to a running daemon cannot be removed from outside, what it left can', async () => {
    const plane = await namespace.plane(compiled.folder);
    const tools = `import('${compiled.folder}/data-plane/packet/guard-tools.js')`;
    const tell = (call: string) =>
      namespace
        .run(
          `${process.execPath} -e "${tools}.then((t) => t.${call}).then(console.log, (e) => console.log(e.message))"`,
        )
        .trim();
    expect(tell('readGuard()')).toBe('null');
    await plane.start();
    expect(tell('readGuard()')).toMatch(/^table netdev uipvs/);
    expect(tell('removeGuard()')).toMatch('guard and host link belong to a running uipvsd');
    await plane.close();
    expect(tell('removeGuard()')).toBe('{ table: false, hostLink: false, tap: false }');
    namespace.run('nft add table netdev uipvs; ip link add uipvs-host type veth peer name uipvs-io');
    expect(tell('removeGuard()')).toBe('{ table: true, hostLink: true, tap: false }');
  });

  test('without the guard only the host link is there, and still nothing stays behind', async () => {
    const before = namespace.traces();
    const plane = await namespace.plane(compiled.folder);
    await plane.start({ guard: 'off' });
    expect(namespace.run('nft list ruleset')).toBe('');
    expect(links()).toMatch(/uipvs-host/);
    await plane.kill();
    await eventually(() => namespace.traces() === before, 2_000);
  });

  test('ten thousand destinations take one moment when they come at once', async () => {
    const plane = await namespace.plane(compiled.folder);
    await plane.start();
    await plane.execute(addWeb);
    const commands: Command[] = Array.from({ length: 10_000 }, (_, i) => ({
      name: 'addDestination',
      service: web,
      destination: destination(`10.1.${i >> 8}.${i & 255}`, 80),
    }));
    const tookMs = await plane.executeAll(commands);
    const more: Command[] = Array.from({ length: 500 }, (_, i) => ({
      name: 'addDestination',
      service: web,
      destination: destination(`10.2.${i >> 8}.${i & 255}`, 80),
    }));
    const inTurnMs = await plane.executeInTurn(more);
    console.log(`10 000 destinations at once: ${Math.round(tookMs)} ms; 500 in turn: ${Math.round(inTurnMs)} ms`);
    expect(setOf('servers').length).toBe(10_500);
    expect(tookMs).toBeLessThan(10_000);
  });
});

function isIn(namespace: string, pid: string): boolean {
  return execFileSync('ip', ['netns', 'identify', pid], { encoding: 'utf8' }).trim() === namespace;
}

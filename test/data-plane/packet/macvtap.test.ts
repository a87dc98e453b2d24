/** The packet engine over a macvtap link, against a real kernel, in namespaces of its own. */
import { readdirSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { macvtap } from '../../../src/packet-io/macvtap.ts';
import { compileSources, eventually, Namespace, whySkipped } from '../support/namespace.ts';
import { destination, key, service } from '../support/specs.ts';

const reason = whySkipped() ?? (await macvtap.unavailable());
const web = key('192.0.2.10', 80);
const PATIENCE_MS = 20_000;

describe.skipIf(reason !== null)(`macvtap${reason === null ? '' : ` (skipped: ${reason})`}`, () => {
  let compiled: ReturnType<typeof compileSources>;
  let director: Namespace;
  let outside: Namespace;

  beforeAll(() => {
    compiled = compileSources();
  });
  afterAll(() => compiled?.remove());
  beforeEach(() => {
    director = new Namespace();
    outside = new Namespace();
    director.run(
      `ip link add e0 type veth peer name p0 && ip link set p0 netns ${outside.name} && ip link set e0 addrgenmode none up &&
       ip address add 10.0.0.254/24 dev e0 && ip address add 192.0.2.10/32 dev e0`,
    );
    outside.run('ip link set p0 up && ip address add 10.0.0.1/24 dev p0 && ip route add default via 10.0.0.254');
  });
  afterEach(async () => {
    await director.remove();
    await outside.remove();
  });

  const nodes = () => readdirSync('/dev').filter((name) => name.startsWith('uipvs-tap'));
  /** The service reaches a server at the far end of the same cable: full NAT, so that its answers come back. */
  async function serve() {
    await outside.serve(8080, 'server');
    const plane = await director.plane(compiled.folder);
    await plane.start({ io: 'macvtap', sourceNat: 'masquerade' });
    await plane.execute({ name: 'addService', service: service(web) });
    await plane.execute({ name: 'addDestination', service: web, destination: destination('10.0.0.1', 8080) });
    return plane;
  }

  test('carries connections, leaves the host’s own alone, and goes without a trace', async () => {
    const before = director.traces();
    const plane = await serve();
    for (let round = 0; round < 3; round++) expect(outside.connect('192.0.2.10', 80)).toBe('server');
    expect(outside.connect('192.0.2.10', 81)).toBe('ECONNREFUSED');
    expect(director.connect('10.0.0.1', 8080)).toBe('server');
    expect(nodes()).toEqual([]);
    await plane.close();
    expect(director.traces()).toBe(before);
  });

  test('after kill -9 links and rules are gone, and a successor serves', async () => {
    const before = director.traces();
    const first = await serve();
    await first.kill();
    await eventually(() => director.traces() === before, PATIENCE_MS);
    const second = await director.plane(compiled.folder);
    await second.start({ io: 'macvtap', sourceNat: 'masquerade' });
    await second.execute({ name: 'addService', service: service(web) });
    await second.execute({ name: 'addDestination', service: web, destination: destination('10.0.0.1', 8080) });
    expect(outside.connect('192.0.2.10', 80)).toBe('server');
  });

  test('a tap that somebody removes is named, set up anew, and serves again', async () => {
    const plane = await serve();
    director.run('ip link delete uipvs-near');
    await plane.heard((event) => event.type === 'notice' && event.message.startsWith('the tap by which frames come'));
    await plane.heard((event) => event.type === 'notice' && event.message === 'a new packet worker serves');
    await eventually(() => outside.connect('192.0.2.10', 80) === 'server', PATIENCE_MS);
  });

  test('without the guard there is nothing to feed it: refused, with the way out', async () => {
    const before = director.traces();
    const plane = await director.plane(compiled.folder);
    const started = plane.start({ io: 'macvtap', guard: 'off' });
    await expect(started).rejects.toMatchObject({ code: 'EINVAL', message: expect.stringContaining('--guard off') });
    expect(director.traces()).toBe(before);
  });

  test('a name that is taken is told and nothing stays behind', async () => {
    const before = director.traces();
    const plane = await director.plane(compiled.folder);
    // A link of the name that the tap wants.
    director.run('ip link add uipvs-tap type veth peer name other');
    const blocked = director.traces();
    await expect(plane.start({ io: 'macvtap' })).rejects.toMatchObject({
      message: expect.stringMatching(/^the tap cannot be set up: .*exists/),
    });
    expect(director.traces()).toBe(blocked);
    director.run('ip link delete uipvs-tap');
    expect(director.traces()).toBe(before);
  });
});

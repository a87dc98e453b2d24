/** A day of checks in virtual time: what is kept afterwards is what was kept after its first hours. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { Random } from '../support/random.ts';
import { World } from './director-world.ts';

const HOUR_MS = 3_600_000;
const STEP_MS = 10 * 60_000;
const SERVERS = Array.from({ length: 20 }, (_, index) => `10.7.0.${index + 1}`);
/** What the engine's own caches and the tests' runner may move about. */
const SLACK_BYTES = 2 * 1024 * 1024;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function heapBytes(): number {
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}

function configuration(port: number): string {
  const block = (name: string, servers: readonly string[], more: string) =>
    `virtual=${name}\n${servers.map((address) => `\treal=${address}:80 masq\n`).join('')}\tchecktype=ping\n${more}`;
  return [
    'checkinterval=5\nchecktimeout=3\nfailurecount=2\nfallback=127.0.0.1:80 masq',
    block('192.0.2.120:80', SERVERS, '\tquiescent=yes\n'),
    block(`192.0.2.121:${port}`, SERVERS.slice(10), '\tfallbackcommand=/bin/true\n'),
    '#\n',
  ].join('\n');
}

test('a day of checks, deaths, recoveries and reloads leaves nothing behind', { timeout: 180_000 }, async () => {
  const world = new World();
  const source = new Random(5);
  const random = () => source.next() / 2 ** 32;
  let checks = 0;
  let transitions = 0;
  const tellAndForget = (): void => {
    checks += world.checks.splice(0).length;
    transitions += world.table.commands.splice(0).length;
    world.said();
    world.shell.length = 0;
  };
  await world.start(configuration(80));
  const pass = async (fromHour: number, toHour: number): Promise<void> => {
    for (let atMs = fromHour * HOUR_MS; atMs < toHour * HOUR_MS; atMs += STEP_MS) {
      for (const address of SERVERS) {
        if (random() < 0.7) continue;
        if (!world.dead.delete(address)) world.dead.add(address);
      }
      // A service comes and another one goes, again and again.
      if (atMs % (2 * HOUR_MS) === 0) await world.reload(configuration(80 + atMs / HOUR_MS));
      await world.clock.advance(STEP_MS);
      tellAndForget();
    }
  };
  await pass(0, 3);
  const timersBefore = world.clock.timerCount;
  const before = heapBytes();
  await pass(3, 24);
  const after = heapBytes();
  process.stdout.write(
    `a day: ${checks} checks, ${transitions} changes of the table, heap ${before} bytes after 3 hours, ${after} after 24\n`,
  );
  expect(checks).toBeGreaterThan(200_000);
  expect(transitions).toBeGreaterThan(1_000);
  expect(after - before).toBeLessThan(SLACK_BYTES);
  // Every server has one timer, or two while it is silent.
  expect(Math.abs(world.clock.timerCount - timersBefore)).toBeLessThanOrEqual(2 * SERVERS.length);
  await world.director.stop();
  expect(world.clock.timerCount).toBe(0);
});

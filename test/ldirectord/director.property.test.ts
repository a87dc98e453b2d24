/**
 * Whatever comes in whatever order (other configurations, deaths, recoveries, maintenance, a data plane that forgets
 * or is away), a server known to be dead is given no traffic, and in the end the table is what the configuration and
 * the health of the servers say.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Command } from '../../src/model/commands.ts';
import { World } from './director-world.ts';

const HOSTS = ['10.7.0.1', '10.7.0.2', '10.7.0.3', '10.7.0.4'] as const;
const NAMES = ['192.0.2.120:80', '192.0.2.121:80', '7'] as const;
const FALLBACK = '127.0.0.1';
const INTERVAL_SECONDS = 2;
const TIMEOUT_SECONDS = 3;
/** How long the data plane is left alone before the table is looked at: the table is looked after every second. */
const REPAIR_MS = 1_300;
const ANSWER_MS = 3;

interface Service {
  readonly name: (typeof NAMES)[number];
  readonly check: 'ping' | 'connect' | 'on';
  readonly quiescent: boolean;
  readonly fallback: boolean;
  /** By host. */
  readonly weights: ReadonlyMap<string, number>;
}

type Happening =
  | { readonly type: 'reload'; readonly services: readonly Service[] }
  | { readonly type: 'die' | 'recover' | 'maintain' | 'release'; readonly host: string }
  | { readonly type: 'forget' | 'leave' | 'return' }
  | { readonly type: 'wait'; readonly ms: number };

const host = fc.constantFrom(...HOSTS);
const weights = fc.uniqueArray(fc.tuple(host, fc.nat(3)), { selector: ([name]) => name, maxLength: 4 });
const services = fc.uniqueArray(
  fc.record({
    name: fc.constantFrom(...NAMES),
    check: fc.constantFrom('ping', 'connect', 'on'),
    quiescent: fc.boolean(),
    fallback: fc.boolean(),
    weights: weights.map((pairs) => new Map(pairs)),
  }) as fc.Arbitrary<Service>,
  { selector: ({ name }) => name, minLength: 1 },
);
const happening: fc.Arbitrary<Happening> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ type: fc.constant('reload' as const), services }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constantFrom('die' as const, 'recover' as const), host }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constantFrom('maintain' as const, 'release' as const), host }) },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constantFrom('forget' as const, 'leave' as const, 'return' as const) }),
  },
  { weight: 4, arbitrary: fc.record({ type: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 9_000 }) }) },
);

function textOf(configured: readonly Service[]): string {
  const blocks = configured.map(({ name, check, quiescent, fallback, weights: byHost }) => {
    const lines = [
      `virtual=${name}`,
      ...[...byHost].map(([address, weight]) => `\treal=${address}:80 masq ${weight}`),
      ...(fallback ? [`\tfallback=${FALLBACK}:80 masq`] : []),
      `\tchecktype=${check}`,
      `\tquiescent=${quiescent ? 'yes' : 'no'}`,
    ];
    return `${lines.join('\n')}\n#\n`;
  });
  return `checkinterval=${INTERVAL_SECONDS}\nchecktimeout=${TIMEOUT_SECONDS}\n${blocks.join('')}`;
}

/** Watches every command that goes to the table of a world. */
class Witness {
  readonly world: World;
  /** `check address` of what is known to be dead, and since when: its last result was bad. */
  readonly dead = new Map<string, number>();
  readonly wrongs: string[] = [];
  configured: readonly Service[];

  constructor(world: World, configured: readonly Service[]) {
    this.world = world;
    this.configured = configured;
    world.onResult = (check, address, healthy) => {
      // A good result opens the door at once; a bad one is judged by when it must have been heard.
      if (healthy) this.dead.delete(`${check} ${address}`);
      else setImmediate(() => this.dead.set(`${check} ${address}`, this.dead.get(`${check} ${address}`) ?? nowMs()));
    };
    // Every answer of the data plane takes its time, in which more can happen.
    const nowMs = () => world.clock.nowMs();
    world.table.before = (command) => {
      this.#judge(command);
      return new Promise((resolve) => world.clock.after(ANSWER_MS, resolve));
    };
  }

  /** What nobody asks any more is forgotten with the next configuration. */
  hearOfReload(configured: readonly Service[]): void {
    const asked = new Set(
      this.configured.flatMap((each) => [...each.weights.keys()].map((at) => `${each.check} ${at}`)),
    );
    for (const known of this.dead.keys()) if (!asked.has(known)) this.dead.delete(known);
    this.configured = configured;
  }

  #judge(command: Command): void {
    if (command.name !== 'addDestination' && command.name !== 'editDestination') return;
    const { address, weight } = command.destination;
    const key = command.service;
    const name = 'mark' in key ? String(key.mark) : `${key.address}:${key.port}`;
    const check = this.configured.find((each) => each.name === name)?.check;
    if (weight > 0 && this.dead.has(`${check} ${address}`)) this.wrongs.push(`${command.name} ${address} in ${name}`);
  }

  /** By service: `address weight` of what is in the table. */
  tables(): Map<string, string[]> {
    const found = new Map<string, string[]>();
    let rows: string[] = [];
    for (const line of this.world.table.listing()) {
      const [first, second, , weight] = line.trim().split(/ +/);
      if (first === '->') rows.push(`${second.split(':')[0]} ${weight}`);
      else {
        rows = [];
        found.set(second, rows);
      }
    }
    return found;
  }

  /** A dead server has no weight, and is not there at all unless quiescent. */
  expectNoDeadServer(): void {
    for (const [name, rows] of this.tables()) {
      const service = this.configured.find((each) => each.name === name);
      if (service === undefined) continue;
      for (const row of rows) {
        const [address, weight] = row.split(' ');
        const since = this.dead.get(`${service.check} ${address}`) ?? Number.POSITIVE_INFINITY;
        if (!service.weights.has(address) || this.world.clock.nowMs() - since < REPAIR_MS) continue;
        if (!service.quiescent || weight !== '0') this.wrongs.push(`${row} stays in ${name}`);
      }
    }
  }

  /** What the configuration and the health of the servers say. */
  wanted(): Map<string, string[]> {
    return new Map(
      this.configured.map(({ name, check, quiescent, fallback, weights: byHost }) => {
        const { dead, maintenance } = this.world;
        const isUp = (address: string) => !maintenance.has(address) && (check === 'on' || !dead.has(address));
        const rows = [...byHost].flatMap(([address, weight]) =>
          isUp(address) ? [`${address} ${weight}`] : quiescent ? [`${address} 0`] : [],
        );
        const standsIn = fallback && ![...byHost.keys()].some(isUp);
        return [name, [...(standsIn ? [`${FALLBACK} 1`] : []), ...rows].sort()];
      }),
    );
  }
}

async function take({ world }: Witness, what: Happening): Promise<void> {
  switch (what.type) {
    case 'die':
      world.dead.add(what.host);
      break;
    case 'recover':
      world.dead.delete(what.host);
      break;
    case 'maintain':
      world.maintenance.add(what.host);
      break;
    case 'release':
      world.maintenance.delete(what.host);
      break;
    case 'forget':
      world.table.lose();
      break;
    case 'leave':
    case 'return':
      world.table.away = what.type === 'leave';
      break;
    case 'reload':
      await world.reload(textOf(what.services));
      break;
    case 'wait':
      await world.clock.advance(what.ms);
  }
}

test('no dead server is given traffic, and the table settles to what is wanted', { timeout: 120_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(services, fc.array(happening, { maxLength: 14 }), async (first, happenings) => {
      const world = new World();
      const witness = new Witness(world, first);
      await world.start(textOf(first));
      for (const what of happenings) {
        if (what.type === 'reload') witness.hearOfReload(what.services);
        await take(witness, what);
        if (what.type === 'wait' && what.ms > REPAIR_MS && !world.table.away) witness.expectNoDeadServer();
      }
      world.table.away = false;
      // Time for every check to be made twice, and for servers that leave with their connections.
      await world.clock.advance(2 * (INTERVAL_SECONDS + TIMEOUT_SECONDS) * 1_000 + REPAIR_MS);
      witness.expectNoDeadServer();
      expect(witness.wrongs).toEqual([]);
      const sorted = [...witness.tables()].map(([name, rows]) => [name, rows.sort()] as const);
      expect(new Map(sorted)).toEqual(witness.wanted());
      const stopping = world.director.stop();
      await world.clock.advance(1_000);
      await stopping;
      expect(world.table.listing()).toEqual([]);
      expect(world.clock.timerCount).toBe(0);
    }),
    { numRuns: 300 },
  );
});

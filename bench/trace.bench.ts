/**
 * What watching costs: established NAT flows, 64-byte frames, no I/O, in rounds that take turns. Not watched; watched by
 * a trace that wants none of these packets (`--profile drops`); by one with a filter; and by one that takes all. Prints a
 * Markdown table.
 */
import { measureEstablished } from './established.ts';
import { createEngine, establish } from './flows.ts';
import { median } from './statistics.ts';

const CONNECTIONS = 1_000;
const TURNS = 7;
const EFFORT = { rounds: 1, packetsPerRound: 400_000 };

const engine = createEngine(CONNECTIONS);
const servers = establish(engine, CONNECTIONS);

const WAYS: readonly { readonly name: string; readonly wish: { profile?: string; filter?: string } | null }[] = [
  { name: 'not watched', wish: null },
  { name: 'watched, profile drops', wish: { profile: 'drops' } },
  { name: 'watched, a filter that none passes', wish: { filter: 'host 192.0.2.1' } },
  { name: 'watched, everything', wish: {} },
];

const costs = new Map<string, number[]>(WAYS.map(({ name }) => [name, []]));
for (let turn = 0; turn < TURNS; turn++) {
  for (const { name, wish } of WAYS) {
    const id = `${name} ${turn}`;
    if (wish !== null) engine.execute({ name: 'readTrace', id, snapBytes: 256, ...wish });
    const [measured] = measureEstablished(engine, CONNECTIONS, servers, EFFORT);
    costs.get(name)?.push(measured?.nanosecondsPerPacket as number);
    if (wish !== null) engine.execute({ name: 'readTrace', id, limit: 0 });
  }
}

const base = median(costs.get('not watched') as number[]);
console.log('| | ns a packet (median) | spread | to not watched |');
console.log('| --- | ---: | ---: | ---: |');
for (const { name } of WAYS) {
  const all = costs.get(name) as number[];
  const middle = median(all);
  const spread = `${Math.min(...all).toFixed(0)}..${Math.max(...all).toFixed(0)}`;
  console.log(`| ${name} | ${middle.toFixed(0)} | ${spread} | ${(middle / base).toFixed(2)} |`);
}

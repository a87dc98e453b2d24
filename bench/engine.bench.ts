/**
 * Packets a second through `engine.process` alone: established NAT flows, 64-byte frames, no I/O. And memory a
 * connection. Prints a Markdown table; `--json` adds one JSON line. Needs `node --expose-gc` for the memory figure.
 */
import { measureEstablished } from './established.ts';
import { createEngine, establish } from './flows.ts';
import { median } from './statistics.ts';

const EFFORT = { rounds: 5, packetsPerRound: 2_000_000 };

function memoryBytes(): number {
  globalThis.gc?.();
  return process.memoryUsage.rss();
}

const rows: { connections: number; packetsPerSecond: number; spread: string; bytesPerConnection: number | null }[] = [];
for (const connections of [1_000, 1_000_000]) {
  const before = memoryBytes();
  const engine = createEngine(connections);
  const servers = establish(engine, connections);
  const bytesPerConnection =
    connections >= 100_000 ? Math.round((memoryBytes() - before - servers.byteLength) / connections) : null;
  const rates = measureEstablished(engine, connections, servers, EFFORT).map((result) => result.packetsPerSecond);
  rows.push({
    connections,
    packetsPerSecond: Math.round(median(rates)),
    spread: `${(Math.min(...rates) / 1e6).toFixed(2)}..${(Math.max(...rates) / 1e6).toFixed(2)}`,
    bytesPerConnection,
  });
}

console.log('| connections | million packets/s (median) | spread | ns a packet | bytes a connection |');
console.log('| ---: | ---: | ---: | ---: | ---: |');
for (const row of rows) {
  const millions = row.packetsPerSecond / 1e6;
  console.log(
    `| ${row.connections} | ${millions.toFixed(2)} | ${row.spread} | ${(1000 / millions).toFixed(0)} | ${row.bytesPerConnection ?? ''} |`,
  );
}
if (process.argv.includes('--json')) console.log(JSON.stringify({ node: process.version, rows }));

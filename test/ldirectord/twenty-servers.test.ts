/** Real sockets on this machine's loopback network: ten of twenty servers die at the same moment. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { systemClock } from '../../src/health/clock.ts';
import { CheckBench } from '../../src/ldirectord/check-bench.ts';
import { Director } from '../../src/ldirectord/director.ts';
import { parsed } from './director-world.ts';
import { FakeDataPlane } from './fake-data-plane.ts';

interface Real {
  readonly name: string;
  readonly server: Server;
  /** Takes requests and says nothing. */
  silent: boolean;
  /** Requests that came while it was silent. */
  unanswered: number;
}

const open: Server[] = [];
afterEach(() => {
  for (const server of open.splice(0)) {
    server.close();
    server.closeAllConnections();
  }
});

async function startServer(index: number): Promise<Real> {
  const address = `127.77.0.${index + 1}`;
  const server = createServer((_, response) => {
    if (real.silent) real.unanswered += 1;
    else response.end('well');
  });
  open.push(server);
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  const real: Real = {
    name: `${address}:${(server.address() as AddressInfo).port}`,
    server,
    silent: false,
    unanswered: 0,
  };
  return real;
}

function inTable(table: FakeDataPlane): string[] {
  return table
    .listing()
    .slice(1)
    .map((line) => line.trim().split(/ +/)[1])
    .sort();
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
}

test('all ten are out after the one check that each of them fails, the others stay', { timeout: 60_000 }, async () => {
  const servers = await Promise.all(Array.from({ length: 20 }, (_, index) => startServer(index)));
  const names = servers.map(({ name }) => name).sort();
  const table = new FakeDataPlane();
  const log: string[] = [];
  const unansweredWhenOut = new Map<Real, number>();
  const lines = servers.map(({ name }) => `\treal=${name} masq\n`).join('');
  const text = `checkinterval=1\nnegotiatetimeout=2\nvirtual=192.0.2.1:80\n${lines}\tservice=http\n\tchecktype=negotiate\n`;
  const director = new Director(await parsed(text), {
    clock: systemClock,
    random: Math.random,
    bench: new CheckBench(),
    log: (line) => {
      log.push(line);
      const out = servers.find(({ name }) => line.startsWith(`Deleted real server: ${name} `));
      if (out !== undefined) unansweredWhenOut.set(out, out.unanswered);
    },
    connect: async () => table,
  });
  await director.start();
  await until(() => inTable(table).length === 20);
  log.length = 0;

  const [silent, refusing, living] = [servers.slice(0, 5), servers.slice(5, 10), servers.slice(10)];
  for (const real of silent) real.silent = true;
  for (const { server } of refusing) {
    server.close();
    server.closeAllConnections();
  }
  await until(() => inTable(table).length <= 10);

  expect(inTable(table)).toEqual(living.map(({ name }) => name).sort());
  expect(
    log
      .filter((line) => line.startsWith('Deleted real server: '))
      .map((line) => line.split(' ')[3])
      .sort(),
  ).toEqual(names.filter((name) => !living.some((real) => real.name === name)));
  // Nobody waits for anybody: the first question that is not answered in its time takes each of them out.
  expect(silent.map((real) => unansweredWhenOut.get(real))).toEqual([1, 1, 1, 1, 1]);
  const told = director.health()[0].servers.filter(({ state }) => state === 'down');
  const reasons = new Set(told.map(({ changes }) => changes.at(-1)?.reason.replace(/127\.77\.[\d.:]+/, 'it')));
  expect([...reasons].sort()).toEqual(['connect ECONNREFUSED it', 'no complete answer within 2000 ms']);
  await director.stop();
});

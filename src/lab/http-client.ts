/**
 * A small HTTP client, started as a program of its own where there is no `ab`: `http-client.js -n REQUESTS -c CLIENTS
 * URL`. Every request has a connection of its own. It says its results in the words of `ab`.
 */
import { Agent, get } from 'node:http';
import { parseArgs } from 'node:util';

const TIMEOUT_MS = 30_000;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { n: { type: 'string', short: 'n', default: '1' }, c: { type: 'string', short: 'c', default: '1' } },
  });
  const [url = ''] = positionals;
  const requests = Number(values.n);
  const agent = new Agent({ keepAlive: false });
  let begun = 0;
  let failed = 0;
  let lengthOfAll: number | null = null;
  const client = async (): Promise<void> => {
    while (begun < requests) {
      begun += 1;
      const length = await ask(url, agent);
      lengthOfAll ??= length;
      if (length === null || length !== lengthOfAll) failed += 1;
    }
  };
  const startMs = performance.now();
  await Promise.all(Array.from({ length: Number(values.c) }, client));
  const seconds = (performance.now() - startMs) / 1_000;
  process.stdout.write(`Complete requests:      ${requests}
Failed requests:        ${failed}
Requests per second:    ${(requests / seconds).toFixed(2)} [#/sec] (mean)
`);
}

/** Bytes of the answer, `null` when there is no good one. */
function ask(url: string, agent: Agent): Promise<number | null> {
  return new Promise((resolve) => {
    const request = get(url, { agent, timeout: TIMEOUT_MS }, (response) => {
      let bytes = 0;
      response.on('data', (piece: Buffer) => (bytes += piece.length));
      response.on('end', () => resolve(response.statusCode === 200 ? bytes : null));
      response.on('error', () => resolve(null));
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(null));
  });
}

await main();

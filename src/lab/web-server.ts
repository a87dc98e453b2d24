/**
 * A small web server, started as a program of its own in one namespace: `web-server.js ADDRESS PORT NAME
 * [--delay MS] [--keep-alive] [--stay]`. Every answer names the server, and the client as the server sees it. On
 * standard output it writes one JSON line when it is ready and one whenever it has counted more requests. It ends when
 * its standard input does, so it never outlives the lab; with `--stay` it does not, in a lab that stays up.
 */
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { CLIENT_HEADER, UNCOUNTED_PATH } from './addresses.ts';

/** One line of the program's output. */
export interface WebServerReport {
  readonly requests: number;
  /** Requests by the client's address, as this server sees it. */
  readonly clients: Readonly<Record<string, number>>;
}

/** All answers have this length, whoever gives them, since `ab` counts another length as a failure. */
const BODY_BYTES = 64;
const REPORT_INTERVAL_MS = 20;
/** Longer than any client of a lab waits between two requests. */
const KEEP_ALIVE_MS = 60_000;

function main(): void {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      delay: { type: 'string', default: '0' },
      'keep-alive': { type: 'boolean', default: false },
      stay: { type: 'boolean', default: false },
    },
  });
  const [address, port, name] = positionals;
  const delayMs = Number(values.delay);
  const body = `Hello from ${name}`.padEnd(BODY_BYTES - 1, ' ').concat('\n');
  const clients: Record<string, number> = {};
  let requests = 0;
  let reported = -1;

  const count = (address: string) => {
    const client = address.replace(/^::ffff:/, '');
    clients[client] = (clients[client] ?? 0) + 1;
    requests += 1;
  };
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) => {
    if (request.url !== UNCOUNTED_PATH) count(request.socket.remoteAddress ?? '');
    if (!values['keep-alive']) response.shouldKeepAlive = false;
    response.setHeader('Content-Type', 'text/plain');
    response.setHeader(CLIENT_HEADER, request.socket.remoteAddress ?? '');
    response.setHeader('Content-Length', body.length);
    const answer = () => (delayMs > 0 ? setTimeout(() => response.end(body), delayMs) : response.end(body));
    // What a client sends is read to its end first.
    if (request.method === 'POST') request.resume().on('end', answer);
    else answer();
  });
  const report = (always: boolean) => {
    if (requests === reported && !always) return;
    reported = requests;
    process.stdout.write(`${JSON.stringify({ requests, clients } satisfies WebServerReport)}\n`);
  };
  server.on('error', (error) => {
    process.stderr.write(`web server ${name}: ${error.message}\n`);
    process.exit(1);
  });
  server.listen(Number(port), address, 1024, () => {
    report(true);
    setInterval(() => report(false), REPORT_INTERVAL_MS);
  });
  if (values.stay) return;
  process.stdin.on('data', () => report(true));
  process.stdin.on('end', () => process.exit(0));
}

main();

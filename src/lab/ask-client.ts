/**
 * A client that says who answered, started as a program of its own in one namespace: `ask-client.js http|udp ADDRESS
 * PORT COUNT [--concurrency N] [--timeout MS] [--source ADDRESS] [--upload BYTES] [--idle MS]`. Every question has a
 * connection, or a socket, of its own. With `--idle` each asks twice on its connection, and only when both are answered
 * is it counted as answered. It prints one JSON text: a list of `AskedAnswer`.
 */
import { createSocket } from 'node:dgram';
import { Agent, request } from 'node:http';
import { parseArgs } from 'node:util';
import { CLIENT_HEADER } from './addresses.ts';

export interface AskedAnswer {
  /** The server's name, or `null` without an answer. */
  readonly from: string | null;
  /** Where the server saw the client, when it says so. */
  readonly seenAs: string | null;
  /** Why there was none. */
  readonly error: string | null;
}

const GREETING = /^Hello from (\S+)(?: to (\S+))?/;
const NO_PROBES_MS = 3_600_000;
const NO_ANSWER = 'no answer in time';

interface Target {
  readonly address: string;
  readonly port: number;
  readonly timeoutMs: number;
  readonly source: string | undefined;
  readonly uploadBytes: number;
  readonly idleMs: number | null;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      concurrency: { type: 'string', default: '1' },
      timeout: { type: 'string', default: '4000' },
      source: { type: 'string' },
      upload: { type: 'string', default: '0' },
      idle: { type: 'string' },
    },
  });
  const [protocol, address = '', port, count] = positionals;
  const target: Target = {
    address,
    port: Number(port),
    timeoutMs: Number(values.timeout),
    source: values.source,
    uploadBytes: Number(values.upload),
    idleMs: values.idle === undefined ? null : Number(values.idle),
  };
  const ask = protocol === 'udp' ? askByDatagram : askByHttp;
  const answers: AskedAnswer[] = [];
  let left = Number(count);
  const client = async () => {
    while (left > 0) {
      left -= 1;
      answers.push(await ask(target));
    }
  };
  await Promise.all(Array.from({ length: Number(values.concurrency) }, client));
  process.stdout.write(`${JSON.stringify(answers)}\n`);
}

async function askByHttp(target: Target): Promise<AskedAnswer> {
  // Idle is idle: no probes of TCP's own, which would keep the connection known to those between.
  const agent = new Agent({ keepAlive: target.idleMs !== null, keepAliveMsecs: NO_PROBES_MS, maxSockets: 1 });
  try {
    const first = await askOnce(target, agent);
    if (target.idleMs === null || first.from === null) return first;
    await new Promise((resolve) => setTimeout(resolve, target.idleMs as number));
    return await askOnce(target, agent);
  } finally {
    agent.destroy();
  }
}

function askOnce(target: Target, agent: Agent): Promise<AskedAnswer> {
  return new Promise((resolve) => {
    const { address, port, source, uploadBytes } = target;
    const upload = uploadBytes > 0;
    const asked = request(
      { host: address, port, agent, localAddress: source, method: upload ? 'POST' : 'GET', path: '/' },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (piece: string) => (text += piece));
        response.on('end', () => end(response.statusCode === 200 ? null : `status ${response.statusCode}`, text));
        response.on('error', (error) => end(reasonOf(error), ''));
        const end = (error: string | null, body: string) => {
          clearTimeout(timer);
          const from = error === null ? (GREETING.exec(body)?.[1] ?? 'somebody unknown') : null;
          const header = response.headers[CLIENT_HEADER.toLowerCase()];
          resolve({ from, seenAs: typeof header === 'string' ? header.replace(/^::ffff:/, '') : null, error });
        };
      },
    );
    const timer = setTimeout(() => asked.destroy(new Error(NO_ANSWER)), target.timeoutMs);
    asked.on('error', (error) => {
      clearTimeout(timer);
      resolve({ from: null, seenAs: null, error: reasonOf(error) });
    });
    asked.end(upload ? Buffer.alloc(uploadBytes, 'x') : undefined);
  });
}

function askByDatagram({ address, port, source, timeoutMs }: Target): Promise<AskedAnswer> {
  return new Promise((resolve) => {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    const end = (answer: AskedAnswer) => {
      clearTimeout(timer);
      socket.close();
      resolve(answer);
    };
    const fail = (error: string) => end({ from: null, seenAs: null, error });
    const timer = setTimeout(() => fail(NO_ANSWER), timeoutMs);
    socket.on('error', (error) => fail(reasonOf(error)));
    socket.on('message', (bytes) => {
      const [, from = 'somebody unknown', seenAs = null] = GREETING.exec(String(bytes)) ?? [];
      end({ from, seenAs, error: null });
    });
    socket.bind({ address: source, port: 0 }, () => {
      // Connected, so that only the one who was asked can answer.
      socket.connect(port, address, (error?: Error) => {
        if (error) fail(reasonOf(error));
        else socket.send('hello');
      });
    });
  });
}

/** In words that do not change with the version of Node. */
function reasonOf(error: Error & { readonly code?: string }): string {
  const known: Readonly<Record<string, string>> = {
    ECONNREFUSED: 'connection refused',
    ECONNRESET: 'connection reset',
    EHOSTUNREACH: 'no route to host',
    ENETUNREACH: 'network unreachable',
    EADDRNOTAVAIL: 'no free source port',
    EPIPE: 'connection reset',
  };
  return known[error.code ?? ''] ?? error.message;
}

await main();

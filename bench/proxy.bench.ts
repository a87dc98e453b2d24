/**
 * `npm run bench:proxy`: what the socket proxy carries and what it costs. One file of 5 GB, two thousand connections at
 * once, both with checksums of the content, and ten thousand connections that say nothing; memory of the proxy all
 * the while. Client, proxy and server are processes of their own, on loopback.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const HOST = '127.0.0.1';
const PROGRAMS = new URL('../src/bin/', import.meta.url);
const BLOCK_BYTES = 1 << 20;
const BIG_BYTES = Number(process.env['BENCH_PROXY_BYTES'] ?? 5e9);
const MANY = 2_000;
const MANY_BYTES = 1_000_000;
/** Each takes two descriptors of the proxy. */
const IDLE = Number(process.env['BENCH_PROXY_IDLE'] ?? 10_000);

/** The same bytes for everybody, of a period that no buffer size divides. */
const PATTERN = Buffer.alloc(BLOCK_BYTES + 4_093);
for (let at = 0, value = 1; at < PATTERN.length; at++) {
  value = (value * 48_271) % 2_147_483_647;
  PATTERN[at] = value & 255;
}

/** Answers a line with a number by so many bytes of the pattern. */
function serve(): void {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (line) => void send(socket, Number(String(line))));
  });
  server.listen({ port: 0, host: HOST, backlog: 4_096 }, () => process.send?.((server.address() as AddressInfo).port));
  process.on('disconnect', () => process.exit(0));
}

async function send(socket: Socket, bytes: number): Promise<void> {
  for (let left = bytes; left > 0 && !socket.destroyed; left -= PATTERN.length) {
    const piece = left < PATTERN.length ? PATTERN.subarray(0, left) : PATTERN;
    if (!socket.write(piece)) await once(socket, 'drain').catch(() => {});
  }
  socket.end();
}

function expectedHash(bytes: number): string {
  const hash = createHash('sha256');
  for (let left = bytes; left > 0; left -= PATTERN.length)
    hash.update(PATTERN.subarray(0, Math.min(left, PATTERN.length)));
  return hash.digest('hex');
}

async function fetchHash(port: number, bytes: number): Promise<string> {
  const socket = connect({ host: HOST, port });
  const hash = createHash('sha256');
  socket.on('data', (piece) => hash.update(piece));
  socket.write(`${bytes}\n`);
  await once(socket, 'end');
  return hash.digest('hex');
}

/** Resident memory of a process in MB. */
function residentMb(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1_000;
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'uipvs-bench-'));
  const environment = { ...process.env, UIPVS_SOCKET: join(folder, 'proxy.sock') };
  const children: ChildProcess[] = [];
  try {
    const server = spawn(process.execPath, [fileURLToPath(import.meta.url), 'serve'], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    children.push(server);
    const [serverPort] = (await once(server, 'message')) as [number];
    const program = (name: string) => fileURLToPath(new URL(`${name}.js`, PROGRAMS));
    // Two file descriptors a connection: more than some machines allow until they are asked.
    const moreFiles = 'ulimit -n 40000 2> /dev/null; exec "$0" "$@"';
    const proxy = spawn('sh', ['-c', moreFiles, process.execPath, program('uipvsd'), '--data-plane', 'proxy'], {
      env: environment,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.push(proxy);
    await once(proxy.stdout!, 'data');
    const ipvsadm = async (...words: string[]): Promise<void> => {
      const [code] = await once(
        spawn(process.execPath, [program('uipvsadm'), ...words], { env: environment, stdio: 'inherit' }),
        'exit',
      );
      if (code !== 0) throw new Error(`ipvsadm ${words.join(' ')} ended with ${code}`);
    };
    const port = 20_000 + (process.pid % 10_000);
    await ipvsadm('-A', '-t', `${HOST}:${port}`, '-s', 'rr');
    await ipvsadm('-a', '-t', `${HOST}:${port}`, '-r', `${HOST}:${serverPort}`, '-m');
    const pid = proxy.pid as number;

    const samples: number[] = [];
    const watch = setInterval(() => samples.push(residentMb(pid)), 200);
    console.log(`proxy at rest: ${residentMb(pid).toFixed(0)} MB`);
    const idle: Socket[] = [];
    for (let i = 0; i < IDLE; i++) {
      // Ten ports of the client's range are one address more.
      const socket = connect({ host: HOST, port, localAddress: `127.0.1.${1 + (i % 10)}` });
      await once(socket, 'connect');
      idle.push(socket);
    }
    await new Promise((wake) => setTimeout(wake, 1_000));
    report(`${IDLE} idle connections`, idle.filter((socket) => !socket.destroyed).length, IDLE, samples.splice(0));
    for (const socket of idle) socket.destroy();
    await new Promise((wake) => setTimeout(wake, 1_000));
    samples.length = 0;

    const begunMs = performance.now();
    const big = await fetchHash(port, BIG_BYTES);
    const seconds = (performance.now() - begunMs) / 1_000;
    report(`one file of ${BIG_BYTES / 1e9} GB`, big === expectedHash(BIG_BYTES) ? 1 : 0, 1, samples.splice(0));
    console.log(`  ${((BIG_BYTES * 8) / seconds / 1e9).toFixed(2)} Gbit/s, hashing included`);

    const expected = expectedHash(MANY_BYTES);
    const hashes = await Promise.all(Array.from({ length: MANY }, () => fetchHash(port, MANY_BYTES)));
    report(
      `${MANY} connections at once, 1 MB each`,
      hashes.filter((hash) => hash === expected).length,
      MANY,
      samples.splice(0),
    );

    clearInterval(watch);
  } finally {
    for (const child of children) child.kill();
    rmSync(folder, { recursive: true, force: true });
  }
}

function report(what: string, good: number, all: number, samples: readonly number[]): void {
  const half = Math.floor(samples.length / 2);
  const most = (part: readonly number[]) => Math.max(0, ...part).toFixed(0);
  console.log(
    `${what}: ${good} of ${all} right; proxy's memory at most ${most(samples.slice(0, half))} MB in the first half, ${most(samples.slice(half))} MB in the second`,
  );
}

if (process.argv[2] === 'serve') serve();
else await main();

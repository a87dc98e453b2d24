/**
 * What several workers bring, and what they cost. A generator on the same machine would need the processors that are
 * measured, so it never runs at the same time: uipvsd is stopped (SIGSTOP) while 40 000 small UDP packets of 240 clients
 * are sent into its rings, then goes on. Taken is the time until all have left by NAT, which means something only on a
 * machine that is otherwise idle, and the processor time of each worker, which always does: the busiest one says how fast
 * they are together when each has a processor. And: what a flood costs its sender with each shard that asks every packet
 * whether it is its own. Needs root; makes and removes three namespaces.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { median } from './statistics.ts';
import { formatMarkdown } from './text-table.ts';

/** `npm run bench:shards -- 2 1 2 4`: rounds, then numbers of shards. */
const [ROUNDS = 3, ...WORDS] = process.argv.slice(2).map(Number);
const SHARDS = WORDS.length === 0 ? [1, 2, 4] : WORDS;
const PACKETS = 40_000;
const CLIENTS = 240;
const VIP = '10.80.0.100';
const PATIENCE_MS = 20_000;
const names = ['client', 'director', 'server'].map((role) => `uipvs-shards-${process.pid}-${role}`);
const [client, director, server] = names as [string, string, string];

/** Killed by somebody: what was made goes all the same. */
process.on('SIGTERM', () => process.exit(1));
process.on('SIGINT', () => process.exit(1));
process.on('exit', () => remove());

const path = (place: string) => fileURLToPath(new URL(place, import.meta.url));
const inside = (namespace: string, command: string) =>
  execFileSync('ip', ['netns', 'exec', namespace, 'sh', '-c', command], { encoding: 'utf8' });
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const SEND = `
const dgram = require('node:dgram');
const payload = Buffer.alloc(18);
const each = Math.ceil(Number(process.argv[1]) / ${CLIENTS});
(async () => {
  for (let n = 0; n < ${CLIENTS}; n++) {
    const socket = dgram.createSocket('udp4');
    await new Promise((resolve) => socket.bind(4000, '10.80.1.' + (n + 1), resolve));
    for (let sent = 0; sent < each; sent += 100) {
      await Promise.all([...Array(Math.min(100, each - sent))].map(() => new Promise((resolve) => socket.send(payload, 9, '${VIP}', resolve))));
    }
    socket.close();
  }
})();`;

function remove(): void {
  for (const name of names) {
    try {
      execFileSync('sh', ['-c', `ip netns pids ${name} | xargs -r kill -9; ip netns delete ${name}`], {
        stdio: 'ignore',
      });
    } catch {
      // It was not made, or is gone already.
    }
  }
}

function build(): void {
  for (const name of names) execFileSync('ip', ['netns', 'add', name]);
  inside(
    director,
    `
    ip link set lo up
    ip link add c0 type veth peer name eth0 netns ${client}; ip link add s0 type veth peer name eth0 netns ${server}
    ip link set c0 address 02:00:00:00:00:01; ip link set c0 up; ip link set s0 up
    ip address add 10.80.0.1/16 dev c0; ip address add 10.81.0.1/16 dev s0; ip address add ${VIP}/32 dev c0`,
  );
  inside(client, 'ip link set eth0 up; ip address add 10.80.0.2/16 dev eth0');
  inside(client, `for n in $(seq ${CLIENTS}); do ip address add 10.80.1.$n/16 dev eth0; done`);
  inside(
    server,
    `
    ip link set eth0 up; ip address add 10.81.0.11/16 dev eth0; ip route add default via 10.81.0.1
    nft 'table netdev t { chain i { type filter hook ingress device eth0 priority 0; ip protocol udp drop; }; }'`,
  );
}

async function startDaemon(shards: number): Promise<ChildProcess> {
  const socket = `/tmp/${names[1]}.sock`;
  const program = path('../src/bin/uipvsd.js');
  const words = ['--shards', `${shards}`, '--ring-slots', '65536', '--link', 'c0', '--link', 's0', '--socket', socket];
  const daemon = spawn('ip', ['netns', 'exec', director, process.execPath, program, ...words], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  await new Promise((resolve, reject) => {
    daemon.stdout?.once('data', resolve);
    daemon.once('exit', () => reject(new Error('uipvsd did not start')));
  });
  const adm = (words: string) =>
    inside(director, `UIPVS_SOCKET=${socket} ${process.execPath} ${path('../src/bin/uipvsadm.js')} ${words}`);
  adm(`-A -u ${VIP}:9 -s rr`);
  adm(`-a -u ${VIP}:9 -r 10.81.0.11:9 -m`);
  return daemon;
}

const received = () => Number(inside(server, 'cat /sys/class/net/eth0/statistics/rx_packets'));

interface Drained {
  /** Thousand packets a second. */
  readonly rate: number;
  /** Processor time for a packet, in nanoseconds: of all workers, and of the busiest alone. */
  readonly totalNs: number;
  readonly busiestNs: number;
}

/** Processor time of each thread so far, in nanoseconds. Workers are those that use most of it. */
function threadTimes(pid: number): Map<string, number> {
  const threads = readdirSync(`/proc/${pid}/task`);
  return new Map(
    threads.map((id) => [id, Number(readFileSync(`/proc/${pid}/task/${id}/schedstat`, 'utf8').split(' ')[0])]),
  );
}

async function drain(daemon: ChildProcess, shards: number): Promise<Drained> {
  inside(client, `${process.execPath} -e "${SEND.replaceAll('"', '\\"').replaceAll('\n', ' ')}" 6400`);
  await sleep(300);
  daemon.kill('SIGSTOP');
  inside(client, `${process.execPath} -e "${SEND.replaceAll('"', '\\"').replaceAll('\n', ' ')}" ${PACKETS}`);
  const before = threadTimes(daemon.pid as number);
  const watch = spawn('ip', ['netns', 'exec', server, process.execPath, '-e', WATCH, `${received() + PACKETS}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const said = new Promise<number>((resolve) => {
    let text = '';
    watch.stdout.on('data', (data) => {
      text += data;
      if (text === 'ready\n') {
        beginMs = performance.timeOrigin + performance.now();
        daemon.kill('SIGCONT');
      }
    });
    watch.once('exit', () => resolve(Number(text.split('\n')[1])));
  });
  let beginMs = 0;
  const endMs = await said;
  if (!(endMs > 0)) throw new Error('not all packets arrived');
  const after = threadTimes(daemon.pid as number);
  const used = [...after].map(([id, time]) => time - (before.get(id) ?? time)).sort((a, b) => b - a);
  const workers = used.slice(0, shards);
  return {
    rate: PACKETS / (endMs - beginMs),
    totalNs: workers.reduce((total, time) => total + time, 0) / PACKETS,
    busiestNs: (workers[0] as number) / PACKETS,
  };
}

/** Looks a thousand times a second, so that it takes no processor worth mentioning. */
const WATCH = `
const { readFileSync } = require('node:fs');
const goal = Number(process.argv[1]) - 64;
console.log('ready');
const began = performance.now();
const timer = setInterval(() => {
  const count = Number(readFileSync('/sys/class/net/eth0/statistics/rx_packets', 'utf8'));
  if (count >= goal) { console.log(performance.timeOrigin + performance.now()); clearInterval(timer); }
  else if (performance.now() - began > ${PATIENCE_MS}) { console.log(0); clearInterval(timer); }
}, 1);`;

/** Processor time that a packet costs its sender while nobody reads the rings, in nanoseconds. */
function flood(daemon: ChildProcess): number {
  daemon.kill('SIGSTOP');
  const mac = inside(client, 'cat /sys/class/net/eth0/address').trim();
  const words = ['2', '0', mac, '02:00:00:00:00:01', '10.80.0.2', VIP, '5000', '9', '16', 'client'];
  const program = `${process.execPath} ${path('./peers/programs/packet-flood.js')} ${words.join(' ')}`;
  const lines = inside(client, `${program} | tail -1; times`).trim().split('\n');
  const [said = '', , children = ''] = lines;
  daemon.kill('SIGCONT');
  const { sent } = JSON.parse(said) as { sent: number };
  const seconds = [...children.matchAll(/(\d+)m([\d.]+)s/g)].reduce(
    (sum, [, m, s]) => sum + Number(m) * 60 + Number(s),
    0,
  );
  return (seconds / sent) * 1e9;
}

const drained = new Map<number, Drained[]>(SHARDS.map((shards) => [shards, []]));
const flooded = new Map<number, number[]>(SHARDS.map((shards) => [shards, []]));
try {
  build();
  for (let round = 0; round < ROUNDS; round++) {
    for (const shards of SHARDS) {
      const daemon = await startDaemon(shards);
      const gone = new Promise((resolve) => daemon.once('exit', resolve));
      try {
        // Not counted: the compiler has to warm up.
        await drain(daemon, shards);
        for (let n = 0; n < 3; n++) drained.get(shards)?.push(await drain(daemon, shards));
        flooded.get(shards)?.push(flood(daemon));
        console.error(
          `round ${round + 1}, ${shards} shards: ${drained.get(shards)?.map(({ busiestNs }) => Math.round(busiestNs))}`,
        );
      } finally {
        daemon.kill('SIGCONT');
        daemon.kill('SIGTERM');
        await gone;
      }
    }
  }
} finally {
  remove();
}

const text = (values: readonly number[]) =>
  `${median(values).toFixed(0)} (${Math.min(...values).toFixed(0)}..${Math.max(...values).toFixed(0)})`;
const of = (shards: number, what: keyof Drained) => (drained.get(shards) ?? []).map((each) => each[what]);
const base = median(of(1, 'busiestNs'));
console.log(
  formatMarkdown(
    [
      'shards',
      'thousand packets/s',
      'ns a packet, all workers',
      'ns a packet, the busiest',
      'faster',
      'ns a packet, its sender',
    ],
    SHARDS.map((shards) => [
      `${shards}`,
      text(of(shards, 'rate')),
      text(of(shards, 'totalNs')),
      text(of(shards, 'busiestNs')),
      (base / median(of(shards, 'busiestNs'))).toFixed(2),
      text(flooded.get(shards) ?? []),
    ]),
  ),
);

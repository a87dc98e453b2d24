/**
 * Three hosts for the fast path: the real `uipvsd` between a client and a server, which have a second cable between them
 * for what direct routing answers. What the server counts with nftables is what the balancer's counters have to say.
 *
 *     client 10.0.0.1 -- c0 d0 -- [director] -- d1 s0 -- 10.0.1.1 server
 *            10.0.2.1 -- c1 -------------------------- s1 -- 10.0.2.2
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectDataPlane, type RemoteDataPlane } from '../../../src/control/client.ts';
import type { EngineCounters, FastPathCounters } from '../../../src/model/commands.ts';
import type { ForwardingMethod } from '../../../src/model/forwarding.ts';
import type { ServiceProtocol, ServiceSpec } from '../../../src/model/service.ts';
import type { Statistics } from '../../../src/model/statistics.ts';
import { getLibc } from '../../../src/native/libc.ts';
import { fastPathRefused } from '../../../src/packet-io/fast-path/kernel-fast-path.ts';
import { packetRing } from '../../../src/packet-io/packet-ring.ts';
import { Namespace, whySkipped } from './namespace.ts';
import { destination, key, service } from './specs.ts';

export const VIP = { 4: '192.0.2.10', 6: 'fd02::10' } as const;
export const SERVER = { 4: '10.0.1.1', 6: 'fd01::1' } as const;
export type Family = keyof typeof VIP;
/** The server listens there, for TCP and UDP. */
export const SERVER_PORT = 8080;
const PATIENCE_MS = 20_000;

/** Why there is no fast path to try here, or `null`. */
export async function fastPathSkipped(): Promise<string | null> {
  return whySkipped() ?? (await packetRing.unavailable()) ?? fastPathRefused(getLibc());
}

export class FastPathLab {
  readonly client = new Namespace();
  readonly director = new Namespace();
  readonly server = new Namespace();
  readonly #compiled: string;
  readonly #folder = mkdtempSync(join(tmpdir(), 'uipvs-fast-path-'));
  readonly #programs: Program[] = [];
  #daemon: ChildProcess | null = null;
  plane!: RemoteDataPlane;

  constructor(compiledFolder: string) {
    this.#compiled = compiledFolder;
    const { client, director, server } = this;
    for (const each of [client, director, server]) {
      each.run('sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0');
    }
    director.run(`
      ip link add d0 type veth peer name c0 netns ${client.name}
      ip link add d1 type veth peer name s0 netns ${server.name}
      ip address add 10.0.0.254/24 dev d0 && ip address add fd00::fe/64 dev d0 nodad && ip link set d0 up
      ip address add 10.0.1.254/24 dev d1 && ip address add fd01::fe/64 dev d1 nodad && ip link set d1 up
      ip address add ${VIP[4]}/32 dev lo && ip address add ${VIP[6]}/128 dev lo nodad`);
    client.run(`
      ip link add c1 type veth peer name s1 netns ${server.name}
      ip address add 10.0.0.1/24 dev c0 && ip address add fd00::1/64 dev c0 nodad && ip link set c0 up
      ip address add 10.0.2.1/24 dev c1 && ip address add fd03::1/64 dev c1 nodad && ip link set c1 up
      ip route add default via 10.0.0.254 && ip route add default via fd00::fe
      sysctl -qw net.ipv4.conf.all.arp_notify=1`);
    server.run(`
      ip address add ${SERVER[4]}/24 dev s0 && ip address add ${SERVER[6]}/64 dev s0 nodad && ip link set s0 up
      ip address add 10.0.2.2/24 dev s1 && ip address add fd03::2/64 dev s1 nodad && ip link set s1 up
      ip route add default via 10.0.1.254 && ip route add default via fd01::fe
      ip address add ${VIP[4]}/32 dev lo && ip address add ${VIP[6]}/128 dev lo nodad
      ip rule add from ${VIP[4]} table 100 && ip route add default via 10.0.2.1 table 100
      ip -6 rule add from ${VIP[6]} table 100 && ip -6 route add default via fd03::1 table 100`);
    server.run(`nft -f - <<'END'
      table inet count {
        counter in_tcp { }
        counter out_tcp { }
        counter in_udp { }
        counter out_udp { }
        chain came { type filter hook prerouting priority -300; tcp dport ${SERVER_PORT} counter name in_tcp; udp dport ${SERVER_PORT} counter name in_udp; }
        chain left { type filter hook postrouting priority 300; tcp sport ${SERVER_PORT} counter name out_tcp; udp sport ${SERVER_PORT} counter name out_udp; }
      }
END`);
  }

  get socket(): string {
    return join(this.#folder, 'daemon.sock');
  }

  get daemonPid(): number {
    return this.#daemon?.pid as number;
  }

  /** Starts `uipvsd` with these words. */
  async startDaemon(...words: string[]): Promise<void> {
    const daemon = spawn('ip', [...this.#inside('uipvsd'), '--data-plane', 'packet', ...words], {
      env: this.#environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#daemon = daemon;
    let said = '';
    daemon.stderr.on('data', (text) => (said += text));
    await new Promise((resolve, reject) => {
      daemon.stdout.once('data', resolve);
      daemon.once('exit', (code) => reject(new Error(`uipvsd ended with ${code}: ${said}`)));
    });
    this.plane = await connectDataPlane(this.socket);
  }

  async endDaemon(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    const daemon = this.#daemon;
    if (daemon === null) return;
    this.#daemon = null;
    const closed = new Promise((resolve) => daemon.once('close', resolve));
    daemon.kill(signal);
    await closed;
    await this.plane?.close();
  }

  /** Runs one of our programs in the director to its end; what it wrote. */
  run(program: 'uipvs' | 'uipvsadm', ...words: string[]): string {
    const { stdout, stderr, status } = spawnSync('ip', [...this.#inside(program), ...words], {
      env: this.#environment,
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(`${program} ${words.join(' ')} ended with ${status}: ${stderr}`);
    return stdout;
  }

  /** The same without waiting for it. */
  start(program: 'uipvs' | 'uipvsadm', ...words: string[]): ChildProcess {
    return spawn('ip', [...this.#inside(program), ...words], {
      env: this.#environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  /** A service on the VIP with the server behind it. */
  async serve(
    family: Family,
    port: number,
    method: ForwardingMethod,
    change: Partial<ServiceSpec> = {},
    protocol: ServiceProtocol = 'tcp',
  ): Promise<void> {
    const serviceKey = key(VIP[family], port, protocol);
    await this.plane.execute({ name: 'addService', service: { ...service(serviceKey), ...change } });
    await this.plane.execute({
      name: 'addDestination',
      service: serviceKey,
      destination: destination(SERVER[family], method === 'direct' ? port : SERVER_PORT, method),
    });
  }

  async counters(): Promise<EngineCounters> {
    return await this.plane.execute<'getCounters'>({ name: 'getCounters' });
  }

  async fastPath(): Promise<FastPathCounters> {
    const { fastPath } = await this.counters();
    if (fastPath === undefined) throw new Error('there is no fast path');
    return fastPath;
  }

  /** Frames that were lost before the engine read them, or that a link refused. */
  async lostFrames(): Promise<number> {
    const { links } = await this.plane.execute<'getLinkCounters'>({ name: 'getLinkCounters' });
    let lost = 0;
    for (const { receiveDrops, transmitErrors } of links) {
      lost += receiveDrops + Object.values(transmitErrors).reduce((sum, count) => sum + count, 0);
    }
    return lost;
  }

  /** Packets and IP bytes at the server's hooks, in the words of the balancer's statistics. */
  counted(protocol: 'tcp' | 'udp'): Omit<Statistics, 'connections'> {
    const { nftables } = JSON.parse(this.server.run('nft -j list counters')) as {
      nftables: { counter?: { name: string; packets: number; bytes: number } }[];
    };
    const of = (way: string) => nftables.find(({ counter }) => counter?.name === `${way}_${protocol}`)?.counter;
    const [came, left] = [of('in'), of('out')];
    return {
      inPackets: came?.packets ?? -1,
      inBytes: came?.bytes ?? -1,
      outPackets: left?.packets ?? -1,
      outBytes: left?.bytes ?? -1,
    };
  }

  /** The row of the only server of the only service, as `uipvsadm -Ln --stats --exact` prints it. */
  statistics(): Statistics {
    const row = this.run('uipvsadm', '-Ln', '--stats', '--exact').trimEnd().split('\n').at(-1) as string;
    const [connections, inPackets, outPackets, inBytes, outBytes] = row.trim().split(/\s+/).slice(2).map(Number);
    return { connections, inPackets, outPackets, inBytes, outBytes } as Statistics;
  }

  /** The same once it tells of so many packets, or after a while: what is listed follows the traffic by two seconds. */
  async statisticsOnce(inPackets: number): Promise<Statistics> {
    const endMs = performance.now() + 3_000;
    for (;;) {
      const statistics = this.statistics();
      if (statistics.inPackets >= inPackets || performance.now() > endMs) return statistics;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  /** Active and inactive connections in the same row of `uipvsadm -Ln`. */
  loads(): { active: number; inactive: number } {
    const row = this.run('uipvsadm', '-Ln').trimEnd().split('\n').at(-1) as string;
    const [active, inactive] = row.trim().split(/\s+/).slice(-2).map(Number);
    return { active: active as number, inactive: inactive as number };
  }

  /** The connection of the client with that port, in the words of `uipvsadm -Lnc`: seconds left and state. */
  connection(clientPort: unknown): { expiresSeconds: number; state: string } | null {
    for (const row of this.run('uipvsadm', '-Lnc').trimEnd().split('\n').slice(2)) {
      const [, expires, state, client] = row.trim().split(/\s+/) as [string, string, string, string];
      const [minutes, seconds] = expires.split(':').map(Number) as [number, number];
      if (client.endsWith(`:${clientPort}`)) return { expiresSeconds: 60 * minutes + seconds, state };
    }
    return null;
  }

  /** Starts a Node program in a namespace, which writes one JSON text a line and reads words from its standard input. */
  program(where: Namespace, code: string, ...words: (string | number)[]): Program {
    const program = new Program(where, code, words);
    this.#programs.push(program);
    return program;
  }

  /** Ends what tests have begun, but not the network. */
  async clear(): Promise<void> {
    for (const program of this.#programs.splice(0)) program.kill();
    if (this.#daemon !== null) await this.plane.execute({ name: 'flush' });
  }

  async close(): Promise<void> {
    for (const program of this.#programs.splice(0)) program.kill();
    await this.endDaemon();
    for (const each of [this.client, this.director, this.server]) await each.remove();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  get #environment(): NodeJS.ProcessEnv {
    return { ...process.env, UIPVS_SOCKET: this.socket, NO_COLOR: '1' };
  }

  #inside(program: string): string[] {
    return ['netns', 'exec', this.director.name, process.execPath, join(this.#compiled, `bin/${program}.js`)];
  }
}

/** A process that tells what it does in lines of JSON. */
export class Program {
  readonly #child: ChildProcess;
  readonly #lines: Record<string, unknown>[] = [];
  #readCount = 0;
  #rest = '';
  #onLine: () => void = () => {};
  #over = false;

  constructor({ name }: Namespace, code: string, words: readonly (string | number)[]) {
    this.#child = spawn('ip', ['netns', 'exec', name, process.execPath, '-e', code, ...words.map(String)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#child.stdin?.on('error', () => {});
    this.#child.stdout?.on('data', (text) => {
      const lines = `${this.#rest}${text}`.split('\n');
      this.#rest = lines.pop() as string;
      this.#lines.push(...lines.map((line) => JSON.parse(line)));
      this.#onLine();
    });
    this.#child.once('close', () => {
      this.#over = true;
      this.#onLine();
    });
  }

  /** The last line so far. */
  get last(): Record<string, unknown> {
    return this.#lines.at(-1) ?? {};
  }

  say(word: string): void {
    this.#child.stdin?.write(`${word}\n`);
  }

  /** Resolves to the next line with that word in it that is not yet read. Lines before it are read then. */
  says(word: string, patienceMs?: number): Promise<Record<string, unknown>> {
    return this.until((line) => word in line, patienceMs);
  }

  /** The same for the first of which that is true. */
  async until(isIt: (line: Record<string, unknown>) => boolean, patienceMs: number = PATIENCE_MS) {
    const endMs = performance.now() + patienceMs;
    for (;;) {
      for (; this.#readCount < this.#lines.length; this.#readCount++) {
        const line = this.#lines[this.#readCount] as Record<string, unknown>;
        if (isIt(line)) return line;
      }
      const leftMs = endMs - performance.now();
      if (this.#over || leftMs <= 0) {
        throw new Error(`${this.#over ? 'it ended' : 'too late'}; its last words: ${JSON.stringify(this.last)}`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#onLine = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

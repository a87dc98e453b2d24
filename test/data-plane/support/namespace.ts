/** Network namespaces for tests, and data planes running inside them. Root only. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from '../../../src/model/commands.ts';
import type { DataPlaneEvent } from '../../../src/model/events.ts';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const PLANE_PROCESS = fileURLToPath(new URL('./plane-process.mjs', import.meta.url));

/** Why these tests cannot run here, or `null`. */
export function whySkipped(): string | null {
  if (process.getuid?.() !== 0) return 'needs root';
  try {
    execFileSync('nft', ['--version'], { stdio: 'ignore' });
    execFileSync('ip', ['-Version'], { stdio: 'ignore' });
  } catch {
    return 'needs nft and ip';
  }
  return null;
}

/** Node 20 runs no TypeScript, and workers and processes start from files: compiles the sources once. */
export function compileSources(): { folder: string; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), 'uidp-'));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  try {
    execFileSync(join(ROOT, 'node_modules/.bin/tsc'), ['-p', join(ROOT, 'tsconfig.json'), '--outDir', folder]);
  } catch (error) {
    // Type errors are another check's business, as long as the code is there.
    if (!existsSync(join(folder, 'src/data-plane/packet/packet-data-plane.js'))) throw error;
  }
  return { folder: join(folder, 'src'), remove: () => rmSync(folder, { recursive: true }) };
}

let created = 0;

export class Namespace {
  readonly name: string;
  readonly #planes: PlaneProcess[] = [];
  readonly #servers: ChildProcess[] = [];

  constructor(prefix = 'uidp') {
    created += 1;
    this.name = `${prefix}-${process.pid}-${created}`;
    execFileSync('ip', ['netns', 'add', this.name]);
    this.run('ip link set lo up');
  }

  run(command: string): string {
    return execFileSync('ip', ['netns', 'exec', this.name, 'sh', '-c', command], { encoding: 'utf8' });
  }

  /** A server in this namespace that greets everybody with its name. */
  async serve(port: number, greeting: string): Promise<void> {
    const code = `net.createServer((s) => s.end('${greeting}')).listen(${port}, () => console.log('listening'))`;
    const server = spawn('ip', ['netns', 'exec', this.name, process.execPath, '-e', code], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#servers.push(server);
    await new Promise((resolve) => server.stdout.once('data', resolve));
  }

  /** Connects from this namespace: the server's greeting, the error's code, or `silence`. */
  connect(address: string, port: number, localPort = 0): string {
    const code = `
      const socket = net.connect({ host: '${address}', port: ${port}, localPort: ${localPort} });
      const say = (word) => { console.log(word); process.exit(); };
      socket.on('data', (data) => say(String(data)));
      socket.on('error', (error) => say(error.code));
      setTimeout(say, 700, 'silence');`;
    return execFileSync('ip', ['netns', 'exec', this.name, process.execPath, '-e', code], { encoding: 'utf8' }).trim();
  }

  /** Starts a Node program that writes a line when it is ready, and ends with the namespace. */
  async program(code: string, ...args: string[]): Promise<void> {
    const server = spawn('ip', ['netns', 'exec', this.name, process.execPath, '-e', code, ...args], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#servers.push(server);
    await new Promise((resolve) => server.stdout.once('data', resolve));
  }

  /** Runs a Node program to its end and returns what it wrote. */
  evaluate(code: string): string {
    return execFileSync('ip', ['netns', 'exec', this.name, process.execPath, '-e', code], { encoding: 'utf8' }).trim();
  }

  /** What a data plane must not leave behind: rules and links, without the counters of traffic. */
  traces(): string {
    return this.run('nft list ruleset; ip -o link; ip -o address; ip route show table all');
  }

  async plane(compiledFolder: string): Promise<PlaneProcess> {
    const plane = new PlaneProcess(this.name, compiledFolder);
    this.#planes.push(plane);
    await plane.heard((event) => (event as { type: string }).type === 'born');
    return plane;
  }

  async remove(): Promise<void> {
    for (const server of this.#servers) server.kill('SIGKILL');
    for (const plane of this.#planes) await plane.kill();
    execFileSync('ip', ['netns', 'delete', this.name]);
  }
}

export class PlaneProcess {
  readonly events: DataPlaneEvent[] = [];
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve(answer: unknown): void; reject(error: unknown): void }>();
  readonly #exited: Promise<unknown>;
  #nextId = 1;
  #onEvent: () => void = () => {};

  constructor(namespace: string, compiledFolder: string) {
    this.#child = spawn('ip', ['netns', 'exec', namespace, process.execPath, PLANE_PROCESS, compiledFolder], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#child.on('message', (message) => {
      const { id, answer, error, event } = message as Record<string, never>;
      if (event !== undefined) {
        this.events.push(event);
        this.#onEvent();
      } else if (error === undefined) this.#waiting.get(id)?.resolve(answer);
      else this.#waiting.get(id)?.reject(Object.assign(new Error((error as Error).message), error));
    });
    this.#exited = new Promise((resolve) => this.#child.on('exit', resolve));
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  start(options: object = {}): Promise<unknown> {
    return this.#order({ order: 'start', options });
  }

  execute(command: Command): Promise<unknown> {
    return this.#order({ order: 'execute', command });
  }

  executeAll(commands: Command[]): Promise<number> {
    return this.#order({ order: 'executeAll', commands }) as Promise<number>;
  }

  executeInTurn(commands: Command[]): Promise<number> {
    return this.#order({ order: 'executeInTurn', commands }) as Promise<number>;
  }

  /** Ends one of its workers, by the order in which they began. */
  strike(worker: number): Promise<unknown> {
    return this.#order({ order: 'strike', worker });
  }

  async close(): Promise<void> {
    await this.#order({ order: 'close' });
    await this.#exited;
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
  }

  /** Resolves when such an event has come, or comes. */
  heard(isIt: (event: DataPlaneEvent) => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (this.events.some(isIt)) resolve();
      };
      this.#onEvent = look;
      look();
    });
  }

  #order(message: object): Promise<unknown> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.send({ ...message, id });
    });
  }
}

/** Looks again and again, for at most `timeoutMs`: for what another process does in its own time. */
export async function eventually(isTrue: () => boolean, timeoutMs: number): Promise<number> {
  const beginMs = performance.now();
  while (!isTrue()) {
    if (performance.now() - beginMs > timeoutMs) throw new Error(`not true within ${timeoutMs} ms: ${isTrue}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return performance.now() - beginMs;
}

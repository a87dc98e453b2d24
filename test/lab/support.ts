/** Runs `uipvs lab` as a user would, on a host of its own: a network and a mount namespace with an empty /run. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { LabResult } from '../../src/lab/report.ts';

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const PROGRAM = join(ROOT, 'dist/bin/uipvs.js');
const PATH = `${process.env['PATH']}:/usr/sbin:/sbin`;

/** An ordinary user becomes root of a namespace first, where the kernel allows it. */
const UNSHARE = process.getuid?.() === 0 ? ['unshare', '-n', '-m'] : ['unshare', '-U', '-r', '-n', '-m'];
const EMPTY_RUN = 'mount -n -t tmpfs tmpfs /run && mkdir /run/netns && ip link set lo up && exec "$@"';

/** Why a lab cannot run here with this back end and these further programs, in words, or `null`. */
export function whyNoLab(io: string, programs: readonly string[] = []): string | null {
  const missing = ['ip', 'nft', 'ab', 'ping', 'unshare', ...programs].filter((program) => !onPath(program));
  if (missing.length > 0) return `needs ${missing.join(', ')}`;
  if (!existsSync(PROGRAM)) return 'needs the built programs (npm test builds them)';
  if (!mayMakeNamespaces()) return 'needs root, or a kernel that lets ordinary users make network namespaces';
  if (io === 'macvtap') {
    return process.getuid?.() === 0 ? null : 'needs root: device nodes cannot be made in namespaces of ordinary users';
  }
  const packages = io === 'pcap' ? ['cap', 'raw-socket'] : ['koffi'];
  const unusable = packages.filter((name) => !canLoad(name));
  return unusable.length > 0 ? `needs the npm package ${unusable.join(', ')}, which could not be built here` : null;
}

function onPath(program: string): boolean {
  return PATH.split(':').some((folder) => existsSync(join(folder, program)));
}

function mayMakeNamespaces(): boolean {
  const [command, ...words] = [...UNSHARE, 'sh', '-c', EMPTY_RUN, 'sh', 'ip', 'netns', 'add', 'try'];
  return spawnSync(command, words, { env: { ...process.env, PATH } }).status === 0;
}

function canLoad(name: string): boolean {
  try {
    createRequire(import.meta.url)(name);
    return true;
  } catch {
    return false;
  }
}

/** A host for labs. What happens in it touches no other; `close` ends everything in it. */
export class LabHost {
  /** Sleeps; its namespaces are the host's. */
  readonly #keeper: ChildProcess;
  readonly #runs: LabRun[] = [];

  private constructor(keeper: ChildProcess) {
    this.#keeper = keeper;
  }

  static async open(): Promise<LabHost> {
    const [command, ...words] = [...UNSHARE, 'sh', '-c', EMPTY_RUN, 'sh', 'sh', '-c', 'echo up; exec sleep 600'];
    const keeper = spawn(command, words, { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, PATH } });
    await new Promise((resolve) => keeper.stdout?.once('data', resolve));
    return new LabHost(keeper);
  }

  /** The words that run `command` on this host. */
  inside(command: readonly string[]): string[] {
    const user = process.getuid?.() === 0 ? [] : ['-U', '--preserve-credentials'];
    return ['nsenter', '-t', String(this.#keeper.pid), ...user, '-n', '-m', '--', ...command];
  }

  /** Runs a command to its end; its standard output. */
  output(...command: string[]): string {
    const [program, ...words] = this.inside(command);
    const { status, stdout, stderr } = spawnSync(program, words, { encoding: 'utf8', env: { ...process.env, PATH } });
    if (status !== 0) throw new Error(`${command.join(' ')} ended with ${status}: ${stderr}`);
    return stdout;
  }

  /** Starts `uipvs lab` with these words. */
  start(...words: string[]): LabRun {
    const [program, ...rest] = this.inside([process.execPath, PROGRAM, 'lab', ...words]);
    const run = new LabRun(spawn(program, rest, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, PATH } }));
    this.#runs.push(run);
    return run;
  }

  /** Everything a lab could leave on a host: namespaces, links, addresses, routes, firewall, bridges' settings. */
  traces(): Record<string, string> {
    return {
      namespaces: this.output('ip', 'netns', 'list'),
      links: this.output('ip', '-o', 'address'),
      routes: this.output('ip', 'route', 'show', 'table', 'all'),
      firewall: this.output('nft', 'list', 'ruleset'),
      forwarding: this.output('cat', '/proc/sys/net/ipv4/ip_forward'),
      run: this.output('ls', '/run'),
    };
  }

  /** A failed test may leave labs running; they are asked to end, as Ctrl-C would. */
  async close(): Promise<void> {
    for (const run of this.#runs) {
      run.process.kill('SIGTERM');
      await run.ended();
    }
    this.#keeper.kill('SIGKILL');
  }
}

/** One `uipvs lab` under way. */
export class LabRun {
  readonly process: ChildProcess;
  stdout = '';
  stderr = '';
  readonly #ended: Promise<number>;

  constructor(process_: ChildProcess) {
    this.process = process_;
    process_.stdout?.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    process_.stderr?.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.#ended = new Promise((resolve) => process_.on('close', (code) => resolve(code ?? 128)));
  }

  /** Resolves to the exit status, as a shell would tell it. */
  ended(): Promise<number> {
    return this.#ended;
  }

  /** Resolves once standard error holds this text. */
  async says(text: string): Promise<void> {
    while (!this.stderr.includes(text)) {
      if (this.process.exitCode !== null) throw new Error(`the lab ended before it said "${text}":\n${this.stderr}`);
      await new Promise((resolve) => {
        this.process.stderr?.once('data', resolve);
        this.process.once('close', resolve);
      });
    }
  }

  /** The id in the lab's own words. */
  get id(): string {
    const id = /\(lab ([0-9a-f]{6})\)/.exec(this.stderr)?.[1];
    if (id === undefined) throw new Error(`no lab was begun:\n${this.stderr}`);
    return id;
  }

  /** The result: the last line of standard output. Throws with everything it said when the lab failed. */
  async result(): Promise<LabResult> {
    const status = await this.ended();
    if (status !== 0) throw new Error(`the lab ended with ${status}:\n${this.stderr}`);
    return JSON.parse(this.stdout.trimEnd().split('\n').at(-1) ?? '') as LabResult;
  }

  /**
   * The same, or the reason in uipvsd's own words when it refused something that it does not do yet. Everything else
   * that goes wrong throws.
   */
  async resultOrRefusal(): Promise<LabResult | { readonly refused: string }> {
    const status = await this.ended();
    const refused = /^(?:.*(?:refused what this lab needs|uipvs): )(.+: not supported yet)$/m.exec(this.stderr)?.[1];
    return status !== 0 && refused !== undefined ? { refused: `uipvsd says: ${refused}` } : this.result();
  }

  /** Processes anywhere on this machine that carry the mark of this lab. */
  processes(): number[] {
    return readdirSync('/proc')
      .filter((name) => /^[0-9]+$/.test(name))
      .map(Number)
      .filter((pid) => {
        try {
          return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(`UIPVS_LAB=${this.id}`);
        } catch {
          return false;
        }
      });
  }

  /** Those of its processes whose command line holds this text. */
  processesOf(text: string): number[] {
    return this.processes().filter((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(text));
  }

  /** Whether its temporary folder is there. */
  get hasFolder(): boolean {
    return existsSync(`/tmp/uipvs-lab-${this.id}`);
  }
}

/** A folder that is removed afterwards. */
export async function withFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'uipvs-lab-test-'));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

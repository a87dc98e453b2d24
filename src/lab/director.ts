/** The director's programs, run as an operator would run them: uipvsd, uldirectord, uipvsadm. */
import type { ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { fileURLToPath } from 'node:url';
import type { EngineCounters } from '../model/commands.ts';
import { endpoint } from './addresses.ts';
import { LabError, waitFor } from './host.ts';
import type { Lab } from './run.ts';
import type { LabTopology } from './topology.ts';

const PROGRAMS = new URL('../bin/', import.meta.url);
const READY = /^uipvsd ready/m;
const READY_TIMEOUT_MS = 20_000;
const TABLE_TIMEOUT_MS = 40_000;

/** A program of this package, as words of a command. */
export function packageProgram(name: string): string[] {
  return [process.execPath, fileURLToPath(new URL(`${name}.js`, PROGRAMS))];
}

/** One line of `uipvsadm -Ln` about a real server. */
export interface TableEntry {
  readonly address: string;
  readonly port: number;
  readonly method: string;
  readonly weight: number;
}

/** `  -> 192.168.1.11:80` or `  -> [fd00:1::11]:80`, then what follows on the line. */
const SERVER_LINE = / {2}-> (?:\[([0-9a-f:]+)\]|([0-9.]+)):([0-9]+) +(.*)$/;

/** Reads the real servers out of `ipvsadm -Ln`. */
export function parseTable(listing: string): TableEntry[] {
  return serverLines(listing).flatMap(({ address, port, words: [method, weight] }) =>
    /^[A-Z]/.test(method) ? [{ address, port, method, weight: Number(weight) }] : [],
  );
}

/** Reads the connections of every real server, in all services, out of `ipvsadm -Ln --stats --exact`, by `ADDRESS:PORT`. */
export function parseTableConnections(listing: string): Record<string, number> {
  const counted: Record<string, number> = {};
  for (const { address, port, words } of serverLines(listing)) {
    const name = endpoint(address, port);
    counted[name] = (counted[name] ?? 0) + Number(words[0]);
  }
  return counted;
}

function serverLines(listing: string) {
  return listing.split('\n').flatMap((line) => {
    const found = SERVER_LINE.exec(line);
    if (found === null) return [];
    const [, six, four, port, rest] = found;
    return [{ address: six ?? four, port: Number(port), words: rest.split(/ +/) }];
  });
}

function labelsByEndpoint(topology: LabTopology): Map<string, string> {
  return new Map(topology.servers.map(({ address, port, label }) => [endpoint(address, port), label]));
}

function lastLines(text: string, count: number): string {
  return text.trim().split('\n').slice(-count).join('\n');
}

export class Director {
  readonly #lab: Lab;
  readonly #signal: AbortSignal;
  #daemon: ChildProcess | null = null;
  #logRead = 0;

  constructor(lab: Lab, signal: AbortSignal) {
    this.#lab = lab;
    this.#signal = signal;
  }

  /** Starts uipvsd and waits until it says that it is ready. `onEnd` is called when it ends after that. */
  async startDaemon(words: readonly string[], onEnd: (how: string) => void): Promise<void> {
    const daemon = this.#lab.startLogged(this.#lab.director, [...packageProgram('uipvsd'), ...words], 'uipvsd');
    this.#daemon = daemon;
    let ended: string | null = null;
    let ready = false;
    daemon.on('error', (error) => (ended = error.message));
    daemon.on('exit', (code, signal) => {
      ended = signal === null ? `ended with ${code}` : `was ended by ${signal}`;
      if (ready) onEnd(ended);
    });
    const decided = () => (ended !== null || READY.test(this.daemonLog()) ? true : null);
    await waitFor(decided, { timeoutMs: READY_TIMEOUT_MS, everyMs: 20, signal: this.#signal });
    ready = ended === null && READY.test(this.daemonLog());
    if (ready) return;
    const said = lastLines(this.daemonLog(), 30);
    throw new LabError(`uipvsd ${ended ?? 'did not become ready'}${said === '' ? '' : `:\n${said}`}`);
  }

  /** Lets uipvsd go on when this process ends. */
  release(): void {
    this.#daemon?.removeAllListeners();
    this.#daemon?.unref();
  }

  get daemonPid(): number {
    return this.#daemon?.pid ?? 0;
  }

  daemonLog(): string {
    return this.#read('log/uipvsd.log');
  }

  /** Starts uldirectord as a daemon of its own, with this configuration. */
  async startHealthChecks(configuration: string): Promise<void> {
    this.writeConfiguration(configuration);
    await this.#lab.mustRun(this.#lab.director, [...packageProgram('uldirectord'), this.configurationFile, 'start']);
  }

  writeConfiguration(configuration: string): void {
    writeFileSync(this.configurationFile, configuration);
  }

  get configurationFile(): string {
    return this.#lab.path('ldirectord.cf');
  }

  /** Runs `ipvsadm` with these words. */
  async ipvsadm(...words: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.#lab.run(this.#lab.director, [...packageProgram('uipvsadm'), ...words]);
    if (code === 0) return stdout;
    throw new LabError(`\`ipvsadm ${words.join(' ')}\` ended with ${code}: ${stderr.trim()}`);
  }

  /** Lines of /var/log/ldirectord.log that came since the last call, without date, name and process number. */
  newLogLines(): string[] {
    const text = this.#read('log/ldirectord.log');
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    const fresh = whole.slice(this.#logRead);
    this.#logRead = whole.length;
    const lines = fresh.split('\n').map((line) => line.replace(/^\[[^\]]*\] /, ''));
    return lines.filter((line) => line !== '');
  }

  listing(...words: string[]): Promise<string> {
    return this.ipvsadm('-L', '-n', ...words);
  }

  /** Connections by server label, as the table counts them. */
  async tableConnections(): Promise<Record<string, number>> {
    const counted = parseTableConnections(await this.listing('--stats', '--exact'));
    const labels = labelsByEndpoint(this.#lab.topology);
    return Object.fromEntries(Object.entries(counted).map(([at, count]) => [labels.get(at) ?? at, count]));
  }

  /**
   * Waits until these servers, named by their labels, are in the table with a weight above 0, and no fallback is.
   * Throws a LabError when they do not come, at once when uipvsd refused something.
   */
  async waitForServers(labels: readonly string[]): Promise<void> {
    await this.waitForTable(
      (serving) => {
        const complete = labels.every((label) => serving.has(label));
        return complete && !this.#lab.topology.servers.some((server) => server.fallback && serving.has(server.label));
      },
      `not all of ${labels.join(', ')} came into the table`,
    );
  }

  /** Waits until `good` holds for the labels of all servers with a weight above 0; otherwise a LabError says `failure`. */
  async waitForTable(good: (serving: ReadonlySet<string>) => boolean, failure: string): Promise<void> {
    const labels = labelsByEndpoint(this.#lab.topology);
    let listing = '';
    const complete = async () => {
      const refusal = this.#refusal();
      if (refusal !== null) throw new LabError(`uipvsd refused what this lab needs: ${refusal}`);
      listing = await this.listing();
      const entries = parseTable(listing).filter((entry) => entry.weight > 0);
      const serving = new Set(entries.map(({ address, port }) => endpoint(address, port)));
      return good(new Set([...serving].map((at) => labels.get(at) ?? at))) ? true : null;
    };
    const timing = { timeoutMs: TABLE_TIMEOUT_MS, everyMs: 200, signal: this.#signal };
    if ((await waitFor(complete, timing)) !== null) return;
    throw new LabError(`${failure}:\n${listing}${lastLines(this.#read('log/ldirectord.log'), 8)}`);
  }

  /** What uipvsd said that it does not support yet, in the log of the health checks. */
  #refusal(): string | null {
    return /failed: (.*: not supported yet)/.exec(this.#read('log/ldirectord.log'))?.[1] ?? null;
  }

  /** What the engine counted: drops and passes by reason. */
  async counters(): Promise<EngineCounters> {
    const folder = this.#lab.path('run/uipvs');
    const socket = readdirSync(folder).find((name) => name.endsWith('.sock'));
    if (socket === undefined) throw new LabError('uipvsd has no control socket');
    return askCounters(`${folder}/${socket}`);
  }

  #read(name: string): string {
    try {
      return readFileSync(this.#lab.path(name), 'utf8');
    } catch {
      return '';
    }
  }
}

/** Asks the control API for the daemon's status and keeps the counters of it. */
function askCounters(socketPath: string): Promise<EngineCounters> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path: '/v1/status', timeout: 5000 }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      response.on('end', () => {
        const counters = (JSON.parse(text) as { readonly counters?: EngineCounters | null }).counters;
        if (counters) resolve(counters);
        else reject(new LabError(`uipvsd did not tell its counters: ${text}`));
      });
    });
    asked.on('timeout', () => asked.destroy(new Error('no answer in time')));
    asked.on('error', (error) =>
      reject(new LabError(`uipvsd does not answer on its control socket: ${error.message}`)),
    );
    asked.end();
  });
}

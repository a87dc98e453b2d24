/** The director's programs, run as an operator would run them: uipvsd, uldirectord, uipvsadm. */
import type { ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { fileURLToPath } from 'node:url';
import type { EngineCounters } from '../model/commands.ts';
import { LabError, waitFor } from './host.ts';
import type { Lab } from './run.ts';
import { FALLBACK_ADDRESS } from './topology.ts';

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
  readonly method: string;
  readonly weight: number;
}

/** Reads the real servers out of `ipvsadm -Ln`. */
export function parseTable(listing: string): TableEntry[] {
  const lines = listing.matchAll(/^ {2}-> ([0-9.]+):[0-9]+ +([A-Z][a-z]+) +([0-9]+) /gm);
  return [...lines].map(([, address, method, weight]) => ({ address, method, weight: Number(weight) }));
}

/** Reads the connections of every real server out of `ipvsadm -Ln --stats --exact`. */
export function parseTableConnections(listing: string): Record<string, number> {
  const lines = listing.matchAll(/^ {2}-> ([0-9.]+):[0-9]+ +([0-9]+) /gm);
  return Object.fromEntries([...lines].map(([, address, connections]) => [address, Number(connections)]));
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

  get daemonPid(): number {
    return this.#daemon?.pid ?? 0;
  }

  daemonLog(): string {
    return this.#read('log/uipvsd.log');
  }

  /** Starts uldirectord as a daemon of its own, with this configuration. */
  async startHealthChecks(configuration: string): Promise<void> {
    const file = this.#lab.path('ldirectord.cf');
    writeFileSync(file, configuration);
    await this.#lab.mustRun(this.#lab.director, [...packageProgram('uldirectord'), file, 'start']);
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

  async listing(...words: string[]): Promise<string> {
    const command = [...packageProgram('uipvsadm'), '-L', '-n', ...words];
    return (await this.#lab.mustRun(this.#lab.director, command)).stdout;
  }

  /** Waits until these servers are in the table with a weight above 0, and the fallback is not. */
  async waitForServers(addresses: readonly string[]): Promise<void> {
    let listing = '';
    const complete = async () => {
      listing = await this.listing();
      const entries = parseTable(listing);
      const serving = new Set(entries.filter((entry) => entry.weight > 0).map((entry) => entry.address));
      return addresses.every((address) => serving.has(address)) && !serving.has(FALLBACK_ADDRESS) ? true : null;
    };
    const timing = { timeoutMs: TABLE_TIMEOUT_MS, everyMs: 200, signal: this.#signal };
    if ((await waitFor(complete, timing)) !== null) return;
    const log = lastLines(this.#read('log/ldirectord.log'), 8);
    throw new LabError(`not all of ${addresses.join(', ')} came into the table:\n${listing}${log}`);
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

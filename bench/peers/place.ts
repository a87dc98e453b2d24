/** One peer's network while it is up: programs on its three hosts, fresh client addresses, and the way to take it down. */
import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { LabError, mustRun, runCommand, waitFor } from '../../src/lab/host.ts';
import { type HostCommand, namespaceName } from '../../src/lab/plan.ts';
import { Lab } from '../../src/lab/run.ts';
import { hostsOf, type LabHost } from '../../src/lab/topology.ts';
import { benchTopology, type Cabling, freshClientAddress, planCables } from './network.ts';

export class Place {
  readonly lab: Lab;
  readonly signal: AbortSignal;
  readonly #cabling: Cabling;
  #addressesUsed = 0;
  /** Processes that live as long as the place: their /proc shows the counters of their hosts. */
  #serverPid = 0;
  #clientPid = 0;

  constructor(cabling: Cabling, forwarding: boolean, signal: AbortSignal) {
    this.signal = signal;
    this.#cabling = cabling;
    this.lab = new Lab(benchTopology(forwarding), signal);
  }

  async build(): Promise<void> {
    await this.lab.build();
    await this.lab.carryOut(planCables(this.lab.id, this.#cabling));
  }

  get server(): LabHost {
    return hostsOf(this.lab.topology, 'server')[0];
  }

  get client(): LabHost {
    return this.lab.client;
  }

  get director(): LabHost {
    return this.lab.director;
  }

  /** Starts a program whose log is kept. It is of the place: it ends with it. */
  startLogged(host: LabHost, command: HostCommand, name: string): ChildProcess {
    const child = this.lab.startLogged(host, command, name);
    child.on('error', () => {});
    return child;
  }

  /** The last lines of a log, for the reason why something failed. */
  lastWords(name: string): string {
    try {
      return readFileSync(this.lab.path(`log/${name}.log`), 'utf8')
        .trim()
        .split('\n')
        .slice(-3)
        .join(' / ');
    } catch {
      return '';
    }
  }

  /** Runs one of the benchmark's own programs to its end and reads the JSON that it prints. */
  async runProgram<T>(host: LabHost, name: string, words: readonly string[], pinTo: number | null = null): Promise<T> {
    const { stdout } = await this.lab.mustRun(host, this.program(name, words, pinTo));
    return JSON.parse(stdout) as T;
  }

  program(name: string, words: readonly string[], pinTo: number | null = null): HostCommand {
    const file = fileURLToPath(new URL(`./programs/${name}.js`, import.meta.url));
    const pinned = pinTo === null ? [] : ['taskset', '-c', String(pinTo)];
    return [...pinned, process.execPath, file, ...words];
  }

  /** A client address that nobody has used in this place. */
  async freshAddress(): Promise<string> {
    const address = freshClientAddress(this.#addressesUsed++);
    const space = namespaceName(this.lab.id, 'client');
    await mustRun(['ip', '-n', space, 'address', 'add', `${address}/32`, 'dev', 'eth0'], { signal: this.signal });
    return address;
  }

  get addressesUsed(): number {
    return this.#addressesUsed;
  }

  /** Process numbers on one of the hosts. */
  async pids(host: LabHost): Promise<number[]> {
    const { stdout } = await runCommand(['ip', 'netns', 'pids', namespaceName(this.lab.id, host.name)]);
    return stdout.split('\n').filter(Boolean).map(Number);
  }

  async findWitnesses(): Promise<void> {
    this.#serverPid = (await this.pids(this.server))[0] ?? 0;
    this.#clientPid = this.startLogged(this.client, ['sleep', 'infinity'], 'client-witness').pid ?? 0;
  }

  /** Packets that came in at the server's interface. */
  serverPackets(): number {
    return receivedPackets(this.#serverPid);
  }

  /** The same at the client's. */
  clientPackets(): number {
    return receivedPackets(this.#clientPid);
  }

  /** Waits until something of the peer answers; `what` is named in the error otherwise. */
  async waitUntil(probe: () => Promise<boolean>, what: string, log: string): Promise<void> {
    const timing = { timeoutMs: 8000, everyMs: 50, signal: this.signal };
    if ((await waitFor(async () => ((await probe()) ? true : null), timing)) !== null) return;
    throw new LabError(`${what}${this.lastWords(log) === '' ? '' : `: ${this.lastWords(log)}`}`);
  }

  close(): Promise<string[]> {
    return this.lab.close();
  }
}

/** Packets that came in by eth0 of the network namespace in which this process lives. */
function receivedPackets(pid: number): number {
  const line = readFileSync(`/proc/${pid}/net/dev`, 'utf8')
    .split('\n')
    .find((each) => each.trim().startsWith('eth0:'));
  if (line === undefined) throw new LabError(`process ${pid} has no eth0`);
  return Number(
    line
      .slice(line.indexOf(':') + 1)
      .trim()
      .split(/ +/)[1],
  );
}

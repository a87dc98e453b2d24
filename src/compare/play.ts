/** One data plane in a network of its own, and what could be seen of it while a script was played. */
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { connectDataPlane, type RemoteDataPlane } from '../control/client.ts';
import { runIpvsadm } from '../ipvsadm/ipvsadm.ts';
import { createSystemNames } from '../ipvsadm/names.ts';
import { Director } from '../lab/director.ts';
import { LabError, pause } from '../lab/host.ts';
import { Lab } from '../lab/run.ts';
import { hostOfServer, tutorialTopology } from '../lab/topology.ts';
import { IpvsError } from '../model/errors.ts';
import type { SettingName } from '../model/settings.ts';
import type { ScriptLine, ScriptStep } from './script.ts';

/** What a step led to, as lines; what differs from run to run by its nature is left out. */
export type Observation = readonly string[];

export interface PlayOptions {
  readonly signal: AbortSignal;
  /** Before each step. */
  onStep?(line: ScriptLine): void;
  /** What would not be removed. */
  onComplaint?(complaint: string): void;
}

const PROBE_SERVER = fileURLToPath(new URL('../lab/probe-server.js', import.meta.url));
const PROBE_CLIENT = fileURLToPath(new URL('../lab/probe-client.js', import.meta.url));
/** Each connection has a port of its own, the same on every run. */
const FIRST_SOURCE_PORT = 20_000;

/** Rejects with a LabError when the network or the daemon cannot be had; then nothing is left. */
export async function playOver(
  dataPlane: string,
  script: readonly ScriptLine[],
  options: PlayOptions,
): Promise<Observation[]> {
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  const lab = new Lab(tutorialTopology('masq', { fallback: false }), signal);
  try {
    await lab.build();
    await startServers(lab);
    const director = new Director(lab, signal);
    await director.startDaemon(['--data-plane', dataPlane], (how) => stop.abort(new LabError(`uipvsd ${how}`)));
    const player = new Player(await connectTo(lab), await Probe.start(lab), signal);
    const observations: Observation[] = [];
    for (const line of script) {
      options.onStep?.(line);
      signal.throwIfAborted();
      observations.push(await player.play(line.step));
    }
    await player.close();
    return observations;
  } finally {
    for (const complaint of await lab.close()) options.onComplaint?.(complaint);
  }
}

class Player {
  readonly #plane: RemoteDataPlane;
  readonly #probe: Probe;
  readonly #signal: AbortSignal;
  #sourcePort = FIRST_SOURCE_PORT;

  constructor(plane: RemoteDataPlane, probe: Probe, signal: AbortSignal) {
    this.#plane = plane;
    this.#probe = probe;
    this.#signal = signal;
  }

  async play(step: ScriptStep): Promise<Observation> {
    switch (step.do) {
      case 'ipvsadm':
        return this.#type(step.words);
      case 'connect': {
        const sourcePort = this.#sourcePort;
        this.#sourcePort += step.count;
        const { protocol, address, port, count } = step;
        return this.#probe.ask({ protocol, address, port, sourcePort, count });
      }
      case 'set':
        return this.#set(step.setting, step.value);
      case 'wait':
        await pause(step.seconds * 1000, this.#signal);
        return [];
    }
  }

  close(): Promise<void> {
    return this.#plane.close();
  }

  async #type(words: readonly string[]): Promise<Observation> {
    const said: string[] = [];
    const exit = await runIpvsadm(words, {
      programName: 'ipvsadm',
      names: createSystemNames(),
      async *stdin() {},
      stdout: (text) => void said.push(text),
      stderr: (text) => void said.push(text),
      // The connection is ours and goes on.
      connect: async () => ({ execute: (command) => this.#plane.execute(command), close: async () => {} }),
    });
    return [`exit ${exit}`, ...comparable(words, said.join(''))];
  }

  async #set(setting: string, value: string): Promise<Observation> {
    const name = setting as SettingName;
    let exit = 'set';
    try {
      await this.#plane.execute<'setSetting'>({ name: 'setSetting', setting: name, value });
    } catch (error) {
      if (!(error instanceof IpvsError)) throw error;
      exit = error.code;
    }
    const { value: now } = await this.#plane.execute<'getSetting'>({ name: 'getSetting', setting: name });
    return [exit, `${setting} is ${now}`];
  }
}

/**
 * Lines of a listing without what depends on the moment. Connections are listed in the order of a hash with a random
 * key, and run out while others are made.
 */
export function comparable(words: readonly string[], text: string): string[] {
  const lines = text.split('\n').filter((line) => line !== '');
  if (!words.some((word) => /^-L?n?c$|^--connection$/.test(word))) return withoutExplanations(lines);
  const rows = lines.map((line) => line.replace(/^(\S+) +\d+:\d\d/, '$1 --:--'));
  return [...rows.filter((row) => !row.includes('--:--')), ...rows.filter((row) => row.includes('--:--')).sort()];
}

/** The lines in which a data plane says in its own words why. */
function withoutExplanations(lines: readonly string[]): string[] {
  return lines.filter((line) => !line.startsWith('uipvs: '));
}

interface ProbeRequest {
  readonly protocol: 'tcp' | 'udp';
  readonly address: string;
  readonly port: number;
  readonly sourcePort: number;
  readonly count: number;
}

/** The client, which goes on running from step to step. */
class Probe {
  readonly #lines: AsyncIterator<string>;
  readonly #write: (line: string) => void;

  private constructor(lines: AsyncIterator<string>, write: (line: string) => void) {
    this.#lines = lines;
    this.#write = write;
  }

  static async start(lab: Lab): Promise<Probe> {
    const child = lab.start(lab.client, [process.execPath, PROBE_CLIENT]);
    await once(child, 'spawn');
    child.stdin?.on('error', () => {});
    const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
    return new Probe(lines, (line) => child.stdin?.write(line));
  }

  async ask(request: ProbeRequest): Promise<Observation> {
    this.#write(`${JSON.stringify(request)}\n`);
    const { value, done } = await this.#lines.next();
    if (done === true) throw new LabError('the client of the lab ended');
    return JSON.parse(value) as string[];
  }
}

async function startServers(lab: Lab): Promise<void> {
  const started = lab.topology.servers.map(async (server) => {
    const words = [process.execPath, PROBE_SERVER, server.listenOn, String(server.port), server.name];
    const child = lab.start(hostOfServer(lab.topology, server), words);
    child.stdin?.on('error', () => {});
    const ready = once(child.stdout as NodeJS.ReadableStream, 'data');
    const ended = once(child, 'exit').then(() => Promise.reject(new LabError(`${server.name} did not start`)));
    ended.catch(() => {});
    await Promise.race([ready, ended]);
  });
  await Promise.all(started);
}

function connectTo(lab: Lab): Promise<RemoteDataPlane> {
  const folder = lab.path('run/uipvs');
  const socket = readdirSync(folder).find((name) => name.endsWith('.sock'));
  if (socket === undefined) throw new LabError('uipvsd has no control socket');
  return connectDataPlane(`${folder}/${socket}`);
}

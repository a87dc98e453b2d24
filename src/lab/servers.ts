/** The lab's servers as seen from outside: started, counted, asked to end by the lab's own end. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { LabError, waitFor } from './host.ts';
import type { HostCommand } from './plan.ts';
import type { Lab } from './run.ts';
import { hostOfServer, type LabServer } from './topology.ts';
import type { WebServerReport } from './web-server.ts';

const WEB_SERVER = fileURLToPath(new URL('./web-server.js', import.meta.url));
const START_TIMEOUT_MS = 10_000;

/** Requests by server label, the fallback last. */
export type Served = Readonly<Record<string, number>>;

export interface LabServers {
  soFar(): Served;
  /** Once every server has told what it served until now. */
  inAll(signal: AbortSignal): Promise<Served>;
}

/** Starts the lab's own web server at every server's place, and waits until all listen. */
export async function startServers(lab: Lab, signal: AbortSignal): Promise<LabServers> {
  const failures: string[] = [];
  const running = lab.topology.servers.map((server) => new WebServer(lab, server, failures));
  const ready = () => (failures.length > 0 || running.every((server) => server.report !== null) ? true : null);
  const answer = await waitFor(ready, { timeoutMs: START_TIMEOUT_MS, everyMs: 10, signal });
  if (failures.length > 0) throw new LabError(failures.join('\n'));
  if (answer === null) throw new LabError('the web servers of the lab did not start in time');
  return new WebServers(running);
}

class WebServer {
  readonly server: LabServer;
  /** The newest report; `null` until it listens. */
  report: WebServerReport | null = null;
  readonly #ask: () => void;

  constructor(lab: Lab, server: LabServer, failures: string[]) {
    this.server = server;
    const words = [process.execPath, WEB_SERVER, server.listenOn, String(server.port), server.name];
    const process_ = lab.start(hostOfServer(lab.topology, server), words);
    this.#ask = () => process_.stdin?.write('report\n');
    let rest = '';
    process_.stdout?.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      const last = lines.at(-1);
      if (last !== undefined) this.report = JSON.parse(last) as WebServerReport;
    });
    process_.stderr?.setEncoding('utf8').on('data', (text: string) => failures.push(text.trim()));
    process_.on('error', (error) => failures.push(error.message));
    // The pipe breaks when the lab ends its processes; that is no news.
    process_.stdin?.on('error', () => {});
  }

  ask(): void {
    this.#ask();
  }
}

class WebServers implements LabServers {
  readonly #running: readonly WebServer[];

  constructor(running: readonly WebServer[]) {
    this.#running = running;
  }

  soFar(): Served {
    return Object.fromEntries(this.#running.map(({ server, report }) => [server.label, report?.requests ?? 0]));
  }

  async inAll(signal: AbortSignal): Promise<Served> {
    const before = this.#running.map((server) => server.report);
    for (const server of this.#running) server.ask();
    const all = () => (this.#running.every((server, index) => server.report !== before[index]) ? true : null);
    const answer = await waitFor(all, { timeoutMs: START_TIMEOUT_MS, everyMs: 5, signal });
    if (answer === null) throw new LabError('a web server of the lab no longer answers');
    return this.soFar();
  }
}

/** How another program becomes a server of the lab, and how its log tells what it has served. */
export interface LoggingProgram {
  readonly command: (server: LabServer) => HostCommand;
  /** How `ss` lists the socket that it listens on: `-t` or `-u`. */
  readonly socket: '-t' | '-u';
  /** Its log of requests, in the lab's folder; what it says itself goes to `log/NAME.log`. */
  readonly log: (server: LabServer) => string;
  /** Matches once for every request served. */
  readonly served: RegExp;
}

/** Starts such a program at every server's place, and waits until all listen. */
export async function startLoggingServers(lab: Lab, program: LoggingProgram, signal: AbortSignal): Promise<LabServers> {
  const { servers } = lab.topology;
  for (const server of servers) startLogging(lab, server, program);
  for (const server of servers) await waitUntilListening(lab, server, program, signal);
  const count = (server: LabServer) => readText(lab.path(program.log(server))).match(program.served)?.length ?? 0;
  const soFar = () => Object.fromEntries(servers.map((server) => [server.label, count(server)]));
  return { soFar, inAll: async () => soFar() };
}

function startLogging(lab: Lab, server: LabServer, program: LoggingProgram): void {
  const process_ = lab.startLogged(hostOfServer(lab.topology, server), program.command(server), server.name);
  // Whether it runs is seen from its socket.
  process_.on('error', () => {});
}

async function waitUntilListening(lab: Lab, server: LabServer, program: LoggingProgram, signal: AbortSignal) {
  const host = hostOfServer(lab.topology, server);
  const listening = async () => {
    const words = ['ss', '-H', '-l', '-n', program.socket, `sport = :${server.port}`];
    const { stdout } = await lab.mustRun(host, words);
    return stdout.trim() === '' ? null : true;
  };
  if ((await waitFor(listening, { timeoutMs: START_TIMEOUT_MS, everyMs: 100, signal })) !== null) return;
  const said = readText(lab.path(`log/${server.name}.log`))
    .trim()
    .split('\n')
    .slice(-5)
    .join('\n');
  throw new LabError(
    `${program.command(server)[0]} of ${server.name} does not listen${said === '' ? '' : `:\n${said}`}`,
  );
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** The lab's web servers as seen from outside: started, counted, asked to end by the lab's own end. */
import { fileURLToPath } from 'node:url';
import { LabError, waitFor } from './host.ts';
import type { Lab } from './run.ts';
import { FALLBACK_ADDRESS, type LabHost, mainAddress } from './topology.ts';
import type { WebServerReport } from './web-server.ts';

const PROGRAM = fileURLToPath(new URL('./web-server.js', import.meta.url));
const START_TIMEOUT_MS = 10_000;

export interface RunningServer {
  /** The address that the director's configuration knows it by. */
  readonly address: string;
  readonly name: string;
  /** The newest report; `null` until it listens. */
  report: WebServerReport | null;
  /** Asks for a report now. */
  readonly ask: () => void;
}

/** Starts the web server of every host that has one, and waits until all listen. */
export async function startServers(lab: Lab, signal: AbortSignal): Promise<RunningServer[]> {
  const servers: RunningServer[] = [];
  const failures: string[] = [];
  for (const host of lab.topology.hosts) {
    if (host.webServer !== null) servers.push(startServer(lab, host, host.webServer, failures));
  }
  const ready = () => (failures.length > 0 || servers.every((server) => server.report !== null) ? true : null);
  const answer = await waitFor(ready, { timeoutMs: START_TIMEOUT_MS, everyMs: 10, signal });
  if (failures.length > 0) throw new LabError(failures.join('\n'));
  if (answer === null) throw new LabError('the web servers of the lab did not start in time');
  return servers;
}

function startServer(lab: Lab, host: LabHost, listenOn: string, failures: string[]): RunningServer {
  const fallback = host.role === 'director';
  const server: RunningServer = {
    address: fallback ? FALLBACK_ADDRESS : mainAddress(host),
    name: fallback ? 'fallback' : host.name,
    report: null,
    ask: () => process_.stdin?.write('report\n'),
  };
  const process_ = lab.start(host, [process.execPath, PROGRAM, listenOn, '80', server.name]);
  let rest = '';
  process_.stdout?.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    const last = lines.at(-1);
    if (last !== undefined) server.report = JSON.parse(last) as WebServerReport;
  });
  process_.stderr?.setEncoding('utf8').on('data', (text: string) => failures.push(text.trim()));
  process_.on('error', (error) => failures.push(error.message));
  // The pipe breaks when the lab ends its processes; that is no news.
  process_.stdin?.on('error', () => {});
  return server;
}

/** Requests served, by server address, once every server has answered a question asked now. */
export async function servedInAll(servers: readonly RunningServer[], signal: AbortSignal) {
  const before = servers.map((server) => server.report);
  for (const server of servers) server.ask();
  const all = () => (servers.every((server, index) => server.report !== before[index]) ? true : null);
  const answer = await waitFor(all, { timeoutMs: START_TIMEOUT_MS, everyMs: 5, signal });
  if (answer === null) throw new LabError('a web server of the lab no longer answers');
  return servedSoFar(servers);
}

/** Requests served so far, by server address, fallback last. */
export function servedSoFar(servers: readonly RunningServer[]): Record<string, number> {
  const inOrder = [...servers].sort((a, b) => Number(a.name === 'fallback') - Number(b.name === 'fallback'));
  return Object.fromEntries(inOrder.map((server) => [server.address, server.report?.requests ?? 0]));
}

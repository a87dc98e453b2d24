/**
 * A data plane behind the API socket. Every call of `ipvsadm` loads this file, so it needs `node:http` alone,
 * keeps one connection for all commands (which also keeps them in order), and brings the rest in when asked.
 */
import { Agent, request } from 'node:http';
import type { Answer, Command, CommandName } from '../model/commands.ts';
import type { Capabilities, DataPlane } from '../model/data-plane.ts';
import { IpvsError } from '../model/errors.ts';
import type { DataPlaneEvent } from '../model/events.ts';
import { API_COMMANDS_MAX } from '../model/limits.ts';
import {
  CAPABILITIES_PATH,
  COMMANDS_PATH,
  type DaemonStatus,
  type ErrorBody,
  errorFromBody,
  STATUS_PATH,
} from './api.ts';
import { socketPath } from './socket-path.ts';

/** What became of one command of a list. */
export type CommandResult<N extends CommandName = CommandName> =
  | { readonly answer: Answer<N>; readonly error?: never }
  | { readonly error: IpvsError; readonly answer?: never };

/**
 * Reaches the daemon of this network namespace, or the one at `path`. Rejects with ENOPROTOOPT when none
 * answers, EPERM when its socket is not ours to open, EINVAL for an impossible path.
 */
export async function connectDataPlane(path: string = socketPath()): Promise<RemoteDataPlane> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const call: Call = (method, route, body) => send(agent, path, method, route, body);
  try {
    return new RemoteDataPlane(path, call, (await call('GET', CAPABILITIES_PATH)) as Capabilities, agent);
  } catch (error) {
    agent.destroy();
    throw error;
  }
}

/** A daemon that says nothing for so long is stuck. */
const SILENCE_MS_MAX = 30_000;

type Call = (method: 'GET' | 'POST', route: string, body?: unknown) => Promise<unknown>;

export class RemoteDataPlane implements DataPlane {
  readonly capabilities: Capabilities;
  /** The API socket. */
  readonly path: string;
  readonly #call: Call;
  readonly #agent: Agent;
  readonly #watches = new Set<() => void>();
  #closed = false;

  constructor(path: string, call: Call, capabilities: Capabilities, agent: Agent) {
    this.path = path;
    this.capabilities = capabilities;
    this.#call = call;
    this.#agent = agent;
  }

  async execute<N extends CommandName>(command: Command<N>): Promise<Answer<N>> {
    const { answer } = (await this.#send(command)) as { answer: Answer<N> };
    return answer;
  }

  /** Many commands in few requests, in order. A refused one does not stop those behind it. */
  async executeAll(commands: readonly Command[]): Promise<CommandResult[]> {
    const results: CommandResult[] = [];
    for (let from = 0; from < commands.length; from += API_COMMANDS_MAX) {
      const bodies = (await this.#send(commands.slice(from, from + API_COMMANDS_MAX))) as (
        | { answer: Answer<CommandName> }
        | { error: ErrorBody }
      )[];
      for (const body of bodies) results.push('error' in body ? { error: errorFromBody(body.error) } : body);
    }
    return results;
  }

  async status(): Promise<DaemonStatus> {
    return (await this.#call('GET', STATUS_PATH)) as DaemonStatus;
  }

  /** Over a connection of its own. While the daemon is away a notice says so, and the watch goes on when it is back. */
  watch(listener: (event: DataPlaneEvent) => void): () => void {
    let stopped = false;
    let stopStream = (): void => {};
    const stop = (): void => {
      stopped = true;
      this.#watches.delete(stop);
      stopStream();
    };
    this.#watches.add(stop);
    void import('./event-stream.ts').then(({ watchEvents }) => {
      if (!stopped) stopStream = watchEvents(this.path, listener);
    });
    return stop;
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const stop of this.#watches) stop();
    this.#agent.destroy();
  }

  #send(body: unknown): Promise<unknown> {
    if (this.#closed) return Promise.reject(new IpvsError('ENOPROTOOPT', 'this connection to the daemon is closed'));
    return this.#call('POST', COMMANDS_PATH, body);
  }
}

function send(agent: Agent, path: string, method: 'GET' | 'POST', route: string, body?: unknown): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const text = body === undefined ? '' : JSON.stringify(body);
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
    const outgoing = request(
      {
        agent,
        socketPath: path,
        host: 'uipvs',
        method,
        path: route,
        headers: body === undefined ? {} : headers,
        timeout: SILENCE_MS_MAX,
      },
      (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
        incoming.on('error', (error) => reject(connectionError(error, path)));
        incoming.on('end', () => {
          try {
            resolve(readAnswer(Buffer.concat(chunks).toString('utf8'), incoming.statusCode ?? 0, path));
          } catch (error) {
            reject(error);
          }
        });
      },
    );
    outgoing.on('error', (error) => reject(connectionError(error, path)));
    outgoing.on('timeout', () => outgoing.destroy(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })));
    outgoing.end(text);
  });
}

function readAnswer(text: string, status: number, path: string): unknown {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (cause) {
    throw new IpvsError('EIO', `what answers on ${path} is no uipvsd (HTTP status ${status}, no JSON)`, { cause });
  }
  if (status === 200) return body;
  const error = (body as { error?: ErrorBody } | null)?.error;
  throw error
    ? errorFromBody(error)
    : new IpvsError('EIO', `what answers on ${path} is no uipvsd (HTTP status ${status})`);
}

/** An error of the socket in the words of the model. */
export function connectionError(cause: NodeJS.ErrnoException, path: string): IpvsError {
  switch (cause.code) {
    case 'ENOENT':
    case 'ENOTDIR':
    case 'ENOTSOCK':
    case 'ECONNREFUSED':
      return new IpvsError('ENOPROTOOPT', `no uipvsd answers on ${path}; start one with \`uipvsd\``, { cause });
    case 'EACCES':
    case 'EPERM':
      return new IpvsError('EPERM', `you may not open ${path}; the daemon's user may, mostly root`, { cause });
    case 'ETIMEDOUT':
      return new IpvsError('EIO', `the daemon on ${path} does not answer`, { cause });
    default:
      return new IpvsError(
        'EIO',
        `the connection to ${path} broke before the answer came (${cause.code ?? cause.message})`,
        {
          cause,
        },
      );
  }
}

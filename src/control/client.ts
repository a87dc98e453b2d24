/**
 * A data plane behind the API socket. Every call of `ipvsadm` loads this file, so it needs `node:net` and
 * `node:fs` alone, keeps one connection for all commands (which also keeps them in order), and brings in the rest
 * when it is asked for.
 */
import type { Answer, Command, CommandName } from '../model/commands.ts';
import type { Capabilities, DataPlane } from '../model/data-plane.ts';
import { IpvsError } from '../model/errors.ts';
import type { DataPlaneEvent } from '../model/events.ts';
import type { HealthReport, HeldHealthReport } from '../model/health.ts';
import { API_COMMANDS_MAX } from '../model/limits.ts';
import {
  CAPABILITIES_PATH,
  COMMANDS_PATH,
  type DaemonStatus,
  type ErrorBody,
  errorFromBody,
  HEALTH_PATH,
  STATUS_PATH,
} from './api.ts';
import { type HttpAnswer, HttpConnection, type HttpMethod } from './http-connection.ts';
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
  const connection = new HttpConnection(path);
  try {
    return new RemoteDataPlane(
      path,
      connection,
      (await ask(connection, path, 'GET', CAPABILITIES_PATH)) as Capabilities,
    );
  } catch (error) {
    connection.close();
    throw error;
  }
}

export class RemoteDataPlane implements DataPlane {
  readonly capabilities: Capabilities;
  /** The API socket. */
  readonly path: string;
  readonly #connection: HttpConnection;
  readonly #watches = new Set<() => void>();
  #closed = false;

  constructor(path: string, connection: HttpConnection, capabilities: Capabilities) {
    this.path = path;
    this.capabilities = capabilities;
    this.#connection = connection;
  }

  async execute<N extends CommandName>(command: Command<N>): Promise<Answer<N>> {
    const { answer } = (await this.#ask('POST', COMMANDS_PATH, command)) as { answer: Answer<N> };
    return answer;
  }

  /** Many commands in few requests, in order. A refused one does not stop those behind it. */
  async executeAll(commands: readonly Command[]): Promise<CommandResult[]> {
    const results: CommandResult[] = [];
    for (let from = 0; from < commands.length; from += API_COMMANDS_MAX) {
      const bodies = (await this.#ask('POST', COMMANDS_PATH, commands.slice(from, from + API_COMMANDS_MAX))) as (
        | { answer: Answer<CommandName> }
        | { error: ErrorBody }
      )[];
      for (const body of bodies) results.push('error' in body ? { error: errorFromBody(body.error) } : body);
    }
    return results;
  }

  async status(): Promise<DaemonStatus> {
    return (await this.#ask('GET', STATUS_PATH)) as DaemonStatus;
  }

  /** The latest report of each program that checks real servers. */
  async health(): Promise<readonly HeldHealthReport[]> {
    return (await this.#ask('GET', HEALTH_PATH)) as readonly HeldHealthReport[];
  }

  async reportHealth(source: string, report: HealthReport): Promise<void> {
    await this.#ask('PUT', `${HEALTH_PATH}/${source}`, report);
  }

  async withdrawHealth(source: string): Promise<void> {
    await this.#ask('DELETE', `${HEALTH_PATH}/${source}`);
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
    this.#connection.close();
  }

  #ask(method: HttpMethod, route: string, body?: unknown): Promise<unknown> {
    if (this.#closed) return Promise.reject(new IpvsError('ENOPROTOOPT', 'this connection to the daemon is closed'));
    return ask(this.#connection, this.path, method, route, body);
  }
}

async function ask(
  connection: HttpConnection,
  path: string,
  method: HttpMethod,
  route: string,
  body?: unknown,
): Promise<unknown> {
  let answer: HttpAnswer;
  try {
    answer = await connection.call(method, route, body === undefined ? '' : JSON.stringify(body));
  } catch (error) {
    throw connectionError(error as NodeJS.ErrnoException, path);
  }
  return readAnswer(answer.text, answer.status, path);
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
    case 'EPROTO':
      return new IpvsError('EIO', `what answers on ${path} is no uipvsd (${cause.message})`, { cause });
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

/**
 * The words both ends of the API share. HTTP and JSON over the Unix socket of `socket-path.ts`:
 *
 *     curl --unix-socket /run/uipvs/4026531840.sock http://uipvs/v1/services
 *
 * Every failure is `{ "error": { "code", "message" } }` with a code of `model/errors.ts`.
 */
import type { Answer, CommandName, EngineCounters, TableInfo } from '../model/commands.ts';
import type { Capabilities } from '../model/data-plane.ts';
import { type ErrorCode, IpvsError } from '../model/errors.ts';

export const COMMANDS_PATH = '/v1/commands';
export const CAPABILITIES_PATH = '/v1/capabilities';
export const STATUS_PATH = '/v1/status';
export const EVENTS_PATH = '/v1/events';
export const HEALTH_PATH = '/v1/health';

/** What `GET /v1/status` answers. */
export interface DaemonStatus {
  readonly daemon: {
    readonly version: string;
    readonly node: string;
    readonly pid: number;
    /** ISO 8601, UTC. */
    readonly startedAt: string;
    readonly uptimeSeconds: number;
    /** Inode number of the network namespace that is served. */
    readonly namespace: number;
    readonly socket: string;
    /** What the program that started the daemon says about itself: `io`, `links`, `sourceNat`, ... */
    readonly settings: Readonly<Record<string, unknown>>;
  };
  readonly capabilities: Capabilities;
  readonly table: TableInfo;
  /** `null`: this data plane does not count. */
  readonly counters: EngineCounters | null;
}

export interface ErrorBody {
  readonly code: ErrorCode;
  readonly message: string;
}

/** One result of a list of commands, in the order of the commands. */
export type ResultBody<N extends CommandName = CommandName> =
  | { readonly answer: Answer<N> }
  | { readonly error: ErrorBody };

/** The HTTP status beside each code. */
export const HTTP_STATUS: Readonly<Record<ErrorCode, number>> = {
  EEXIST: 409,
  ESRCH: 404,
  ENOENT: 404,
  EINVAL: 400,
  ERANGE: 400,
  EPERM: 403,
  ENODEV: 404,
  ENOMEM: 507,
  ENOBUFS: 507,
  EBUSY: 409,
  EAFNOSUPPORT: 400,
  EOPNOTSUPP: 501,
  EFAULT: 500,
  ENOPROTOOPT: 503,
  EIO: 500,
};

/** Any failure as the API tells it; what is no IpvsError is a failure of the data plane. */
export function errorBody(error: unknown): ErrorBody {
  if (error instanceof IpvsError) return { code: error.code, message: error.message };
  return { code: 'EIO', message: error instanceof Error ? error.message : String(error) };
}

/** The way back; a code this version does not know becomes EIO. */
export function errorFromBody(body: ErrorBody): IpvsError {
  const code: ErrorCode = Object.hasOwn(HTTP_STATUS, body.code) ? body.code : 'EIO';
  return new IpvsError(code, body.message);
}

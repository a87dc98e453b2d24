/**
 * What somebody wants of a whole balancer, in the words of no particular file: services, servers, how they are
 * checked, settings. Files of every format are read into it and written from it. Plain data; what is absent, or
 * `null`, was not said and has the default that the fields name.
 */

import type { Application } from './applications.ts';
import type { SyncDaemonSpec } from './commands.ts';
import type { FileProblem, Place } from './file-problem.ts';
import type { ForwardingMethod, TunnelSpec } from './forwarding.ts';
import type { MarkRule } from './mark-rule.ts';
import type { SchedulerFlag, ServiceKey, SourceNat } from './service.ts';
import type { SettingName, Timeouts } from './settings.ts';

/**
 * `negotiate` speaks the application's protocol; `always-up` asks nobody and uses every server; `always-down` asks
 * nobody and uses none, so that only the fallback is left.
 */
export const CHECK_KINDS = [
  'ping',
  'connect',
  'negotiate',
  'external',
  'external-perl',
  'always-up',
  'always-down',
] as const;
export type CheckKind = (typeof CHECK_KINDS)[number];

export interface CheckWish {
  readonly kind: CheckKind;
  /** What the servers speak; `null`: what the port of the service tells. */
  readonly application: Application | null;
  /** `negotiate`: so many cheap connects follow each good negotiation; `null`: none. */
  readonly connectsBetween: number | null;
  /** `null`: the server's own. */
  readonly port: number | null;
  readonly request: string | null;
  /** Regular expression that the answer must match; `null`: any answer will do. */
  readonly receive: string | null;
  readonly headOnly: boolean;
  readonly virtualHost: string | null;
  readonly login: string | null;
  readonly password: string | null;
  readonly database: string | null;
  readonly secret: string | null;
  /** The program of an external check. */
  readonly command: string | null;
}

export const NO_CHECK: CheckWish = {
  kind: 'always-up',
  application: null,
  connectsBetween: null,
  port: null,
  request: null,
  receive: null,
  headOnly: false,
  virtualHost: null,
  login: null,
  password: null,
  database: null,
  secret: null,
  command: null,
};

export const ALERT_STATES = ['starting', 'running', 'stopping', 'reloading'] as const;
export type AlertState = (typeof ALERT_STATES)[number];

/** How servers are watched and what follows from it. Said for all services, and again by a service. */
export interface Watching {
  /** Between two checks of a server. Default 10 s. */
  readonly intervalMs?: number;
  /**
   * Of connects, pings and programs, default 5 s; and of whole negotiations, default 30 s. Where only one of them is
   * said it stands for both.
   */
  readonly timeoutMs?: number;
  readonly requestTimeoutMs?: number;
  /** Pings, of which one must be answered. Default 1. */
  readonly attempts?: number;
  /** Failures in a row that take a server out. Default 1. */
  readonly failures?: number;
  /** A server that is out stays in the table with weight 0. Default false: it is removed. */
  readonly quiescent?: boolean;
  /** Services are removed when the director stops. Default true. */
  readonly cleanStop?: boolean;
  readonly fallbackCommand?: string;
  readonly alertTo?: string;
  /** 0: said once. */
  readonly alertEverySeconds?: number;
  readonly alertStates?: readonly AlertState[];
  readonly alertSmtp?: string;
}

export interface FallbackWish {
  readonly place: Place;
  readonly address: string;
  /** `null`: that of the service. */
  readonly port: number | null;
  readonly method: ForwardingMethod;
  readonly tunnel: TunnelSpec;
}

export interface ServerWish {
  readonly place: Place;
  readonly address: string;
  /** As written; 0: that of the service, or the one the client asked for. */
  readonly port: number;
  readonly method: ForwardingMethod;
  readonly weight: number;
  readonly upperThreshold: number;
  readonly lowerThreshold: number;
  readonly tunnel: TunnelSpec;
  /** Instead of the check's own; both or none. */
  readonly request: string | null;
  readonly receive: string | null;
}

export interface PersistenceWish {
  readonly timeoutSeconds: number;
  /** As in `ServiceSpec`; `null`: every client by itself. */
  readonly netmask: string | null;
  readonly engine: string | null;
}

export interface ServiceWish {
  readonly place: Place;
  /** Where parts of it were said: `check`, `persistence`, `fallback`, ... */
  readonly places: Readonly<Record<string, Place>>;
  readonly key: ServiceKey;
  readonly name: string | null;
  readonly comment: string | null;
  readonly scheduler: string;
  readonly schedulerFlags: readonly SchedulerFlag[];
  readonly persistence: PersistenceWish | null;
  readonly onePacket: boolean;
  /** `null`: what the daemon was started with. */
  readonly sourceNat: SourceNat | null;
  readonly servers: readonly ServerWish[];
  /** Its own; `null`: that of all services, if there is one. */
  readonly fallback: FallbackWish | null;
  readonly check: CheckWish;
  readonly watching: Watching;
  readonly monitorFile: string | null;
}

/** How the program that checks servers works. */
export interface DirectorWish {
  /** A path that begins with `/`, or a syslog facility. */
  readonly log?: string;
  readonly autoReload?: boolean;
  readonly callback?: string;
  readonly readdQuiescent?: boolean;
  readonly foreground?: boolean;
  readonly maintenanceDirectory?: string;
  readonly alertFrom?: string;
  /** Other configurations to start along with this one. */
  readonly execute: readonly string[];
}

export interface Blueprint {
  /** Where the parts were said: `watching`, `director`, `timeouts`, `settings`, `markRules`, `syncDaemons`. */
  readonly places: Readonly<Record<string, Place>>;
  readonly services: readonly ServiceWish[];
  /** For every service. */
  readonly watching: Watching;
  readonly fallbacks: { readonly ipv4: FallbackWish | null; readonly ipv6: FallbackWish | null };
  readonly director: DirectorWish;
  readonly timeouts: Partial<Timeouts>;
  /** Text as it is written to the file in /proc. */
  readonly settings: Partial<Readonly<Record<SettingName, string>>>;
  readonly markRules: readonly MarkRule[];
  readonly syncDaemons: readonly SyncDaemonSpec[];
}

/** What a format cannot hold was left out of what was written; each is told with the place it came from. */
export interface WrittenFile {
  readonly text: string;
  readonly lost: readonly FileProblem[];
}

/** What was read; traps that are worth a warning; and what the format can say but a blueprint has no place for. */
export interface ReadFile {
  readonly blueprint: Blueprint;
  readonly warnings: readonly FileProblem[];
  readonly lost: readonly FileProblem[];
}

export const EMPTY_BLUEPRINT: Blueprint = {
  places: {},
  services: [],
  watching: {},
  fallbacks: { ipv4: null, ipv6: null },
  director: { execute: [] },
  timeouts: {},
  settings: {},
  markRules: [],
  syncDaemons: [],
};

export function placeOf({ place, places }: Pick<ServiceWish, 'place' | 'places'>, part: string): Place {
  return places[part] ?? place;
}

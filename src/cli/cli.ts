/** What the words of `uipvs` work with. The program in `bin/` brings the parts; tests bring their own. */
import type { DaemonStatus } from '../control/api.ts';
import type { DataPlane } from '../model/data-plane.ts';
import type { HeldHealthReport } from '../model/health.ts';
import type { Output } from './command-line.ts';
import type { MigrationTools } from './migrate.ts';

/** A way to read and write packets, as `packet-io/` presents it. */
export interface BackEnd {
  readonly name: string;
  readonly summary: string;
  readonly thread: 'any' | 'main';
  /** `null`: works here; otherwise why not, with the way out. */
  unavailable(): Promise<string | null>;
  /** What its system calls go through here, or `null`. */
  provider?(): string | null;
  /** `null`: it has a fast path here; otherwise why not. Absent: it has none anywhere. */
  fastPathRefused?(): string | null;
}

export interface GuardTools {
  /** The rules in force as text, or `null` when there are none. */
  readGuard(): Promise<string | null>;
  /** Removes what a killed daemon left: the table of rules and the link to the host's stack. Says what was there. */
  removeGuard(): Promise<{ readonly table: boolean; readonly hostLink: boolean; readonly tap: boolean }>;
}

/** Where this package lies, and what the host has for putting programs in their place. */
export interface Installation {
  /** Real path of the folder with `uipvsadm.js`. */
  readonly programs: string;
  /** Where the links go unless told otherwise. */
  readonly linkDirectory: string;
  /** update-alternatives(1) of Debian, or `null` on other hosts. */
  readonly alternatives: Alternatives | null;
  /** Where services and cron look for programs. */
  readonly standardPath: readonly string[];
  /** Can our daemons tell systemd how they fare by themselves? Absent: yes. */
  readonly notifiesItself?: () => Promise<boolean>;
}

export interface Alternatives {
  /** The program with the words that stand before all others. */
  readonly command: readonly [string, ...string[]];
  /** Where its links lead: `/etc/alternatives`. */
  readonly directory: string;
}

export interface Terminal {
  /** Lines it shows at this moment. */
  rows(): number;
}

/** A daemon as `control/client.ts` reaches it. */
export interface ConnectedDaemon extends DataPlane {
  status(): Promise<DaemonStatus>;
  /** What the programs that check real servers have told. Rejects with ENOENT when the daemon knows nothing of it. */
  health(): Promise<readonly HeldHealthReport[]>;
}

export interface Cli extends Output {
  /** The terminal that standard output is, or `null`: a file or a pipe. */
  readonly terminal: Terminal | null;
  /** Standard error is a terminal: how far something has come is shown there. */
  readonly progressTerminal?: boolean;
  /** Bytes for a program that reads standard output; resolves when it has taken them. Absent: nobody can read bytes. */
  stdoutBytes?(bytes: Uint8Array): Promise<void>;
  /** Ends after so many milliseconds: true to go on, false when it is time to stop. */
  pause(ms: number): Promise<boolean>;
  /** Rejects with an IpvsError when no daemon answers. */
  connect(): Promise<ConnectedDaemon>;
  backEnds(): Promise<readonly BackEnd[]>;
  guard(): Promise<GuardTools>;
  readonly installation: Installation;
  /** Aborted by Ctrl-C, for words that take something back then. Absent: Ctrl-C ends the process. */
  readonly interruption?: AbortSignal;
  /** Absent: there is nothing to migrate to. */
  migration?(): Promise<MigrationTools>;
  /** Programs that check servers and take them out of the table; absent: none is looked for. */
  directors?(): Promise<readonly RunningDirector[]>;
}

/** A uldirectord of this network namespace. */
export interface RunningDirector {
  readonly pid: number;
  /** The configuration it was started with, as it was typed. */
  readonly configuration: string;
}

/** Opens the daemon, does the work and closes it, whatever happens. */
export async function withDaemon(cli: Cli, work: (daemon: ConnectedDaemon) => Promise<number>): Promise<number> {
  const daemon = await cli.connect();
  try {
    return await work(daemon);
  } finally {
    await daemon.close();
  }
}

/** For people to read, or on one line for values that come again and again. */
export function toJson(value: unknown, oneLine = false): string {
  return `${JSON.stringify(value, null, oneLine ? 0 : 2)}\n`;
}

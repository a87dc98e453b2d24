/**
 * What `uipvs apply` and `uipvs drain` remember from one run to the next: what was applied from which file, and the
 * weights of drained servers. It lies beside the daemon's socket and is about that daemon only: a daemon that was
 * started anew has an empty table, and nothing of the old one is remembered for it.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { DaemonStatus } from '../control/api.ts';
import { IpvsError } from '../model/errors.ts';

/** Everything by its text: `formatServiceKey`, `formatMarkRule`, the role of a synchronisation daemon. */
export interface AppliedFile {
  readonly services: readonly string[];
  readonly markRules: readonly string[];
  readonly syncDaemons: readonly string[];
}

export interface DrainedServer {
  readonly service: string;
  readonly address: string;
  readonly port: number;
  /** Before it was drained. */
  readonly weight: number;
}

export interface KeptState {
  /** By absolute path. */
  readonly files: Readonly<Record<string, AppliedFile>>;
  readonly drained: readonly DrainedServer[];
}

interface StoredState extends KeptState {
  readonly startedAt: string;
}

const NOTHING: KeptState = { files: {}, drained: [] };

function statePath({ daemon }: DaemonStatus): string {
  return `${daemon.socket.replace(/\.sock$/, '')}.applied.json`;
}

/** A file that is not there, of another daemon, or broken remembers nothing. */
export function readState(status: DaemonStatus): KeptState {
  try {
    const stored = JSON.parse(readFileSync(statePath(status), 'utf8')) as Partial<StoredState>;
    if (stored.startedAt !== status.daemon.startedAt) return NOTHING;
    return { files: stored.files ?? {}, drained: stored.drained ?? [] };
  } catch {
    return NOTHING;
  }
}

/** Whole or not at all. Throws EIO when it cannot be written. */
export function writeState(status: DaemonStatus, state: KeptState): void {
  const path = statePath(status);
  const stored: StoredState = { startedAt: status.daemon.startedAt, ...state };
  const fresh = `${path}.${process.pid}`;
  try {
    writeFileSync(fresh, `${JSON.stringify(stored, null, 2)}\n`, { mode: 0o600 });
    renameSync(fresh, path);
  } catch (error) {
    throw new IpvsError('EIO', `${path} cannot be written: ${(error as Error).message}`, { cause: error });
  }
}

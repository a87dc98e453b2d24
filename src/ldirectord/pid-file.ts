/** `/var/run/ldirectord.NAME.pid`: believed only when the process is an ldirectord (or one of ours). */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export type PidFileState =
  | { readonly type: 'running'; readonly pid: number }
  /** The file is there, but its process is not, or is another program. */
  | { readonly type: 'stale' }
  | { readonly type: 'absent' };

export class PidFile {
  readonly path: string;

  /** `directory`: several instances with the same name need several. */
  constructor(directory: string, name: string) {
    this.path = join(directory, `ldirectord.${name}.pid`);
  }

  read(): PidFileState {
    let text: string;
    try {
      text = readFileSync(this.path, 'utf8');
    } catch {
      return { type: 'absent' };
    }
    const pid = Number(/^\s*(\d+)/.exec(text)?.[1] ?? 0);
    return pid > 0 && isDirector(pid) ? { type: 'running', pid } : { type: 'stale' };
  }

  /** Throws when it cannot be written. */
  write(pid: number): void {
    writeFileSync(this.path, `${pid}\n`);
  }

  remove(): void {
    rmSync(this.path, { force: true });
  }
}

function isDirector(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('ldirectord');
  } catch {
    return false;
  }
}

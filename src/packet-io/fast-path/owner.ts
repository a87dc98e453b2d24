/**
 * Whose a fast path is. A worker thread that was ended from outside closes nothing, and its program would go on
 * carrying flows that no engine knows. So programs and maps bear the number of the shard and that of the thread in
 * their names, and whoever follows in that shard takes off what a thread that is gone has left in this process.
 * Of others that serve the same links nothing is touched. Source: proc(5), "fdinfo" and "task".
 */
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { Bpf } from '../../native/bpf.ts';
import type { Libc } from '../../native/libc.ts';

/** For what ends before its thread does, such as a look whether programs may be loaded. */
export const NOBODY = 'uipvs_probe';

/** The name of everything that this thread makes for the shard. */
export function ownerName(shard: number): string {
  const thread = Number(basename(readlinkSync('/proc/thread-self')));
  return `uipvs_${shard.toString(36)}_${thread.toString(36)}`;
}

/**
 * Closes what threads that are gone have left of this shard's: links, programs, maps. Returns how many links there were.
 * Two threads must not do that for the same shard at once, or one closes what the other has just opened.
 */
export function takeOffOrphans(libc: Libc, shard: number): number {
  const bpf = new Bpf(libc);
  const held = descriptors();
  const left = held.filter(({ fd, kind }) => kind !== 'link' && isLeftBehind(nameOf(bpf, fd, kind), shard));
  const programs = new Set(left.flatMap(({ kind, program }) => (kind === 'program' ? [program] : [])));
  const links = held.filter(({ kind, program }) => kind === 'link' && programs.has(program));
  for (const { fd } of [...links, ...left]) libc.close(fd);
  return links.length;
}

type Kind = 'link' | 'program' | 'map';

interface Held {
  readonly fd: number;
  readonly kind: Kind;
  /** The kernel's number of the program that it is, or that is on the link. */
  readonly program: string | null;
}

/** What bpf(2) has given this process. */
function descriptors(): Held[] {
  return readdirSync('/proc/self/fdinfo').flatMap((name) => {
    const text = fdinfo(name);
    const kind = kindOf(text);
    if (kind === null) return [];
    return [{ fd: Number(name), kind, program: /^prog_id:\s*(\d+)$/m.exec(text)?.[1] ?? null }];
  });
}

function kindOf(fdinfo: string): Kind | null {
  if (/^link_type:\s*tcx$/m.test(fdinfo)) return 'link';
  if (/^prog_type:/m.test(fdinfo)) return 'program';
  return /^map_type:/m.test(fdinfo) ? 'map' : null;
}

function fdinfo(name: string): string {
  try {
    return readFileSync(`/proc/self/fdinfo/${name}`, 'latin1');
  } catch {
    // The descriptor that was open for reading the folder, or one that another thread has closed since.
    return '';
  }
}

function nameOf(bpf: Bpf, fd: number, kind: 'program' | 'map'): string {
  try {
    return bpf.nameOf(fd, kind);
  } catch {
    return '';
  }
}

function isLeftBehind(name: string, shard: number): boolean {
  const [, itsShard, itsThread] = /^uipvs_([0-9a-z]+)_([0-9a-z]+)$/.exec(name) ?? [];
  if (itsShard !== shard.toString(36) || itsThread === undefined) return false;
  return !existsSync(`/proc/self/task/${Number.parseInt(itsThread, 36)}`);
}

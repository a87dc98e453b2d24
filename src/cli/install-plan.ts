/** What `uipvs install` has to do on this host: looks at what is there, and makes a list of steps. */
import { spawnSync } from 'node:child_process';
import { lstatSync, readlinkSync, realpathSync, symlinkSync, unlinkSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Alternatives, Installation } from './cli.ts';

interface Link {
  /** What people type. */
  readonly name: string;
  /** File of this package, without its ending. */
  readonly program: string;
}

/** Links that come and go together; the first is the one that others follow in update-alternatives(1). */
export type Group = readonly [Link, ...Link[]];

export interface Step {
  /** `link /usr/sbin/ipvsadm to ...`: reads well behind "would". */
  readonly text: string;
  run(): void;
}

export interface Plan {
  readonly steps: readonly Step[];
  /** Sentences about what need not be done. */
  readonly already: readonly string[];
}

/** A refusal or a failure, as a sentence for people. */
export class InstallError extends Error {
  override readonly name = 'InstallError';
}

const PRIORITY = 50;
/** In the PATH of root before /usr/sbin. */
const BESIDE = '/usr/local/sbin';

/** Throws InstallError when something is in the way; nothing has been changed then. */
export function planInstall(group: Group, place: Installation): Plan {
  requireDirectory(place.linkDirectory);
  const links = group.map((link) => ({ ...paths(link, place), there: look(link, place) }));
  const inTheWay = links.filter(({ there }) => there.kind === 'foreign');
  if (inTheWay.length > 0) throw new InstallError(refusal(inTheWay[0]!.path, inTheWay[0]!.there, group, place));
  const ours = links.filter(({ there }) => there.kind === 'ours');
  const already = ours.map(({ path, target }) => `${path} links to ${target} already`);
  // Once linked by hand it stays so.
  if (place.alternatives !== null && ours.length === 0) return planAlternative(group, place, place.alternatives);
  const missing = links.filter(({ there }) => there.kind === 'free');
  return {
    already,
    steps: missing.map(({ path, target }) => ({
      text: `link ${path} to ${target}`,
      run: () => attempt(() => symlinkSync(target, path), path),
    })),
  };
}

/** Removes links to the programs of this very copy of the package, and its entry in update-alternatives. */
export function planUndo(group: Group, place: Installation): Plan {
  const [leader] = group;
  const steps: Step[] = [];
  const { alternatives } = place;
  if (alternatives !== null && query(leader, place, alternatives).known) {
    const { target } = paths(leader, place);
    steps.push({
      text: `remove ${target} from the alternatives of ${leader.name}`,
      run: () => runAlternatives(alternatives, ['--remove', leader.name, target]),
    });
  }
  for (const link of group) {
    const { path } = paths(link, place);
    if (look(link, place).kind !== 'ours') continue;
    steps.push({ text: `remove the link ${path}`, run: () => attempt(() => unlinkSync(path), path) });
  }
  const nothing = `there is nothing of uipvs to remove for ${leader.name} in ${place.linkDirectory}`;
  return { steps, already: steps.length === 0 ? [nothing] : [] };
}

function planAlternative(group: Group, place: Installation, alternatives: Alternatives): Plan {
  const [leader, ...followers] = group;
  const { path, target } = paths(leader, place);
  const { known, chosen, byHand } = query(leader, place, alternatives);
  if (known && chosen === target) {
    return { steps: [], already: [`${path} links to ${target} already, by update-alternatives`] };
  }
  const words = ['--install', path, leader.name, target, String(PRIORITY)];
  for (const follower of followers) {
    const followed = paths(follower, place);
    words.push('--slave', followed.path, follower.name, followed.target);
  }
  const steps: Step[] = [];
  if (!known) {
    const names = group.map((link) => paths(link, place).path).join(', ');
    steps.push({
      text: `link ${names} to the programs in ${place.programs} by update-alternatives`,
      run: () => runAlternatives(alternatives, words),
    });
  }
  if (chosen === null || (!known && !byHand)) return { steps, already: [] };
  const choose = `update-alternatives --set ${leader.name} ${target}`;
  return { steps, already: [`${path} is ${chosen} until you type \`${choose}\``] };
}

function paths({ name, program }: Link, place: Installation): { readonly path: string; readonly target: string } {
  return { path: join(place.linkDirectory, name), target: join(place.programs, `${program}.js`) };
}

type There =
  | { readonly kind: 'free' | 'ours' | 'alternative' }
  | { readonly kind: 'foreign'; readonly description: string };

function look(link: Link, place: Installation): There {
  const { path, target } = paths(link, place);
  const status = lstatSync(path, { throwIfNoEntry: false });
  if (status === undefined) return { kind: 'free' };
  if (!status.isSymbolicLink()) return { kind: 'foreign', description: 'which is a program of its own' };
  const to = readlinkSync(path);
  const absolute = resolve(dirname(path), to);
  if (absolute === target || realPath(absolute) === realPath(target)) {
    if (place.alternatives === null || dirname(absolute) !== place.alternatives.directory) return { kind: 'ours' };
  }
  if (place.alternatives !== null && absolute === join(place.alternatives.directory, link.name)) {
    return { kind: 'alternative' };
  }
  return { kind: 'foreign', description: `which is a link to ${to}` };
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path; // It leads nowhere.
  }
}

function refusal(path: string, there: There, [{ name }]: Group, place: Installation): string {
  const what = there.kind === 'foreign' ? there.description : '';
  const ways = [place.alternatives === null ? 'Remove it first' : `Remove it with \`apt remove ${name}\``];
  if (place.linkDirectory !== BESIDE) {
    ways.push(`keep both with \`uipvs install --as-${name} --prefix ${BESIDE}\`, where most shells look first`);
  }
  return `there is ${path} already, ${what}; nothing was changed. ${ways.join(', or ')}.`;
}

/** Does update-alternatives know our program, and which one has it chosen? */
function query(
  leader: Link,
  place: Installation,
  { command }: Alternatives,
): { readonly known: boolean; readonly chosen: string | null; readonly byHand: boolean } {
  const [program, ...words] = command;
  const { status, stdout } = spawnSync(program, [...words, '--query', leader.name], { encoding: 'utf8' });
  if (status !== 0) return { known: false, chosen: null, byHand: false };
  const { target } = paths(leader, place);
  const chosen = /^Value: (.*)$/m.exec(stdout)?.[1] ?? null;
  return {
    known: stdout.split('\n').includes(`Alternative: ${target}`),
    chosen: chosen === 'none' ? null : chosen,
    // Otherwise the highest priority is chosen, which may be ours.
    byHand: /^Status: manual$/m.test(stdout),
  };
}

function runAlternatives({ command }: Alternatives, words: readonly string[]): void {
  const [program, ...first] = command;
  const { status, stderr, error } = spawnSync(program, [...first, '--quiet', ...words], { encoding: 'utf8' });
  if (status === 0) return;
  const reason = (error?.message ?? stderr.trim()) || `exit code ${status}`;
  throw new InstallError(`${[program, ...first, ...words].join(' ')} failed: ${reason}${rootHint()}`);
}

function requireDirectory(directory: string): void {
  if (lstatSync(directory, { throwIfNoEntry: false }) === undefined) {
    throw new InstallError(`there is no directory ${directory}; type \`mkdir -p ${directory}\` if it shall be`);
  }
}

function attempt(work: () => void, path: string): void {
  try {
    work();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new InstallError(`${path} cannot be changed: ${code ?? message}${rootHint()}`, { cause: error });
  }
}

function rootHint(): string {
  return process.geteuid?.() === 0 ? '' : '; this needs root (sudo)';
}

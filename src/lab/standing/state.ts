/**
 * What is known of labs that stand: one file for each name in `/run/uipvs/labs`, which is empty after a reboot. With
 * UIPVS_RUN_DIR in the environment it is that directory instead of /run.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { LabError } from '../host.ts';
import { isInUse } from '../leftovers.ts';
import { namespaceName } from '../plan.ts';

export interface StandingState {
  /** What it stands under; the lab's own name unless another was wished. */
  readonly name: string;
  /** Which lab it is: `nat`, `broken-arp`. */
  readonly lab: string;
  /** Part of the names of its namespaces and of its folder. */
  readonly id: string;
  readonly phase: 'being built' | 'up';
  /** When it was begun, in UTC. */
  readonly since: string;
  /** Hints that were told already. */
  readonly hintsTold: number;
}

const NAME_PATTERN = /^[a-z0-9][a-z0-9._-]{0,63}$/i;

function folder(): string {
  return join(process.env['UIPVS_RUN_DIR'] ?? '/run', 'uipvs/labs');
}

function fileOf(name: string): string {
  return join(folder(), `${name}.json`);
}

/** Throws a LabError for a name that no lab can stand under. */
export function checkStandingName(name: string): string {
  if (NAME_PATTERN.test(name)) return name;
  throw new LabError(`"${name}" is no name for a lab: letters, digits, dots, dashes and underscores, at most 64`);
}

/** Notes that a lab of that name is being built; a LabError when there is one already. */
export function beginState(state: StandingState): void {
  try {
    makeFolder();
    writeFileSync(fileOf(state.name), JSON.stringify(state), { flag: 'wx' });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EEXIST') throw new LabError(`what stands cannot be noted in ${folder()}: ${code}`);
    throw new LabError(
      `a lab stands under the name ${state.name} already; take it down (uipvs lab down ${state.name}) or give --name`,
    );
  }
}

/** A folder at a time: where none can be made, as in /proc, a recursive one would try for ever in some versions of Node. */
function makeFolder(): void {
  for (const path of [dirname(folder()), folder()]) {
    if (existsSync(path)) continue;
    try {
      mkdirSync(path);
    } catch (error) {
      // Another lab that is being built was quicker.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}

export function writeState(state: StandingState): void {
  writeFileSync(fileOf(state.name), JSON.stringify(state));
}

/** Forgets that name. */
export function removeState(name: string): void {
  rmSync(fileOf(name), { force: true });
}

/** All that are noted, in order of their names, whether they still stand or not. */
export function readStates(): StandingState[] {
  if (!existsSync(folder())) return [];
  return readdirSync(folder())
    .filter((file) => file.endsWith('.json'))
    .sort()
    .flatMap((file) => {
      const state = readState(file.slice(0, -'.json'.length));
      return state === null ? [] : [state];
    });
}

/** `null`: nothing is noted under that name, or what is there cannot be read. */
export function readState(name: string): StandingState | null {
  try {
    const state = JSON.parse(readFileSync(fileOf(name), 'utf8')) as StandingState;
    return /^[0-9a-f]{6}$/.test(state.id) && state.name === name ? state : null;
  } catch {
    return null;
  }
}

/** Whether there is still something to go into: false after a reboot, or when its processes and namespaces are gone. */
export function isStanding(state: StandingState): boolean {
  return isInUse(state.id) && existsSync(`/run/netns/${namespaceName(state.id, 'director')}`);
}

/**
 * What labs leave on a host and how it is recognised: namespaces named `uipvs-<id>-...`, a folder
 * `/tmp/uipvs-lab-<id>` that says which process the lab belongs to, and processes inside those namespaces. A lab
 * is a leftover when its process is gone.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LAB_MARK, pause, runCommand } from './host.ts';
import { labIdOf } from './plan.ts';

const FOLDERS = '/tmp';
const FOLDER_PATTERN = /^uipvs-lab-([0-9a-f]{6})$/;
const NAMESPACES = '/run/netns';
/** A folder this young may still be about to get its owner. */
const SETTLED_MS = 10_000;
/** How long processes get between being asked to end and being ended. */
const GRACE_MS = 3000;

interface Owner {
  readonly pid: number;
  /** In clock ticks since boot; makes the pid unmistakable. */
  readonly startTicks: number;
}

/** The lab's folder: configuration, logs and what belongs under /run. */
export function labFolder(labId: string): string {
  return join(FOLDERS, `uipvs-lab-${labId}`);
}

/** Makes the lab's folder and notes that it belongs to this process. */
export function claimLab(labId: string): string {
  const folder = labFolder(labId);
  mkdirSync(folder, { mode: 0o700 });
  giveLab(labId, process.pid);
  return folder;
}

/** Notes that the lab belongs to this process from now on: it is a leftover when that is gone. */
export function giveLab(labId: string, pid: number): void {
  const owner: Owner = { pid, startTicks: startTicks(pid) ?? 0 };
  writeFileSync(join(labFolder(labId), 'owner.json'), JSON.stringify(owner));
}

/** Takes down everything of one lab. Never throws: what is gone already is as good. Says what would not go. */
export async function removeLab(labId: string): Promise<string[]> {
  const namespaces = namespacesOf(labId);
  await endProcesses(() => processesOf(labId, namespaces));
  const complaints: string[] = [];
  for (const namespace of namespaces) {
    const { code, stderr } = await runCommand(['ip', 'netns', 'delete', namespace]);
    if (code !== 0) complaints.push(`namespace ${namespace} could not be removed: ${stderr.trim()}`);
  }
  rmSync(labFolder(labId), { recursive: true, force: true });
  return complaints;
}

/** Ids of labs whose process is gone. */
export function findLeftovers(): string[] {
  const ids = new Set<string>();
  for (const name of readFolder(NAMESPACES)) {
    const id = labIdOf(name);
    // Root's: an ordinary user sees the names, but neither whether such a lab runs, nor can they be removed.
    if (id !== null && process.getuid?.() === 0) ids.add(id);
  }
  for (const name of readFolder(FOLDERS)) {
    const id = FOLDER_PATTERN.exec(name)?.[1];
    if (id !== undefined && isOurs(id)) ids.add(id);
  }
  return [...ids].filter((id) => !isInUse(id));
}

/** Ids of labs that are running now. */
export function findRunning(): string[] {
  return readFolder(FOLDERS)
    .map((name) => FOLDER_PATTERN.exec(name)?.[1])
    .filter((id): id is string => id !== undefined && isOurs(id) && isInUse(id));
}

function isOurs(labId: string): boolean {
  return statSync(labFolder(labId), { throwIfNoEntry: false })?.uid === process.getuid?.();
}

/** Whether the process that a lab belongs to is there. */
export function isInUse(labId: string): boolean {
  const folder = labFolder(labId);
  try {
    const owner = JSON.parse(readFileSync(join(folder, 'owner.json'), 'utf8')) as Owner;
    return startTicks(owner.pid) === owner.startTicks;
  } catch {
    const made = statSync(folder, { throwIfNoEntry: false })?.mtimeMs;
    return made !== undefined && Date.now() - made < SETTLED_MS;
  }
}

function namespacesOf(labId: string): string[] {
  return readFolder(NAMESPACES).filter((name) => labIdOf(name) === labId);
}

/**
 * Processes inside the lab's namespaces. A lab of an ordinary user has its namespaces where another process
 * cannot see their names; its processes are those of this user that carry the lab's mark in their environment.
 */
async function processesOf(labId: string, namespaces: readonly string[]): Promise<number[]> {
  if (namespaces.length === 0) return markedProcesses(labId);
  const pids: number[] = [];
  for (const namespace of namespaces) {
    const { stdout } = await runCommand(['ip', 'netns', 'pids', namespace]);
    pids.push(...stdout.split('\n').filter(Boolean).map(Number));
  }
  return pids;
}

function markedProcesses(labId: string): number[] {
  const mark = `${LAB_MARK}=${labId}`;
  return readFolder('/proc')
    .map(Number)
    .filter((pid) => {
      if (!Number.isInteger(pid) || pid === process.pid) return false;
      try {
        return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(mark);
      } catch {
        return false;
      }
    });
}

/** Asks, waits a little, then insists. */
async function endProcesses(find: () => Promise<number[]>): Promise<void> {
  let pids = await find();
  for (const pid of pids) sendSignal(pid, 'SIGTERM');
  // One that was stopped hears of it only when it goes on.
  for (const pid of pids) sendSignal(pid, 'SIGCONT');
  const deadlineMs = performance.now() + GRACE_MS;
  while (pids.length > 0 && performance.now() < deadlineMs) {
    await pause(50);
    pids = await find();
  }
  while (pids.length > 0 && performance.now() < deadlineMs + GRACE_MS) {
    for (const pid of pids) sendSignal(pid, 'SIGKILL');
    await pause(50);
    pids = await find();
  }
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended by itself meanwhile.
  }
}

function startTicks(pid: number): number | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in brackets may hold blanks; the start time is the 20th field after it.
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]);
  } catch {
    return null;
  }
}

function readFolder(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

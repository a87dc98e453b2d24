/**
 * Whether the clock was set while the daemon ran. How long a process runs is known twice: by the clock (the time it
 * noted when it started) and by the kernel's ticks since boot, which nobody can set.
 */
import { readFileSync } from 'node:fs';
import { type Known, known, unknown } from '../facts.ts';

export interface ClockFacts {
  /** Since the daemon started, by the clock and by the kernel. */
  readonly daemonByClockSeconds: number;
  readonly daemonByKernelSeconds: number;
  /** The watch, the same two ways. */
  readonly watchByClockSeconds: number;
  readonly watchByKernelSeconds: number;
}

export interface Moment {
  readonly clockMs: number;
  readonly monotonicMs: number;
}

export function thisMoment(): Moment {
  return { clockMs: Date.now(), monotonicMs: performance.now() };
}

/** What `getconf CLK_TCK` says on every Linux that Node runs on: fixed for programs since 2.6. */
const TICKS_PER_SECOND = 100;

export function compareClocks(pid: number, startedAt: string, began: Moment, ended: Moment): Known<ClockFacts> {
  const age = processAgeSeconds(pid);
  if (age === null) return unknown(`the age of uipvsd (pid ${pid}) cannot be read in /proc`);
  return known({
    daemonByClockSeconds: (ended.clockMs - Date.parse(startedAt)) / 1000,
    daemonByKernelSeconds: age,
    watchByClockSeconds: (ended.clockMs - began.clockMs) / 1000,
    watchByKernelSeconds: (ended.monotonicMs - began.monotonicMs) / 1000,
  });
}

function processAgeSeconds(pid: number): number | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in brackets may hold blanks; the start time is the 20th field after it.
    const ticks = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]);
    const uptime = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);
    return Number.isFinite(ticks) && Number.isFinite(uptime) ? uptime - ticks / TICKS_PER_SECOND : null;
  } catch {
    return null;
  }
}

/** What processors did, from /proc: of some processes, and of the whole machine. */
import { readdirSync, readFileSync } from 'node:fs';

/** Clock ticks a second in /proc (USER_HZ). */
const TICKS_PER_SECOND = 100;

/** Nanoseconds that the threads of these processes have run; processes that are gone count nothing. */
export function runtimeNanoseconds(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + ofProcess(pid), 0);
}

function ofProcess(pid: number): number {
  try {
    const threads = readdirSync(`/proc/${pid}/task`);
    return threads.reduce((sum, thread) => {
      const [running] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ');
      return sum + Number(running);
    }, 0);
  } catch {
    return 0;
  }
}

/** Seconds that all processors together have been busy since the machine started, with whatever. */
export function busySeconds(stat: string = readFileSync('/proc/stat', 'utf8')): number {
  const [user, nice, system, , , interrupts, softInterrupts] = processorLine(stat);
  return (user + nice + system + interrupts + softInterrupts) / TICKS_PER_SECOND;
}

/** Seconds that other machines had our processors. */
export function stolenSeconds(stat: string = readFileSync('/proc/stat', 'utf8')): number {
  return (processorLine(stat)[7] ?? 0) / TICKS_PER_SECOND;
}

function processorLine(stat: string): number[] {
  return stat.slice(0, stat.indexOf('\n')).split(/ +/).slice(1).map(Number);
}

/** Resident memory of these processes, in bytes. */
export function residentBytes(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    try {
      const kilobytes = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
      return sum + Number(kilobytes ?? 0) * 1024;
    } catch {
      return sum;
    }
  }, 0);
}

/** User and system seconds of these processes: where there is no `perf`, this much can be said. */
export function userAndSystemSeconds(pids: readonly number[]): { readonly user: number; readonly system: number } {
  let user = 0;
  let system = 0;
  for (const pid of pids) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      // The name in brackets may hold blanks.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      user += Number(fields[11]) / TICKS_PER_SECOND;
      system += Number(fields[12]) / TICKS_PER_SECOND;
    } catch {
      // It ended meanwhile.
    }
  }
  return { user, system };
}

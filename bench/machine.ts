/** What a result was measured on. */
import { cpus, loadavg, release, totalmem } from 'node:os';

export interface Machine {
  readonly node: string;
  readonly kernel: string;
  readonly processors: number;
  readonly model: string;
  readonly memoryBytes: number;
  /** Processes that wanted a processor, mean of the last minute. */
  readonly load: number;
  /** `2026-11-29`. */
  readonly date: string;
}

export function describeMachine(): Machine {
  return {
    node: process.version,
    kernel: release(),
    processors: cpus().length,
    model: cpus()[0]?.model ?? 'unknown',
    memoryBytes: totalmem(),
    load: loadavg()[0],
    date: new Date().toISOString().slice(0, 10),
  };
}

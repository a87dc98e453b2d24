/** Logs of the daemons: JSON lines on standard error, through pino. Client programs never load this file. */
import { pino } from 'pino';
import type { LogLevel } from './log-level.ts';

/** A sentence, and the facts beside it for programs. */
export type LogLine = (message: string, facts?: Readonly<Record<string, unknown>>) => void;

export interface Logger {
  readonly debug: LogLine;
  readonly info: LogLine;
  readonly warn: LogLine;
  /** An Error goes in as the fact `err`. */
  readonly error: LogLine;
}

/** Lines are written at once: what was logged before a crash is there afterwards. */
export function createLogger(level: LogLevel, program = 'uipvsd'): Logger {
  const destination = pino.destination({ dest: 2, sync: true });
  destination.on('error', () => {}); // Nobody reads standard error any more; the traffic matters more.
  const log = pino(
    {
      level,
      base: { program, pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: named },
    },
    destination,
  );
  return {
    debug: (message, facts = {}) => log.debug(facts, message),
    info: (message, facts = {}) => log.info(facts, message),
    warn: (message, facts = {}) => log.warn(facts, message),
    error: (message, facts = {}) => log.error(facts, message),
  };
}

function named(label: string): { level: string } {
  return { level: label };
}

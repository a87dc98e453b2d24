/** Rows of connections, in the form of `ipvsadm -Lc` and of the two files below /proc, compared with their tolerances. */
import type { Difference } from './difference.ts';
import type { Leniency } from './tolerances.ts';

/** A row apart from its remaining time. */
interface Row {
  readonly line: string;
  readonly rest: string;
  readonly seconds: number;
}

/** Takes a line apart; `null` when its blanks are not those of the form. */
export type RowReader = (line: string) => Row | null;

/** `TCP 14:59  ESTABLISHED 10.0.0.5:40000     ...`: the time is `MM:SS`, padded to 6. */
export function readListingRow(line: string): Row | null {
  const match = /^(\S+ +)((\d{2,}):(\d\d))( +)(\S.*)$/.exec(line);
  if (match === null) return null;
  const [, protocol, time, minutes, seconds, blanks, rest] = match as unknown as string[];
  if (`${time}${blanks}` !== `${time!.padEnd(6)} `) return null;
  return { line, rest: `${protocol}${rest}`, seconds: Number(minutes) * 60 + Number(seconds) };
}

/** `... SYN_RECV         59 sip abc@host`: state in 11, seconds in 7. */
export function readProcRow(line: string): Row | null {
  return readTimedRow(line, /^((?:\S+ +){7}?)(\S+) +(\d+)( \S+ .*)?$/, (state) => state.padEnd(11));
}

/** The same with an origin in 6 before the seconds. */
export function readSyncRow(line: string): Row | null {
  return readTimedRow(line, /^((?:\S+ +){7}?)(\S+ +\S+) +(\d+)()$/, (words) => {
    const [state, origin] = words.split(/ +/) as [string, string];
    return `${state.padEnd(11)} ${origin.padEnd(6)}`;
  });
}

function readTimedRow(line: string, pattern: RegExp, form: (words: string) => string): Row | null {
  const match = pattern.exec(line);
  if (match === null) return null;
  const [, ends, words, seconds, engine] = match as unknown as string[];
  const middle = `${form(words!)} ${seconds!.padStart(7)}`;
  if (line !== `${ends}${middle}${engine ?? ''}`) return null;
  return { line, rest: `${ends}${form(words!)}${engine ?? ''}`, seconds: Number(seconds) };
}

/** How long an entry may be overdue: 4096 ticks of 4 ms and some. */
const OVERDUE_SECONDS = 20;

/**
 * Compares rows as sets under the tolerances `connections-as-a-set`, `one-second` and `overdue-entries`. `nowSeconds`
 * is the time of the listing.
 */
export function compareRows(
  kernel: readonly string[],
  came: readonly string[],
  read: RowReader,
  nowSeconds: number,
  leniency: Leniency,
): Difference | null {
  for (const [whose, lines] of [
    ['kernel', kernel],
    ['ours', came],
  ] as const) {
    for (const row of lines.map(read)) {
      if (row !== null && row.seconds > 0) leniency.forget(overdueKey(whose, row));
    }
  }
  if (kernel.join('\n') === came.join('\n')) return null;
  const left = [...came];
  const missing: string[] = [];
  for (const line of kernel) {
    const at = left.indexOf(line);
    if (at >= 0) left.splice(at, 1);
    else missing.push(line);
  }
  for (const line of missing) {
    const row = read(line);
    const at = row === null ? -1 : left.findIndex((other) => isNear(row, read(other)));
    if (at >= 0) {
      left.splice(at, 1);
      leniency.use('one-second');
    } else if (row === null || !isOverdue(row, 'kernel', nowSeconds, leniency)) {
      return { field: 'connection', kernel: line, came: left.join(' / ') || 'no such row' };
    }
  }
  for (const line of left) {
    const row = read(line);
    if (row === null || !isOverdue(row, 'ours', nowSeconds, leniency)) {
      return { field: 'connection', kernel: 'no such row', came: line };
    }
  }
  if (left.length + missing.length > 0 || [...kernel].sort().join('\n') === [...came].sort().join('\n')) {
    leniency.use('connections-as-a-set');
  }
  return null;
}

function isNear(row: Row, other: Row | null): boolean {
  return other !== null && other.rest === row.rest && Math.abs(other.seconds - row.seconds) <= 1;
}

function isOverdue(row: Row, whose: 'kernel' | 'ours', nowSeconds: number, leniency: Leniency): boolean {
  if (row.seconds !== 0) return false;
  if (leniency.secondsSince(overdueKey(whose, row), nowSeconds) > OVERDUE_SECONDS) return false;
  leniency.use('overdue-entries');
  return true;
}

function overdueKey(whose: 'kernel' | 'ours', row: Row): string {
  return `${whose} overdue ${row.rest}`;
}

/** Listings, transcripts and /proc texts, compared line by line with the tolerances that listings need. */
import type { Difference } from './difference.ts';
import { differingLine } from './difference.ts';
import { compareRows, type RowReader, readListingRow, readProcRow, readSyncRow } from './listing-rows.ts';
import { mendLongRows } from './long-row.ts';
import type { CommandStep, FileStep } from './recording.ts';
import type { Leniency } from './tolerances.ts';

export interface CommandResult {
  readonly stdout: string;
  readonly stderr: string;
  readonly exit: number;
}

/** `procText` is our /proc/net/ip_vs_conn of this moment; only connection listings look at it. */
export function compareCommand(
  step: CommandStep,
  came: CommandResult,
  procText: string,
  leniency: Leniency,
): Difference | null {
  const kind = kindOfListing(step.argv);
  const mended = kind === 'connections' ? mendLongRows(step, procText, leniency) : step;
  if (mended === null) return null;
  if (mended.exit !== came.exit) return { field: 'exit status', kernel: `${mended.exit}`, came: `${came.exit}` };
  const difference =
    kind === 'connections'
      ? compareConnections(mended.stdout, came.stdout, 2, readListingRow, step.t, leniency)
      : kind === 'unsorted'
        ? compareServiceSets(mended.stdout, came.stdout, leniency)
        : compareHelp(mended.stdout, came.stdout, leniency);
  return named('stdout', difference) ?? named('stderr', differingLine(mended.stderr, came.stderr));
}

/** Everything that is no listing; of a help text only the first line is recorded behaviour. */
function compareHelp(kernel: string, came: string, leniency: Leniency): Difference | null {
  const difference = differingLine(kernel, came);
  const bodyAt = kernel.indexOf('\nUsage:\n');
  if (difference === null || bodyAt < 0) return difference;
  const firstLine = kernel.slice(0, kernel.indexOf('\n') + 1);
  if (!came.startsWith(firstLine) || came.length === firstLine.length) return difference;
  leniency.use('own-help-text');
  return null;
}

/** A text of `null`: there is no such file. */
export function compareFile(step: FileStep, came: string | null, leniency: Leniency): Difference | null {
  const { path, text } = step;
  if (text === null || came === null) {
    if (text === came) return null;
    return { field: 'file', kernel: text ?? 'there is no such file', came: came ?? 'there is no such file' };
  }
  if (text === came) return null;
  switch (path) {
    case '/proc/net/ip_vs':
      return compareServiceSets(text, came, leniency);
    case '/proc/net/ip_vs_conn':
      return compareConnections(text, came, 1, readProcRow, step.t, leniency);
    case '/proc/net/ip_vs_conn_sync':
      return compareConnections(text, came, 1, readSyncRow, step.t, leniency);
    case '/proc/net/ip_vs_app':
      return compareHelpers(text, came, leniency);
    case '/proc/sys/net/ipv4/vs/sync_qlen_max':
      return compareQueueLength(text, came, leniency);
    default:
      return differingLine(text, came);
  }
}

function named(stream: string, difference: Difference | null): Difference | null {
  return difference === null ? null : { ...difference, field: `${stream}, ${difference.field}` };
}

function kindOfListing(argv: readonly string[]): 'connections' | 'unsorted' | 'other' {
  const words = argv.slice(1);
  const has = (letter: string, long: string): boolean =>
    words.some((word) => word === `--${long}` || new RegExp(`^-[A-Za-z]*${letter}`).test(word));
  if (!has('L', 'list') && !has('l', 'list')) return 'other';
  if (has('c', 'connection')) return 'connections';
  return words.includes('--nosort') ? 'unsorted' : 'other';
}

function compareConnections(
  kernel: string,
  came: string,
  headings: number,
  read: RowReader,
  nowSeconds: number,
  leniency: Leniency,
): Difference | null {
  const want = kernel.split('\n');
  const have = came.split('\n');
  const heads = differingLine(want.slice(0, headings).join('\n'), have.slice(0, headings).join('\n'));
  if (heads !== null) return heads;
  // The last line ends like all others: nothing stands behind it.
  if (want.at(-1) !== have.at(-1)) return { field: 'the last line', kernel: want.at(-1)!, came: have.at(-1)! };
  return compareRows(want.slice(headings, -1), have.slice(headings, -1), read, nowSeconds, leniency);
}

/** Tolerance `services-as-a-set`: a service with its destinations is one block. */
function compareServiceSets(kernel: string, came: string, leniency: Leniency): Difference | null {
  if (kernel === came) return null;
  const want = takeBlocks(kernel);
  const have = takeBlocks(came);
  const difference =
    differingLine(want.headings, have.headings) ??
    differingLine([...want.blocks].sort().join('\n'), [...have.blocks].sort().join('\n'));
  if (difference === null) leniency.use('services-as-a-set');
  return difference;
}

function takeBlocks(text: string): { readonly headings: string; readonly blocks: readonly string[] } {
  const lines = text.split('\n');
  const first = lines.findIndex((line) => line.startsWith('  -> RemoteAddress')) + 1;
  const blocks: string[] = [];
  for (const line of lines.slice(first)) {
    if (line.startsWith('  ->') && blocks.length > 0) blocks[blocks.length - 1] += `\n${line}`;
    else blocks.push(line);
  }
  return { headings: lines.slice(0, first).join('\n'), blocks };
}

/** Tolerance `queue-length`: until it is set, both may have any number. */
function compareQueueLength(kernel: string, came: string, leniency: Leniency): Difference | null {
  const isDefault = leniency.isConstant(QUEUE_LENGTH_SET, 'no') && /^\d+\n$/.test(kernel) && /^\d+\n$/.test(came);
  if (!isDefault || !leniency.isPair('default of sync_qlen_max', kernel, came)) return differingLine(kernel, came);
  leniency.use('queue-length');
  return null;
}

/** Remembered as `yes` once a case has set sync_qlen_max. */
export const QUEUE_LENGTH_SET = 'sync_qlen_max was set';

const UNUSED_FTP_HELPER = /^TCP {2}21 {6}0 {6}ftp {14}\n/m;

/** Tolerance `loaded-helpers`. */
function compareHelpers(kernel: string, came: string, leniency: Leniency): Difference | null {
  const without = came.replace(UNUSED_FTP_HELPER, '');
  if (kernel !== without) return differingLine(kernel, came);
  leniency.use('loaded-helpers');
  return null;
}

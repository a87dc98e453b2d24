/** Listings and /proc texts, compared with the tolerances that the recordings need. */
import type { Difference } from './outputs.ts';

/** `null`: equal under the rules. */
export function compareCommandOutput(argv: readonly string[], expected: string, actual: string): Difference | null {
  const kind = kindOfListing(argv);
  if (kind === 'connections') return compareRows(expected, actual, 2, readConnectionRow);
  if (kind === 'nosort') return compareServiceSets(expected, actual);
  return firstDifference(expected, actual);
}

export function compareFile(path: string, expected: string, actual: string): Difference | null {
  if (path.endsWith('/ip_vs_conn') || path.endsWith('/ip_vs_conn_sync')) {
    return compareRows(expected, actual, 1, readProcRow);
  }
  if (path.endsWith('/ip_vs')) return compareServiceSets(expected, actual);
  return firstDifference(expected, actual);
}

function kindOfListing(argv: readonly string[]): 'connections' | 'nosort' | 'plain' {
  const first = argv[1] ?? '';
  if (!/^-[A-Za-z]*[Ll]/.test(first) && first !== '--list' && !/^-[A-Za-z]*S/.test(first) && first !== '--save') {
    return 'plain';
  }
  if (argv.includes('--nosort')) return 'nosort';
  return argv.some((word) => word === '--connection' || /^-[A-Za-z]*c/.test(word)) ? 'connections' : 'plain';
}

interface Row {
  /** The row without its remaining time. */
  readonly rest: string;
  readonly seconds: number;
}

function readConnectionRow(line: string): Row | null {
  const match = /^(\S+\s+)(\d+):(\d\d)(.*)$/.exec(line);
  if (match === null) return null;
  // The time is padded, so the blanks behind it depend on its length.
  return { rest: `${match[1]}|${match[4]?.trimStart()}`, seconds: Number(match[2]) * 60 + Number(match[3]) };
}

function readProcRow(line: string): Row | null {
  const match = /^(.{3,}?(?: \S+){7})\s+(\d+)(.*)$/.exec(line) ?? /^(.*?)\s+(\d+)((?: \S+ .*)?)$/.exec(line);
  if (match === null) return null;
  return { rest: `${match[1]}|${match[3]}`, seconds: Number(match[2]) };
}

/** Tolerances `connections-as-a-set`, `one-second` and `overdue-entries`. */
function compareRows(
  expected: string,
  actual: string,
  headings: number,
  read: (line: string) => Row | null,
): Difference | null {
  const want = expected.split('\n');
  const have = actual.split('\n');
  for (let i = 0; i < headings; i++) {
    if (want[i] !== have[i]) return { field: `line ${i + 1}`, expected: want[i] ?? '', actual: have[i] ?? '' };
  }
  const left = have.slice(headings).filter((line) => line !== '');
  for (const line of want.slice(headings).filter((text) => text !== '')) {
    const row = read(line);
    let at = left.indexOf(line);
    if (at < 0 && row !== null) {
      at = left.findIndex((other) => {
        const candidate = read(other);
        return candidate !== null && candidate.rest === row.rest && Math.abs(candidate.seconds - row.seconds) <= 1;
      });
    }
    if (at >= 0) left.splice(at, 1);
    else if (row === null || row.seconds !== 0)
      return { field: 'connection', expected: line, actual: left.join(' / ') };
  }
  const extra = left.find((line) => (read(line)?.seconds ?? -1) !== 0);
  return extra === undefined ? null : { field: 'connection', expected: 'no such entry', actual: extra };
}

/** Tolerance `services-as-a-set`: a service with its destinations is one block. */
function compareServiceSets(expected: string, actual: string): Difference | null {
  const blocks = (text: string): string[] => {
    const result: string[] = [];
    for (const line of text.split('\n')) {
      const continues = line.startsWith('  ->') || line.startsWith('-a ');
      if (continues && result.length > 0) result[result.length - 1] += `\n${line}`;
      else result.push(line);
    }
    return result.sort();
  };
  return firstDifference(blocks(expected).join('\n'), blocks(actual).join('\n'));
}

function firstDifference(expected: string, actual: string): Difference | null {
  if (expected === actual) return null;
  const want = expected.split('\n');
  const have = actual.split('\n');
  for (let i = 0; i < Math.max(want.length, have.length); i++) {
    if (want[i] !== have[i]) {
      return { field: `line ${i + 1}`, expected: want[i] ?? '(end)', actual: have[i] ?? '(end)' };
    }
  }
  return { field: 'text', expected, actual };
}

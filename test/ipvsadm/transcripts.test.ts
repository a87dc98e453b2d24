/**
 * Transcripts of ipvsadm 1.31 on a real Linux 6.1 kernel: every command, in order, against the table in memory.
 * Where packets came, what they made of the table is read back from the recording.
 */
import { describe, expect, test } from 'vitest';
import { learnListing, readConnections } from './recorded-state.ts';
import { readCompressedExample, run } from './run.ts';
import { type TestLink, TestTable } from './table.ts';

interface Step {
  /** `traffic`: packets came or time went by. `connections`: /proc/net/ip_vs_conn was read. */
  readonly do: 'cmd' | 'traffic' | 'connections';
  readonly text?: string;
  readonly argv?: readonly string[];
  readonly stdin?: string;
  readonly stdout?: string;
  readonly stderr?: string;
  readonly exit?: number;
}
interface Transcript {
  readonly id: string;
  readonly title: string;
  readonly links: readonly TestLink[];
  readonly steps: readonly Step[];
}

const transcripts = readCompressedExample<Transcript[]>('transcripts.json.gz');

/** Help is in our own words; its first line is not. */
function isHelp(words: readonly string[]): boolean {
  return words[0] === '-h' || words[0] === '--help';
}

/** Services in table order come from hash buckets: a set. The lines of one service keep their order. */
function asSet(text: string): string {
  const [version, heading, secondHeading, ...lines] = text.trimEnd().split('\n');
  const services: string[] = [];
  for (const line of lines) {
    if (line.startsWith('  -> ')) services.push(`${services.pop()}\n${line}`);
    else services.push(line);
  }
  return [version, heading, secondHeading, ...services.sort()].join('\n');
}

/** Seconds go on between the listing and the file that was read after it. */
function withoutExpiry(text: string): string {
  return text.replace(/^(\S+ +)\d+:\d\d/gm, '$1');
}

function isListing(words: readonly string[]): boolean {
  return words[0]!.startsWith('-L');
}

/** Takes over what the steps from here to the next change or packet say about counters and connections. */
function learn(table: TestTable, steps: readonly Step[]): void {
  for (const step of steps) {
    if (step.do === 'connections') table.connections = readConnections(step.text ?? '');
    const words = step.argv?.slice(1) ?? [];
    if (step.do === 'traffic' || (step.do === 'cmd' && !isListing(words) && words[0] !== '-S')) return;
    if (words[0] === '-Ln' && step.stdout !== undefined) learnListing(table, words, step.stdout);
  }
}

let compared = 0;

describe('transcripts of a real kernel', () => {
  for (const transcript of transcripts) {
    test(`${transcript.id}: ${transcript.title}`, async () => {
      const table = new TestTable(transcript.links);
      let traffic = false;
      for (const [index, step] of transcript.steps.entries()) {
        if (step.do === 'traffic') traffic = true;
        if (step.argv === undefined) continue;
        const words = step.argv.slice(1);
        if (traffic && isListing(words)) learn(table, transcript.steps.slice(index));
        const actual = await run(table, words, { stdin: step.stdin ?? '' });
        const wanted = { exit: step.exit ?? 0, stdout: step.stdout ?? '', stderr: step.stderr ?? '' };
        const where = `step ${index}: ${step.argv.join(' ')}`;
        compared++;
        if (isHelp(words)) {
          expect(actual.stdout.split('\n')[0], where).toBe(wanted.stdout.split('\n')[0]);
          expect(actual.exit, where).toBe(0);
        } else if (words[0] === '-Lnc') {
          expect({ ...actual, stdout: withoutExpiry(actual.stdout) }, where).toEqual({
            ...wanted,
            stdout: withoutExpiry(wanted.stdout),
          });
        } else if (words.includes('--nosort') && wanted.exit === 0) {
          expect({ ...actual, stdout: asSet(actual.stdout) }, where).toEqual({
            ...wanted,
            stdout: asSet(wanted.stdout),
          });
        } else {
          expect(actual, where).toEqual(wanted);
        }
      }
    });
  }

  test('all 3156 commands are compared', () => {
    expect(compared).toBe(3156);
  });
});

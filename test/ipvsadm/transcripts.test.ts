/**
 * Transcripts of ipvsadm 1.31 on a real Linux 6.1 kernel: every command, in order, against the table in memory.
 * From the first packet on, only what does not depend on traffic is compared.
 */
import { describe, expect, test } from 'vitest';
import { readCompressedExample, run } from './run.ts';
import { type TestLink, TestTable } from './table.ts';

interface Step {
  readonly do: 'cmd' | 'packet';
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

/** Counters, loads, rates and connections are made by packets. */
function dependsOnPackets(words: readonly string[]): boolean {
  return words[0]!.startsWith('-L') || words[0] === '--list';
}

let compared = 0;
let leftOut = 0;

describe('transcripts of a real kernel', () => {
  for (const transcript of transcripts) {
    test(`${transcript.id}: ${transcript.title}`, async () => {
      const table = new TestTable(transcript.links);
      let packets = false;
      for (const [index, step] of transcript.steps.entries()) {
        if (step.do === 'packet') packets = true;
        if (step.argv === undefined) continue;
        const words = step.argv.slice(1);
        const actual = await run(table, words, { stdin: step.stdin ?? '' });
        const wanted = { exit: step.exit ?? 0, stdout: step.stdout ?? '', stderr: step.stderr ?? '' };
        const where = `step ${index}: ${step.argv.join(' ')}`;
        if (packets && dependsOnPackets(words) && wanted.exit === 0) {
          leftOut++;
          continue;
        }
        compared++;
        if (isHelp(words)) {
          expect(actual.stdout.split('\n')[0], where).toBe(wanted.stdout.split('\n')[0]);
          expect(actual.exit, where).toBe(0);
        } else if (words.includes('--nosort') && wanted.exit === 0) {
          expect({ ...actual, stdout: asSet(actual.stdout) }, where).toEqual({ ...wanted, stdout: asSet(wanted.stdout) });
        } else {
          expect(actual, where).toEqual(wanted);
        }
      }
    });
  }

  test('nearly all of the 3156 commands are compared', () => {
    expect({ compared, leftOut }).toEqual({ compared: 3100, leftOut: 56 });
  });
});

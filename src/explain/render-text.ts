/** A story for a terminal. */
import { formatRepair } from './checksum-repair.ts';
import type { FieldPair, HeaderPair } from './difference.ts';
import { bytesOfHex, dumpRows } from './hex.ts';
import type { Paint } from './paint.ts';
import type { ToldStep } from './steps.ts';
import type { Story, ToldOutput } from './story.ts';

export interface TextOptions {
  readonly paint: Paint;
  /** Dump the bytes as well. */
  readonly hex: boolean;
}

export function renderText(story: Story, { paint, hex }: TextOptions): string {
  const isBad = story.verdict === 'drop';
  const lines = [
    paint('heading', story.packet),
    `${paint(isBad ? 'bad' : 'good', story.ending)}${story.reason === 'none' ? '' : paint('dim', ` (${story.reason})`)}`,
  ];
  if (story.wayOut !== '') lines.push(`way out: ${story.wayOut}`);
  lines.push('');
  for (const step of story.steps) lines.push(...stepLines(step, paint));
  for (const output of story.outputs) lines.push('', ...outputLines(story, output, paint, hex));
  if (story.outputs.length === 0 && hex) {
    lines.push('', paint('heading', 'bytes'), ...dump(story.trace.frame, [], paint));
  }
  return `${lines.join('\n')}\n`;
}

function stepLines({ number, name, outcome, sentences }: ToldStep, paint: Paint): string[] {
  const heading = `${number} ${name}`;
  if (outcome === 'unreached') return [paint('dim', `${heading}: not reached`)];
  if (outcome === 'skipped') return [paint('dim', `${heading}: ${sentences.join(' ')}`)];
  return [paint('heading', heading), ...sentences.map((sentence) => `    ${sentence}`)];
}

function outputLines(story: Story, output: ToldOutput, paint: Paint, hex: boolean): string[] {
  const where = output.link === null ? 'to the host’s own stack' : `by ${output.link}`;
  const what = output.kind === 'packet' ? 'The packet left' : 'The engine itself sent';
  const lines = [paint('heading', `${what} ${where}:`), `    ${output.summary}`];
  const { difference } = output;
  if (difference !== null) {
    for (const header of difference.headers) lines.push('', ...headerLines(header, paint));
    for (const repair of output.checksums) {
      lines.push('', paint('heading', `${repair.name}, by RFC 1624: HC' = ~(~HC + ~m + m')`));
      lines.push(...formatRepair(repair).map((line) => `    ${line}`));
    }
  }
  if (hex) {
    if (difference !== null) {
      lines.push('', paint('heading', 'bytes before'), ...dump(story.trace.frame, difference.bytesBefore, paint));
    }
    lines.push('', paint('heading', difference === null ? 'bytes' : 'bytes after'));
    lines.push(...dump(output.frame, difference?.bytesAfter ?? [], paint));
  }
  return lines;
}

const NAME_WIDTH = 26;
const VALUE_WIDTH = 26;

function headerLines({ title, change, fields }: HeaderPair, paint: Paint): string[] {
  const word = change === 'added' ? ' (added)' : change === 'same' ? ' (unchanged)' : '';
  const lines = [paint('heading', `${title}${word}`)];
  for (const field of fields) lines.push(fieldLine(field, change === 'added', paint));
  return lines;
}

function fieldLine({ name, before, after, changed, why }: FieldPair, isAdded: boolean, paint: Paint): string {
  const left = (before ?? '').padEnd(VALUE_WIDTH);
  if (isAdded) return paint('changed', `  + ${name.padEnd(NAME_WIDTH)} ${after ?? ''}`);
  if (!changed) return paint('dim', `    ${name.padEnd(NAME_WIDTH)} ${before ?? ''}`);
  const reason = why === '' ? '' : `  ${why}`;
  return paint(
    'changed',
    `  * ${name.padEnd(NAME_WIDTH)} ${left} -> ${(after ?? 'gone').padEnd(reason === '' ? 0 : VALUE_WIDTH)}${reason}`,
  );
}

/** Changed bytes stand in brackets, so that they are seen without colours. */
function dump(frame: string, marked: readonly number[], paint: Paint): string[] {
  return dumpRows(bytesOfHex(frame), new Set(marked)).map(({ at, bytes }) => {
    const row = bytes.map(({ text, marked: isMarked }) => (isMarked ? paint('changed', `[${text}]`) : ` ${text} `));
    return `    ${at.toString(16).padStart(4, '0')} ${row.join('')}`.trimEnd();
  });
}

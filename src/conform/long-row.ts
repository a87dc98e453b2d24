/**
 * Tolerance `long-row`. The recorded `ipvsadm` reads ip_vs_conn in pieces of at most 255 characters. Of a longer line
 * it shows the first piece, then the rest as a row of its own with the values of the row before; for IPv6 it crashes.
 * Here the recorded listing is mended, if our table holds such a line at this moment, and then compares as it is.
 */
import type { CommandStep } from './recording.ts';
import type { Leniency } from './tolerances.ts';

const PIECE_CHARACTERS = 255;
/** The first column of a row holds so many characters of whatever stands there. */
const PROTOCOL_CHARACTERS = 8;
const KILLED_BY_SEGMENTATION_FAULT = -11;

/** The listing without the flaw; `null` when there is none to compare, because the recorded program crashed. */
export function mendLongRows(step: CommandStep, procText: string, leniency: Leniency): CommandStep | null {
  const long = procText.split('\n').filter((line) => line.length > PIECE_CHARACTERS);
  if (long.length === 0) return step;
  if (step.exit === KILLED_BY_SEGMENTATION_FAULT && step.stdout === '' && long.some((line) => line.includes(':'))) {
    leniency.use('long-row');
    return null;
  }
  const rows: string[] = [];
  for (const line of step.stdout.split('\n')) {
    const row = rows.at(-1) ?? '';
    const source = isLeftover(row, line) ? long.find((text) => leftoverOf(text) === line.split(' ')[0]) : undefined;
    if (source === undefined) {
      rows.push(line);
      continue;
    }
    leniency.use('long-row');
    const shown = dataOf(source.slice(0, PIECE_CHARACTERS));
    if (row.endsWith(` ${shown}`)) rows[rows.length - 1] = row.slice(0, -shown.length) + dataOf(source);
  }
  return { ...step, stdout: rows.join('\n') };
}

function leftoverOf(line: string): string {
  return line.slice(PIECE_CHARACTERS, PIECE_CHARACTERS + PROTOCOL_CHARACTERS);
}

/** Behind the engine's name, the last of the row's words. */
function dataOf(line: string): string {
  return line.slice(line.lastIndexOf(' ') + 1);
}

/** Whether `line` repeats time, state, source, virtual address and destination of `row`, with virtual port 0. */
function isLeftover(row: string, line: string): boolean {
  const before = row.split(/ +/);
  const values = line.split(/ +/);
  if (before.length < 6 || values.length !== 6) return false;
  const virtual = (before[4] as string).replace(/:\d+$/, ':0');
  return values.slice(1, 4).join() === before.slice(1, 4).join() && values[4] === virtual && values[5] === before[5];
}

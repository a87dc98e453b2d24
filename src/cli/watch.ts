/** `--watch`: the same again every second, in place on a terminal, one after the other elsewhere. */
import type { Cli } from './cli.ts';
import type { OptionDescription, Output } from './command-line.ts';

export const WATCH_OPTION: OptionDescription = {
  flags: '--watch',
  description: 'print it again every second, until Ctrl-C; with --json one line each time',
};

const PERIOD_MS = 1_000;

// ECMA-48: cursor to the upper left corner; erase to the end of the line; erase all that is below.
const HOME = '\x1b[H';
const CLEAR_LINE = '\x1b[K';
const CLEAR_BELOW = '\x1b[J';

/** Where one picture is drawn. */
export interface Canvas extends Pick<Output, 'stdout'> {
  /** Lines that can be seen; no more need be made. */
  readonly rows: number;
}

/** Draws once, or again and again with `watch`. Resolves to the exit code. */
export async function draw(cli: Cli, watch: boolean, picture: (canvas: Canvas) => Promise<void>): Promise<number> {
  const { terminal } = cli;
  if (!watch || terminal === null) {
    do await picture({ stdout: (text) => cli.stdout(text), rows: Number.POSITIVE_INFINITY });
    while (watch && (await cli.pause(PERIOD_MS)));
    return 0;
  }
  do {
    const rows = Math.max(terminal.rows() - 1, 1);
    const lines = await gather(rows, picture);
    await cli.stdout(`${HOME}${lines.map((line) => `${line}${CLEAR_LINE}\n`).join('')}${CLEAR_BELOW}`);
  } while (await cli.pause(PERIOD_MS));
  return 0;
}

/** The first lines of the picture; the rest is counted in the last of them. */
async function gather(rows: number, picture: (canvas: Canvas) => Promise<void>): Promise<string[]> {
  let text = '';
  await picture({
    rows,
    stdout: (piece) => {
      text += piece;
    },
  });
  const lines = text.replace(/\n$/, '').split('\n');
  if (lines.length <= rows) return lines;
  return [...lines.slice(0, rows - 1), `... and ${lines.length - rows + 1} lines more`];
}

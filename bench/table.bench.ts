/**
 * The connection table from a thousand connections to ten million: memory, what it costs to open, find and expire
 * one, and the longest turn that a packet would have to wait for, while connections come and go all the time.
 * Every size is measured in a process of its own, in virtual time, without any I/O. Prints Markdown and writes
 * bench/results/table.json. Options: --sizes 1000,100000,1000000,4000000,10000000 --turns 10000.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { describeMachine } from './machine.ts';
import { tableGoals } from './table/goals.ts';
import { measureTable, type TableFigures } from './table/measure.ts';
import { formatMarkdown } from './text-table.ts';

const HEADINGS = [
  'connections',
  'bytes each',
  'thousand SYNs/s',
  'ns to find: one',
  'in a batch',
  'memory read',
  'ns a packet',
  'ns to expire',
  'longest turn ms',
  '99.9 % ms',
  'all at once ms',
  'page ms',
];

const { values } = parseArgs({
  options: {
    sizes: { type: 'string', default: '1000,100000,1000000,4000000,10000000' },
    turns: { type: 'string', default: '10000' },
    one: { type: 'string' },
  },
});

if (values.one !== undefined) {
  process.stdout.write(JSON.stringify(measureTable(Number(values.one), Number(values.turns))));
} else {
  const figures = values.sizes.split(',').map((size) => {
    process.stderr.write(`${size} connections ...\n`);
    const measured = inOwnProcess(size, values.turns);
    process.stderr.write(`  ${cells(measured).join('  ')}\n`);
    return measured;
  });
  console.log(formatMarkdown(HEADINGS, figures.map(cells)));
  const goals = tableGoals(figures);
  console.log(`\n${goals.map((goal) => `- ${goal}`).join('\n')}`);
  mkdirSync('bench/results', { recursive: true });
  const results = { machine: describeMachine(), figures, goals };
  writeFileSync('bench/results/table.json', `${JSON.stringify(results, null, 2)}\n`);
}

function inOwnProcess(size: string, turns: string): TableFigures {
  const program = fileURLToPath(import.meta.url);
  const words = [...process.execArgv, program, '--one', size, '--turns', turns];
  const { status, stdout } = spawnSync(process.execPath, words, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (status !== 0) throw new Error(`the process that measured ${size} connections ended with ${status}`);
  return JSON.parse(stdout) as TableFigures;
}

function cells(figures: TableFigures): string[] {
  return [
    String(figures.connections),
    figures.bytesPerConnection === null ? '' : String(figures.bytesPerConnection),
    figures.opensPerSecond === null ? '' : (figures.opensPerSecond / 1000).toFixed(0),
    figures.findNanoseconds.toFixed(0),
    figures.findInBatchNanoseconds.toFixed(0),
    figures.readNanoseconds.toFixed(0),
    figures.packetNanoseconds.toFixed(0),
    figures.expireNanoseconds?.toFixed(0) ?? '',
    figures.longestTurnMs.toFixed(2),
    figures.turnP999Ms.toFixed(2),
    figures.longestTurnAtMassExpiryMs.toFixed(2),
    figures.longestPageMs.toFixed(2),
  ];
}

/** `uipvs simulate`: the schedulers under traffic that does not exist. */
import { writeFileSync } from 'node:fs';
import { IpvsError } from '../model/errors.ts';
import { COMPARED } from '../simulate/baselines.ts';
import {
  changesOf,
  offeredLoad,
  parseArrivals,
  parseChange,
  parseNumbers,
  parseServiceTime,
  serversOf,
} from '../simulate/options.ts';
import { formatComparison, formatCsv, formatResult } from '../simulate/report.ts';
import type { SimulationResult } from '../simulate/result.ts';
import type { Arrivals, Change, Scenario, ServiceTime } from '../simulate/scenario.ts';
import { simulate } from '../simulate/simulate.ts';
import { type CommandDescription, type Output, readOptions, USAGE_EXIT_CODE, wholeNumber } from './command-line.ts';

export interface SimulateIo extends Output {
  /** Standard error is a terminal: progress is shown there. */
  readonly isTty: boolean;
}

const SECONDS_MAX = 1_000_000;
const CLIENTS_MAX = 1 << 24;

export const SIMULATE: CommandDescription = {
  name: 'uipvs simulate',
  summary: 'try schedulers under chosen arrivals, work, weights, clients and failures, in time of its own',
  options: [
    {
      flags: '--scheduler <names>',
      description: 'with commas between: each is simulated',
      preset: 'rr,wrr,lc,wlc,sh,mh,twos',
    },
    { flags: '--weights <numbers>', description: 'one for each server', preset: '1,1,1' },
    { flags: '--speeds <numbers>', description: 'how fast each works; one number is for all', preset: '1' },
    {
      flags: '--workers <count>',
      description: 'requests a server works at side by side',
      preset: 8,
      parse: wholeNumber(1, 1_000_000),
    },
    { flags: '--rate <number>', description: 'requests a second', preset: '500' },
    { flags: '--arrivals <kind>', description: 'poisson, constant, or burst:SIZE', preset: 'poisson' },
    {
      flags: '--service <kind>',
      description: 'work of a request: exponential, constant or pareto, with its mean',
      preset: 'exponential:20ms',
    },
    { flags: '--clients <count>', description: 'client addresses', preset: 1_000, parse: wholeNumber(1, CLIENTS_MAX) },
    { flags: '--zipf <number>', description: 'how unevenly clients come; 0: all alike', preset: '0' },
    {
      flags: '--seconds <count>',
      description: 'how long requests come',
      preset: 60,
      parse: wholeNumber(1, SECONDS_MAX),
    },
    {
      flags: '--at <change>',
      description: 'what happens when: "10s rs2 down", "20s rs2 up", "30s rs1 weight 0"; may be repeated',
      repeats: true,
    },
    { flags: '--linger <seconds>', description: 'how long a finished connection counts as inactive', preset: '0' },
    { flags: '--sched-flags <flags>', description: 'of sh and mh: fallback, port, or both with a comma' },
    {
      flags: '--seed <number>',
      description: 'the same seed gives the same result',
      preset: 1,
      parse: wholeNumber(0, 2 ** 31),
    },
    { flags: '--json', description: 'print JSON' },
    { flags: '--csv', description: 'print CSV, one line for each server of each scheduler' },
    { flags: '--svg <file>', description: 'write a picture: load over time and shares' },
  ],
  notes: `Every scheduler gets the same arrivals, clients and work; only its choices differ. "random" is a baseline that IPVS
does not have. Servers are called rs1, rs2, ... in the order of their weights.

  share      of all requests       busy     share of the time in which its workers worked
  queue      waiting on average    longest  most that waited
  imbalance  load of the busiest server over the average; 1 is even
  moved      clients of the other servers that got another server when one came or went

Keys of --json: scenario, results (scheduler, requests, refused, servers, responseSeconds, imbalance, churn, timeline).

Exit codes: 0 done, 2 the words were not understood, 130 stopped by Ctrl-C.`,
};

/** Resolves to the exit code; never rejects for what a person can cause. */
export async function runSimulate(words: readonly string[], io: SimulateIo): Promise<number> {
  const options: Readonly<Record<string, unknown>> = await readOptions(SIMULATE, words, io);
  if (typeof options['exitCode'] === 'number') return options['exitCode'];
  let wanted: { scenario: Scenario; schedulers: readonly string[] };
  try {
    wanted = { scenario: readScenario(options), schedulers: readSchedulers(options['scheduler'] as string) };
  } catch (error) {
    await io.stderr(`uipvs simulate: ${(error as Error).message}\n`);
    return USAGE_EXIT_CODE;
  }
  const results: SimulationResult[] = [];
  for (const [index, name] of wanted.schedulers.entries()) {
    const progress = (share: number) => showProgress(io, name, (index + share) / wanted.schedulers.length);
    results.push(await simulate(wanted.scenario, COMPARED[name] as (typeof COMPARED)[string], { progress }));
  }
  if (io.isTty) await io.stderr('\r\x1b[K');
  await print(wanted.scenario, results, options, io);
  return 0;
}

function readScenario(options: Readonly<Record<string, unknown>>): Scenario {
  const text = (name: string) => options[name] as string;
  const weights = named('--weights', () => parseNumbers(text('weights'), 0, true));
  const speeds = named('--speeds', () => parseNumbers(text('speeds'), 0.001, false));
  const servers = named('--speeds', () => serversOf(weights, speeds, options['workers'] as number));
  const changes = ((options['at'] as string[] | undefined) ?? []).map(
    (change): Change => named('--at', () => parseChange(change)),
  );
  const arrivals = named('--arrivals', () => parseArrivals(text('arrivals')));
  const perSecond = number('--rate', text('rate'), 0.001);
  const serviceTime: ServiceTime = named('--service', () => parseServiceTime(text('service')));
  return {
    servers,
    arrivals: { ...arrivals, perSecond } as Arrivals,
    serviceTime,
    clients: options['clients'] as number,
    zipf: number('--zipf', text('zipf'), 0),
    seconds: options['seconds'] as number,
    changes: named('--at', () => changesOf(changes, servers.length)),
    lingerSeconds: number('--linger', text('linger'), 0),
    schedulerFlags: readFlags(options['schedFlags'] as string | undefined),
    seed: options['seed'] as number,
  };
}

function named<T>(option: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new Error(`${option}: ${(error as Error).message}`);
  }
}

function number(option: string, text: string, min: number): number {
  const value = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && value >= min && value <= 1e9) return value;
  throw new Error(`${option}: It must be a number of at least ${min}, not "${text}".`);
}

const FLAGS: Readonly<Record<string, 1 | 2>> = { fallback: 1, port: 2 };

function readFlags(text: string | undefined): (1 | 2)[] {
  return (text?.split(',') ?? []).map((word) => {
    const flag = Object.hasOwn(FLAGS, word) ? FLAGS[word] : undefined;
    if (flag === undefined) throw new Error(`--sched-flags: there are fallback and port, not "${word}".`);
    return flag;
  });
}

function readSchedulers(text: string): string[] {
  const names = text.split(',');
  for (const name of names) {
    if (Object.hasOwn(COMPARED, name)) continue;
    throw new Error(`--scheduler: there is no scheduler "${name}"; there are ${Object.keys(COMPARED).join(', ')}.`);
  }
  return names;
}

async function print(
  scenario: Scenario,
  results: readonly SimulationResult[],
  options: Readonly<Record<string, unknown>>,
  io: SimulateIo,
): Promise<void> {
  const svg = options['svg'] as string | undefined;
  if (svg !== undefined) await writePicture(svg, results);
  if (options['json']) await io.stdout(`${JSON.stringify({ scenario, results }, null, 2)}\n`);
  else if (options['csv']) await io.stdout(formatCsv(results));
  else {
    const load = offeredLoad(scenario);
    await io.stdout(`${results.map(formatResult).join('\n')}\n`);
    if (results.length > 1) await io.stdout(`${formatComparison(results)}\n`);
    await io.stdout(
      `All servers together are ${(100 * load).toFixed(0)}% busy${load >= 1 ? ': queues grow without end' : ''}.\n`,
    );
  }
}

async function writePicture(file: string, results: readonly SimulationResult[]): Promise<void> {
  const { simulationPicture } = await import('../simulate/picture.ts');
  const picture = await simulationPicture(results);
  try {
    writeFileSync(file, picture);
  } catch (cause) {
    throw new IpvsError('EPERM', `${file} cannot be written: ${(cause as Error).message}`, { cause });
  }
}

async function showProgress(io: SimulateIo, name: string, share: number): Promise<void> {
  // Ctrl-C is heard here.
  await new Promise((turn) => setImmediate(turn));
  if (!io.isTty) return;
  const cells = Math.round(share * 30);
  await io.stderr(`\r\x1b[K[${'#'.repeat(cells)}${'.'.repeat(30 - cells)}] ${Math.round(share * 100)}% ${name}`);
}

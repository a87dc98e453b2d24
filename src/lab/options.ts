/** The words after `uipvs lab`: commands, options, and the sentences for wrong ones. */
import { parseArgs } from 'node:util';
import { TUTORIAL_SCHEDULER } from './configuration.ts';
import { LabError } from './host.ts';
import { LAB_MODES, type LabMode, SERVER_ADDRESSES } from './topology.ts';

/** At `afterRequests` answered requests this server loses its link, or gets it back. */
export interface PowerStep {
  readonly address: string;
  readonly power: 'on' | 'off';
  readonly afterRequests: number;
}

export interface RunLabOptions {
  readonly scenario: string;
  readonly mode: LabMode;
  readonly io: 'packet-mmsg' | 'pcap';
  readonly scheduler: string;
  readonly requests: number;
  readonly concurrency: number;
  /** In order of `afterRequests`. */
  readonly steps: readonly PowerStep[];
  /** Stay up afterwards. */
  readonly keep: boolean;
  readonly json: boolean;
  /** Write a capture of the director's links to this file. */
  readonly capture: string | null;
}

export type LabCommand =
  | { readonly word: 'run'; readonly options: RunLabOptions }
  | { readonly word: 'list' }
  | { readonly word: 'clean' }
  | { readonly word: 'help' };

/** Scenario name -> what it shows. */
export const SCENARIOS: Readonly<Record<string, string>> = {
  tutorial: 'one client, the director with 192.168.1.120:80, three web servers, ping checks, a fallback page',
};

export const LAB_HELP = `Usage: uipvs lab [run] [SCENARIO] [OPTIONS]
       uipvs lab list
       uipvs lab clean

Builds a small network inside this machine, runs uipvsd and uldirectord in it, sends real HTTP requests
through them with ab, shows who answered, and removes everything again. Nothing outside the lab is touched.

  run               build, measure, remove (scenario: tutorial)
  list              the scenarios
  clean             remove what a killed lab left behind

  --scenario NAME   the same as the word after run
  --mode MODE       fullnat (default): the servers need to know nothing of the director
                    masq: the director is the servers' gateway; dr: they answer the client directly
  --io BACKEND      packet-mmsg (default) or pcap: how uipvsd reads and writes packets
  --scheduler NAME  default rr
  --requests N      default 1000
  --concurrency N   default 20
  --kill ADDRESS@N  this server loses its network after N requests; may be repeated
  --revive ADDRESS@N  and has it again after N requests
  --capture FILE    write what passed the director's links (needs tcpdump and ethtool)
  --keep            stay up until Ctrl-C and say how to look around
  --json            the last line of standard output is one JSON object
`;

/** Reads the words. Throws a LabError that names the wrong one. */
export function parseLabArguments(words: readonly string[]): LabCommand {
  const { values, positionals } = parseWords(words);
  if (values.help || positionals[0] === 'help') return { word: 'help' };
  const word = positionals[0] ?? 'run';
  if (word === 'list' || word === 'clean') return { word };
  const scenario = (word === 'run' ? positionals[1] : word) ?? values.scenario ?? 'tutorial';
  if (SCENARIOS[scenario] === undefined) {
    throw new LabError(`there is no scenario "${scenario}"; there is: ${Object.keys(SCENARIOS).join(', ')}`);
  }
  const requests = count('--requests', values.requests, 1, 10_000_000);
  const steps = [
    ...(values.kill ?? []).map((text) => powerStep('--kill', text, 'off', requests)),
    ...(values.revive ?? []).map((text) => powerStep('--revive', text, 'on', requests)),
  ];
  const options: RunLabOptions = {
    scenario,
    mode: oneOf('--mode', values.mode, LAB_MODES),
    io: oneOf('--io', values.io, ['packet-mmsg', 'pcap'] as const),
    scheduler: values.scheduler,
    requests,
    concurrency: Math.min(count('--concurrency', values.concurrency, 1, 20_000), requests),
    steps: steps.sort((a, b) => a.afterRequests - b.afterRequests),
    keep: values.keep,
    json: values.json,
    capture: values.capture ?? null,
  };
  return { word: 'run', options };
}

function parseWords(words: readonly string[]) {
  try {
    return parseArgs({
      args: [...words],
      allowPositionals: true,
      options: {
        scenario: { type: 'string' },
        mode: { type: 'string', default: 'fullnat' },
        io: { type: 'string', default: 'packet-mmsg' },
        scheduler: { type: 'string', default: TUTORIAL_SCHEDULER },
        requests: { type: 'string', default: '1000' },
        concurrency: { type: 'string', default: '20' },
        kill: { type: 'string', multiple: true },
        revive: { type: 'string', multiple: true },
        capture: { type: 'string' },
        keep: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
  } catch (error) {
    throw new LabError(`${(error as Error).message.split('. ')[0]}; see uipvs lab --help`);
  }
}

function oneOf<T extends string>(option: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((candidate) => candidate === value);
  if (found === undefined) throw new LabError(`${option} takes ${allowed.join(', ')}, not "${value}"`);
  return found;
}

function count(option: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (/^[0-9]+$/.test(text) && value >= min && value <= max) return value;
  throw new LabError(`${option} takes a number from ${min} to ${max}, not "${text}"`);
}

function powerStep(option: string, text: string, power: PowerStep['power'], requests: number): PowerStep {
  const [address, after] = text.split('@');
  if (after === undefined || !SERVER_ADDRESSES.includes(address)) {
    throw new LabError(`${option} takes ADDRESS@REQUESTS with one of ${SERVER_ADDRESSES.join(', ')}, not "${text}"`);
  }
  return { address, power, afterRequests: count(option, after, 0, requests) };
}

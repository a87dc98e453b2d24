/**
 * Recordings of a real kernel's IPVS: what was done, and what came of it. A recording that does not have this form
 * is refused before anything of it is played, with the place where it is wrong.
 */
import { parseAddress } from '../wire/address.ts';

/** What recordings are about; each has one. */
export const CATEGORIES: readonly string[] = ['cli', 'fsm', 'hash', 'packets', 'sched', 'stats', 'sync'];

export interface RecordedInterface {
  readonly name: string;
  readonly mac: string;
  readonly mtu: number;
  /** `10.0.0.1/24` */
  readonly addrs: readonly string[];
  /** Address to MAC. */
  readonly neigh?: Readonly<Record<string, string>>;
  readonly gateways?: readonly string[];
}

/** A packet that left: interface, next hop (address, or a MAC nobody is known by), bytes from the IP header on. */
export interface RecordedOutput {
  readonly dev: string;
  readonly to: string;
  readonly hex: string;
  /** For human eyes. */
  readonly sum?: string;
  /** Seconds after the beginning of a wait. */
  readonly dt?: number;
}

interface StepBase {
  /** Seconds since the start of the case. */
  readonly t: number;
  readonly out?: readonly RecordedOutput[];
}

export interface CommandStep extends StepBase {
  readonly do: 'cmd';
  readonly argv: readonly string[];
  readonly stdin?: string;
  readonly stdout: string;
  readonly stderr: string;
  /** Negative: killed by that signal. */
  readonly exit: number;
}

export interface PacketStep extends StepBase {
  readonly do: 'packet';
  readonly dev: string;
  readonly hex: string;
  readonly sum?: string;
  /** Firewall mark the packet had when it met IPVS. */
  readonly mark?: number;
  /** The same packet came so many times; only the first answer is listed. */
  readonly repeat?: number;
}

export interface WaitStep extends StepBase {
  readonly do: 'wait';
  readonly seconds: number;
}

export interface FileStep extends StepBase {
  readonly do: 'file';
  readonly path: string;
  /** `null`: there was no such file. */
  readonly text: string | null;
}

export interface SysctlStep extends StepBase {
  readonly do: 'sysctl';
  readonly name: string;
  readonly value: string;
  readonly error?: string;
}

export interface HostStep extends StepBase {
  readonly do: 'host';
  readonly argv: readonly string[];
}

export type RecordedStep =
  | CommandStep
  | PacketStep
  | WaitStep
  | FileStep
  | SysctlStep
  | HostStep
  | (StepBase & { readonly do: 'note'; readonly text: string });

export interface Recording {
  readonly format: 1;
  readonly id: string;
  readonly category: string;
  readonly title: string;
  readonly env: {
    readonly ifaces: readonly RecordedInterface[];
    readonly sysctl: Readonly<Record<string, string>>;
    /** Seconds, on the same clock as `t`. Only cases that look at counters have it. */
    readonly netns_created_t?: number;
  };
  readonly steps: readonly RecordedStep[];
}

/** The message names file and place. */
export class RecordingError extends Error {
  override readonly name = 'RecordingError';
}

type Check = readonly [holds: (value: unknown) => boolean, wanted: string];

const isText = (value: unknown): boolean => typeof value === 'string';
const isNumber = (value: unknown): boolean => typeof value === 'number' && Number.isFinite(value);
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const listOf = (holds: (value: unknown) => boolean) => (value: unknown) => Array.isArray(value) && value.every(holds);

const TEXT: Check = [isText, 'a text'];
const WORDS: Check = [(value) => listOf(isText)(value) && (value as unknown[]).length > 0, 'a list of words'];
const HEX: Check = [
  (value) => typeof value === 'string' && value.length > 0 && value.length % 2 === 0 && /^[0-9a-f]+$/.test(value),
  'the bytes of a packet, two hexadecimal digits each',
];
const WHOLE: Check = [(value) => Number.isInteger(value), 'a whole number'];
const COUNT: Check = [(value) => Number.isInteger(value) && (value as number) >= 0, 'a whole number of at least 0'];
const SECONDS: Check = [(value) => isNumber(value) && (value as number) >= 0, 'a number of seconds'];
const TIME: Check = [isNumber, 'a number of seconds'];
const MAC: Check = [(value) => isText(value) && /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(value as string), 'a MAC'];
const optional = ([holds, wanted]: Check): Check => [(value) => value === undefined || holds(value), wanted];
const orNull = ([holds, wanted]: Check): Check => [(value) => value === null || holds(value), `${wanted} or null`];

/** What the steps of each kind must have. */
const STEPS: Readonly<Record<string, Readonly<Record<string, Check>>>> = {
  cmd: { argv: WORDS, stdin: optional(TEXT), stdout: TEXT, stderr: TEXT, exit: WHOLE },
  packet: { dev: TEXT, hex: HEX, sum: optional(TEXT), mark: optional(COUNT), repeat: optional(COUNT) },
  wait: { seconds: SECONDS },
  file: { path: TEXT, text: orNull(TEXT) },
  sysctl: { name: TEXT, value: TEXT, error: optional(TEXT) },
  host: { argv: WORDS },
  note: { text: TEXT },
};

const OUTPUT: Readonly<Record<string, Check>> = {
  dev: TEXT,
  to: TEXT,
  hex: HEX,
  sum: optional(TEXT),
  dt: optional(SECONDS),
};

const INTERFACE: Readonly<Record<string, Check>> = {
  name: TEXT,
  mac: MAC,
  mtu: COUNT,
  addrs: [
    listOf((value) => typeof value === 'string' && /^[^/]+\/\d{1,3}$/.test(value) && isAddress(value.split('/')[0])),
    'a list of addresses with their prefix lengths',
  ],
  neigh: optional([
    (value) => isObject(value) && Object.keys(value).every(isAddress) && Object.values(value).every(MAC[0]),
    'an object of addresses with their MACs',
  ]),
  gateways: optional([listOf(isAddress), 'a list of addresses']),
};

/** Reads a recording's JSON text; `name` says where it came from. Throws a RecordingError. */
export function parseRecording(text: string, name: string): Recording {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new RecordingError(`${name}: this is not JSON: ${(cause as Error).message}`, { cause });
  }
  return checkRecording(value, name);
}

export function checkRecording(value: unknown, name: string): Recording {
  if (!isObject(value) || value['format'] !== 1) throw new RecordingError(`${name}: not a recording of format 1`);
  check(value, { id: TEXT, category: TEXT, title: TEXT }, name);
  const env = value['env'];
  if (!isObject(env)) throw new RecordingError(`${name}: "env" must be an object`);
  check(env, { sysctl: [isObject, 'an object'], netns_created_t: optional(TIME) }, `${name}: env`);
  eachOf(env['ifaces'], `${name}: env.ifaces`, (iface, place) => check(iface, INTERFACE, place));
  eachOf(value['steps'], `${name}: step`, checkStep);
  return value as unknown as Recording;
}

function checkStep(step: Record<string, unknown>, place: string): void {
  const kind = step['do'];
  const rules = typeof kind === 'string' && Object.hasOwn(STEPS, kind) ? STEPS[kind] : undefined;
  if (rules === undefined) {
    throw new RecordingError(`${place}: "do" must be one of ${Object.keys(STEPS).join(', ')}`);
  }
  check(step, { t: TIME, ...rules }, place);
  if (step['out'] !== undefined) {
    eachOf(step['out'], `${place}: out`, (output, outputPlace) => check(output, OUTPUT, outputPlace));
  }
}

function eachOf(value: unknown, place: string, each: (entry: Record<string, unknown>, place: string) => void): void {
  if (!Array.isArray(value)) throw new RecordingError(`${place}: there must be a list`);
  value.forEach((entry, index) => {
    if (!isObject(entry)) throw new RecordingError(`${place} ${index}: this must be an object`);
    each(entry, `${place} ${index}`);
  });
}

function check(value: Record<string, unknown>, rules: Readonly<Record<string, Check>>, place: string): void {
  for (const [key, [holds, wanted]] of Object.entries(rules)) {
    if (!holds(value[key])) throw new RecordingError(`${place}: "${key}" must be ${wanted}`);
  }
}

function isAddress(text: unknown): boolean {
  return typeof text === 'string' && parseAddress(text) !== null;
}

/** The words after `uipvs lab`: commands, options, and the sentences for wrong ones. */
import { parseArgs } from 'node:util';
import { SHARDS_MAX } from '../model/limits.ts';
import { ADDRESSES, type LabFamily } from './addresses.ts';
import { TUTORIAL_SCHEDULER } from './configuration.ts';
import { LabError } from './host.ts';
import { SCENARIOS } from './scenarios/index.ts';
import type { ScenarioKind } from './scenarios/kind.ts';
import { LAB_TUNNELS, type LabMode, type LabTunnel } from './topology.ts';

/** At `afterRequests` answered requests this server loses its link, or gets it back. */
export interface PowerStep {
  readonly address: string;
  readonly power: 'on' | 'off';
  readonly afterRequests: number;
}

const LAB_IO = ['packet-ring', 'packet-mmsg', 'pcap', 'xdp', 'macvtap'] as const;

export interface RunLabOptions {
  readonly scenario: string;
  readonly mode: LabMode;
  readonly family: LabFamily;
  /** Of mode `tun`. */
  readonly tunnel: LabTunnel;
  /** One-packet scheduling: every datagram by itself. */
  readonly onePacket: boolean;
  /** Who carries the traffic. */
  readonly dataPlane: LabDataPlane;
  readonly io: (typeof LAB_IO)[number];
  /** Workers of the packet engine. */
  readonly shards: number;
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

export const LAB_DATA_PLANES = ['packet', 'kernel', 'macvtap', 'proxy'] as const;
export type LabDataPlane = (typeof LAB_DATA_PLANES)[number];

export type LabCommand =
  | { readonly word: 'run'; readonly options: RunLabOptions }
  | { readonly word: 'list'; readonly json: boolean }
  | { readonly word: 'clean' }
  | { readonly word: 'help' };

export const LAB_HELP = `Usage: uipvs lab [run] [SCENARIO] [OPTIONS]
       uipvs lab up LAB | check | hint | sh HOST | graph | status | cure | down
       uipvs lab list
       uipvs lab clean

Builds a small network inside this machine, runs uipvsd and uldirectord in it, sends real HTTP requests
through them with ab, shows who answered, and removes everything again. Nothing outside the lab is touched.

  run               build, measure, remove (scenario: tutorial)
  clean             remove what a killed lab left behind

  --scenario NAME   the same as the word after run
  --mode MODE       fullnat (default): the servers need to know nothing of the director
                    masq: the director is the servers' gateway; dr: they answer the client directly
                    tun: the same through tunnels
  --family 4|6      IPv4 (default) or IPv6
  --tunnel KIND     of mode tun: ipip (default), gue or gre
  --ops             one-packet scheduling (scenario dns)
  --data-plane NAME packet (default): the packet engine; macvtap: the same without anything
                    compiled; proxy: ordinary sockets (mode fullnat); kernel: the kernel's own
                    IPVS (modes masq, dr and tun)
  --unprivileged    without root and namespaces, on loopback addresses: the scenario proxy
  --io BACKEND      packet-ring (default), packet-mmsg, pcap, xdp or macvtap: how uipvsd reads and writes packets
  --shards N        uipvsd with so many workers, each with clients of its own (default 1)
  --scheduler NAME  default rr
  --requests N      default 1000 (dns 300, ftp 12)
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
  if (word === 'list') return { word, json: values.json };
  if (word === 'clean') return { word };
  const ordinary = values.unprivileged ? 'proxy' : 'tutorial';
  const name = (word === 'run' ? positionals[1] : word) ?? values.scenario ?? ordinary;
  const scenario = SCENARIOS[name];
  if (scenario === undefined) {
    throw new LabError(`there is no scenario "${name}"; there is: ${Object.keys(SCENARIOS).join(', ')}`);
  }
  const family = FAMILIES[oneOf('--family', values.family, ['4', '6'] as const)];
  if (!scenario.families.includes(family)) throw new LabError(`the scenario ${name} has no --family ${values.family}`);
  const requests = count('--requests', values.requests ?? String(scenario.requests), 1, 10_000_000);
  const concurrency = count('--concurrency', values.concurrency ?? String(scenario.concurrency), 1, 20_000);
  const steps = [
    ...(values.kill ?? []).map((text) => powerStep('--kill', text, 'off', requests, family)),
    ...(values.revive ?? []).map((text) => powerStep('--revive', text, 'on', requests, family)),
  ];
  const options: RunLabOptions = {
    scenario: name,
    mode: modeOf(scenario, values.mode),
    family,
    tunnel: oneOf('--tunnel', values.tunnel ?? 'ipip', LAB_TUNNELS),
    onePacket: values.ops,
    dataPlane: dataPlaneOf(scenario, values['data-plane']),
    io: oneOf('--io', values.io, LAB_IO),
    shards: count('--shards', values.shards, 1, SHARDS_MAX),
    scheduler: values.scheduler,
    requests,
    concurrency: Math.min(concurrency, requests),
    steps: steps.sort((a, b) => a.afterRequests - b.afterRequests),
    keep: values.keep,
    json: values.json,
    capture: values.capture ?? null,
  };
  if (values.unprivileged && name !== 'proxy') {
    throw new LabError(`--unprivileged is for the scenario proxy; ${name} needs namespaces`);
  }
  refuseContradictions(scenario, options, values.tunnel !== undefined);
  return { word: 'run', options };
}

const FAMILIES: Readonly<Record<'4' | '6', LabFamily>> = { '4': 'ipv4', '6': 'ipv6' };

function modeOf(scenario: ScenarioKind, value: string | undefined): LabMode {
  return value === undefined ? scenario.modes[0] : oneOf('--mode', value, scenario.modes, `in ${scenario.name}`);
}

function dataPlaneOf(scenario: ScenarioKind, value: string | undefined): LabDataPlane {
  const offered = scenario.dataPlanes ?? ['packet', 'macvtap'];
  return value === undefined
    ? (offered[0] as LabDataPlane)
    : oneOf('--data-plane', value, offered, `in ${scenario.name}`);
}

/** What each word allows, but not together. */
function refuseContradictions(scenario: ScenarioKind, options: RunLabOptions, tunnelGiven: boolean): void {
  const { name } = scenario;
  if (options.dataPlane === 'proxy' && options.mode !== 'fullnat') {
    throw new LabError(`the proxy cannot do --mode ${options.mode}: servers always see the address of the director`);
  }
  if (options.shards > 1 && (options.dataPlane !== 'packet' || !['packet-ring', 'packet-mmsg'].includes(options.io))) {
    throw new LabError('--shards needs the packet engine with --io packet-ring or packet-mmsg');
  }
  if (options.dataPlane === 'kernel' && options.mode === 'fullnat' && scenario.setUpDirector === undefined) {
    throw new LabError(
      "the kernel's IPVS cannot do --mode fullnat by itself: take --mode masq, or the scenario tutorial-literal",
    );
  }
  if (tunnelGiven && options.mode !== 'tun') throw new LabError('--tunnel needs --mode tun');
  if (options.steps.length > 0) {
    if (!scenario.breakable) throw new LabError(`the scenario ${name} has no --kill and --revive`);
    if (needsOperator(options)) {
      throw new LabError(
        `--kill and --revive need health checks, and ldirectord.cf has no word for --tunnel ${options.tunnel}`,
      );
    }
  }
  if (!options.onePacket) return;
  if (name !== 'dns') throw new LabError('--ops is for the scenario dns: one-packet scheduling is for datagrams');
  if (options.mode === 'masq' || options.mode === 'fullnat') {
    throw new LabError(
      '--ops needs --mode dr or tun: a one-packet connection is forgotten at once, so IPVS does not translate its reply',
    );
  }
}

/** ldirectord.cf knows only `ipip`; other tunnels are set up by hand. */
export function needsOperator({ mode, tunnel }: Pick<RunLabOptions, 'mode' | 'tunnel'>): boolean {
  return mode === 'tun' && tunnel !== 'ipip';
}

function parseWords(words: readonly string[]) {
  try {
    return parseArgs({
      args: [...words],
      allowPositionals: true,
      options: {
        scenario: { type: 'string' },
        mode: { type: 'string' },
        family: { type: 'string', default: '4' },
        tunnel: { type: 'string' },
        ops: { type: 'boolean', default: false },
        'data-plane': { type: 'string' },
        unprivileged: { type: 'boolean', default: false },
        io: { type: 'string', default: 'packet-ring' },
        shards: { type: 'string', default: '1' },
        scheduler: { type: 'string', default: TUTORIAL_SCHEDULER },
        requests: { type: 'string' },
        concurrency: { type: 'string' },
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

function oneOf<T extends string>(option: string, value: string, allowed: readonly T[], where = ''): T {
  const found = allowed.find((candidate) => candidate === value);
  if (found !== undefined) return found;
  throw new LabError(`${option} ${where}${where === '' ? '' : ' '}takes ${allowed.join(', ')}, not "${value}"`);
}

function count(option: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (/^[0-9]+$/.test(text) && value >= min && value <= max) return value;
  throw new LabError(`${option} takes a number from ${min} to ${max}, not "${text}"`);
}

function powerStep(
  option: string,
  text: string,
  power: PowerStep['power'],
  requests: number,
  family: LabFamily,
): PowerStep {
  const [address, after] = text.split('@');
  const { servers } = ADDRESSES[family];
  if (after === undefined || !servers.includes(address)) {
    throw new LabError(`${option} takes ADDRESS@REQUESTS with one of ${servers.join(', ')}, not "${text}"`);
  }
  return { address, power, afterRequests: count(option, after, 0, requests) };
}

/** The programs of this package as data, from the same tables as their help texts: for shells and for manual pages. */
import { HELP_BLOCKS, type HelpEntry } from '../ipvsadm/help.ts';
import { COMMAND_RULES, type CommandWord, OPTION_KINDS, type OptionKind } from '../ipvsadm/option-table.ts';
import type { CommandDescription, OptionDescription, Word } from './command-line.ts';
import { UIPVSD } from './daemon-options.ts';

export interface ProgramOption {
  /** `-n`, `--numeric`: one or both. */
  readonly names: readonly string[];
  readonly text: string;
  /** `null`: it takes no value. */
  readonly value: { readonly optional: boolean; readonly choices: readonly string[] } | null;
}

/** What can be typed behind one word of a program, or behind its name. */
export interface Place {
  /** How this place is reached: `status`; `-A` and `--add-service`. Empty: behind the program's name. */
  readonly words: readonly string[];
  readonly summary: string;
  readonly options: readonly ProgramOption[];
  /** Operands that are known. */
  readonly operands: readonly string[];
}

export interface Program {
  readonly names: readonly string[];
  /** The first is that behind the program's name. */
  readonly places: readonly [Place, ...Place[]];
}

const HELP: OptionDescription = { flags: '-h, --help', description: 'print this help' };
const VERSION: OptionDescription = { flags: '-V, --version', description: 'print the version' };

/** `words` are those of `uipvs`. */
export function allPrograms(words: readonly Word[]): Program[] {
  return [
    {
      names: ['uipvs'],
      places: [placeOf([], { summary: '', options: [VERSION] }), ...words.map((word) => placeOf([word.name], word))],
    },
    { names: ['uipvsd'], places: [placeOf([], { ...UIPVSD, options: [...UIPVSD.options, VERSION] })] },
    { names: ['uipvsadm', 'ipvsadm'], places: ipvsadmPlaces() },
  ];
}

type Described = Pick<CommandDescription, 'summary' | 'options' | 'operandChoices'>;

function placeOf(words: readonly string[], { summary, options, operandChoices }: Described): Place {
  return { words, summary, options: [...options, HELP].map(optionOf), operands: operandChoices ?? [] };
}

function optionOf({ flags, description, choices }: OptionDescription): ProgramOption {
  const value = /[<[]/.test(flags) ? { optional: flags.includes('['), choices: choices ?? [] } : null;
  return { names: flags.match(/--?[\w-]+/g) ?? [], text: description, value };
}

/** Values of ipvsadm's options that are words of a list. */
const IPVSADM_CHOICES: Readonly<Record<string, readonly string[]>> = {
  scheduler: ['rr', 'wrr', 'lc', 'wlc', 'lblc', 'lblcr', 'dh', 'sh', 'sed', 'nq', 'fo', 'ovf', 'mh'],
  'sched-flags': ['sh-fallback', 'sh-port', 'mh-fallback', 'mh-port', 'flag-1', 'flag-2', 'flag-3'],
  pe: ['sip'],
  'tun-type': ['ipip', 'gue', 'gre'],
  'start-daemon': ['master', 'backup'],
  'stop-daemon': ['master', 'backup'],
};

/** The first word must be a command, and says which options may follow. */
function ipvsadmPlaces(): [Place, ...Place[]] {
  const commands = OPTION_KINDS.filter((kind) => kind.command !== undefined);
  const first: Place = { words: [], summary: '', options: commands.map(ipvsadmOption), operands: [] };
  const places = Object.entries(COMMAND_RULES).map(([word, rules]): Place => {
    const kinds = commands.filter(({ command }) => command === (word as CommandWord));
    const allowed = OPTION_KINDS.filter(({ option }) => option !== undefined && option !== null && option in rules);
    const withMark = allowed.some(({ option }) => option === 'service-address');
    return {
      words: kinds.flatMap(namesOf),
      summary: helpOf(kinds[0]!).text,
      options: allowed.concat(withMark ? OPTION_KINDS.filter(({ long }) => long === 'ipv6') : []).map(ipvsadmOption),
      operands: IPVSADM_CHOICES[word] ?? [],
    };
  });
  return [first, ...places];
}

function ipvsadmOption(kind: OptionKind): ProgramOption {
  const choices = IPVSADM_CHOICES[kind.long ?? ''] ?? [];
  return {
    names: namesOf(kind),
    text: helpOf(kind).text,
    value: kind.value === 'none' ? null : { optional: kind.value === 'optional', choices },
  };
}

function namesOf({ short, long }: OptionKind): string[] {
  return [...(short === undefined ? [] : [`-${short}`]), ...(long === undefined ? [] : [`--${long}`])];
}

/** Throws when the help text does not know the option, which a test would see. */
function helpOf(kind: OptionKind): HelpEntry {
  const names = namesOf(kind);
  const entry = HELP_BLOCKS.flatMap(({ entries }) => entries).find(({ flags }) =>
    flags.split(/[ ,|]+/).some((word) => names.includes(word)),
  );
  if (entry === undefined) throw new TypeError(`the help text does not tell of ${names.join(', ')}`);
  return entry;
}

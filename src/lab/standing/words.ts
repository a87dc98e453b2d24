/** The words of labs that stay up: what was typed, and the sentences for wrong ones. */
import { parseArgs } from 'node:util';
import { LabError } from '../host.ts';

/** Something was typed that cannot be meant; the exit code is 2. */
export class LabUsageError extends LabError {}

export const STANDING_WORDS = ['up', 'check', 'hint', 'sh', 'graph', 'status', 'down', 'cure'] as const;
export type StandingWord = (typeof STANDING_WORDS)[number];

export interface StandingCommand {
  readonly word: StandingWord;
  /** A lab (`up`), or the name that one stands under; `null`: the only one. */
  readonly name: string | null;
  /** `up`: another name to stand under. */
  readonly standAs: string | null;
  readonly json: boolean;
  /** `hint` and `down`. */
  readonly all: boolean;
  /** `graph`. */
  readonly svg: string | null;
  /** `sh`: the host, and the command there; none is a shell. */
  readonly host: string | null;
  readonly command: readonly string[];
}

export const STANDING_HELP = `
Labs that stay up (they need root):

  list [--json]          the labs, working and broken, and the scenarios of run
  up LAB [--name NAME]   build it and leave it standing, under its own name unless another is given
  status [NAME]          what stands, and how to reach it
  check [NAME]           does it work? A graded list by real traffic; exit code 3 when something does not
  hint [NAME] [--all]    the next hint, each clearer than the one before
  sh HOST [-- COMMAND]   a shell, or one command, on a host of it; ipvsadm and ldirectord are ours there
  graph [NAME] [--svg FILE]  its network as text, or as a picture
  cure [NAME]            mend a broken lab the way its author would, and show how
  down [NAME] [--all]    remove everything of it, also after a crash

NAME is needed when several stand (sh takes it as --name). --json prints data for status, check and hint.
`;

/** Whether these words after `uipvs lab` are for a lab that stays up. */
export function isStandingWord(word: string | undefined): word is StandingWord {
  return STANDING_WORDS.some((known) => known === word);
}

const OPTIONS_OF: Readonly<Record<StandingWord, readonly string[]>> = {
  up: ['name'],
  check: ['name', 'json'],
  hint: ['name', 'json', 'all'],
  sh: ['name'],
  graph: ['name', 'svg'],
  status: ['name', 'json'],
  down: ['name', 'all'],
  cure: ['name'],
};

/** Reads the words after `uipvs lab`, the first of which is one of ours. Throws a LabUsageError that names the wrong one. */
export function parseStandingWords(argv: readonly string[]): StandingCommand {
  const word = argv[0] as StandingWord;
  const own = word === 'sh' ? splitShell(argv.slice(1)) : { before: argv.slice(1), command: [] };
  const { values, positionals } = parseWords(own.before);
  const given = Object.entries(values).flatMap(([name, value]) =>
    value === undefined || value === false ? [] : [name],
  );
  const wrong = given.find((name) => !OPTIONS_OF[word].includes(name));
  if (wrong !== undefined) throw new LabUsageError(`lab ${word} has no --${wrong}; see uipvs lab --help`);
  const [first = null, ...more] = positionals;
  if (more.length > 0) throw new LabUsageError(`lab ${word} takes one name, not also "${more.join(' ')}"`);
  if (word === 'up' && first === null)
    throw new LabUsageError('lab up takes the name of a lab; uipvs lab list shows them');
  if (word === 'sh' && first === null)
    throw new LabUsageError('lab sh takes a host: uipvs lab sh director -- ipvsadm -Ln');
  const standAs = values.name ?? null;
  const named = word === 'up' ? first : word === 'sh' ? standAs : (first ?? standAs);
  return {
    word,
    name: named,
    standAs: word === 'up' ? standAs : null,
    json: values.json,
    all: values.all,
    svg: values.svg ?? null,
    host: word === 'sh' ? first : null,
    command: own.command,
  };
}

/** In `sh [--name NAME] HOST [--] COMMAND...` everything behind the host is the command's. */
function splitShell(words: readonly string[]): { before: readonly string[]; command: readonly string[] } {
  let at = 0;
  while (at < words.length && (words[at] as string).startsWith('-') && words[at] !== '--') {
    at += words[at] === '--name' ? 2 : 1;
  }
  let after = at + 1;
  // The name of the lab may also stand behind the host.
  const before = words.slice(0, after);
  if (words[after] === '--name') {
    before.push(...words.slice(after, after + 2));
    after += 2;
  } else if (words[after]?.startsWith('--name=')) {
    before.push(words[after] as string);
    after += 1;
  }
  return { before, command: words.slice(words[after] === '--' ? after + 1 : after) };
}

function parseWords(words: readonly string[]) {
  try {
    return parseArgs({
      args: [...words],
      allowPositionals: true,
      options: {
        name: { type: 'string' },
        json: { type: 'boolean', default: false },
        all: { type: 'boolean', default: false },
        svg: { type: 'string' },
      },
    });
  } catch (error) {
    throw new LabUsageError(`${(error as Error).message.split('. ')[0]}; see uipvs lab --help`);
  }
}

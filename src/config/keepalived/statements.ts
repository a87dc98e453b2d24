/**
 * keepalived.conf as statements: a keyword, the words behind it on its line, and perhaps a block in braces.
 * Behaviour: keepalived.conf(5). Comments begin with `#` or `!`; `$NAME=VALUE` lines define what `$NAME` and `${NAME}`
 * stand for; `include PATTERN` brings in other files; lines that begin with `@` belong to one host of several.
 */
import { type FileProblem, FileRefused, type Place } from '../../model/file-problem.ts';

export interface Word {
  readonly text: string;
  readonly place: Place;
}

export interface Statement {
  readonly keyword: string;
  readonly place: Place;
  readonly words: readonly Word[];
  /** `null`: it has no braces. */
  readonly block: readonly Statement[] | null;
}

/** Brings the files that a pattern of an `include` names, as the pattern is written. */
export type ReadIncludes = (pattern: string) => readonly { readonly path: string; readonly text: string }[];

export interface Statements {
  readonly statements: readonly Statement[];
  /** Lines that were passed over, and why. */
  readonly lost: readonly FileProblem[];
}

interface Line {
  readonly place: Place;
  readonly words: readonly Word[];
}

interface Open {
  readonly statement: { keyword: string; place: Place; words: Word[]; block: Statement[] | null };
}

const INCLUDE_DEPTH_MAX = 16;

/** Throws FileRefused: braces that do not match, includes that cannot be read. */
export function readStatements(text: string, includes: ReadIncludes): Statements {
  const lost: FileProblem[] = [];
  const lines = linesOf(text, includes, new Map(), lost, null, 0);
  const top: Statement[] = [];
  const open: Open[] = [];
  let last: Open['statement'] | null = null;
  const siblings = (): Statement[] => open.at(-1)?.statement.block ?? top;

  for (const line of lines) {
    let current: Open['statement'] | null = null;
    for (const word of line.words) {
      if (word.text === '{') {
        const owner = current ?? last;
        if (owner === null || owner.block !== null) throw refused(word.place, 'a { without a keyword before it');
        owner.block = [];
        open.push({ statement: owner });
        current = null;
        last = null;
      } else if (word.text === '}') {
        if (open.pop() === undefined) throw refused(word.place, 'a } without a { before it');
        current = null;
        last = null;
      } else if (current === null) {
        current = { keyword: word.text, place: word.place, words: [], block: null };
        siblings().push(current);
        last = current;
      } else current.words.push(word);
    }
  }
  const unclosed = open.at(-1);
  if (unclosed !== undefined) {
    throw refused(
      unclosed.statement.place,
      `the block of ${unclosed.statement.keyword} is never closed; a } is missing`,
    );
  }
  return { statements: top, lost };
}

/** `around`: the place of the include that brought this text, which is where its problems are told. */
function linesOf(
  text: string,
  includes: ReadIncludes,
  definitions: Map<string, string>,
  lost: FileProblem[],
  around: Place | null,
  depth: number,
): Line[] {
  const lines: Line[] = [];
  for (const [index, raw] of text.split('\n').entries()) {
    const definition = /^\$([A-Za-z0-9_]+)=(.*)$/.exec(raw.trim());
    if (definition !== null) {
      definitions.set(definition[1]!, substitute(definition[2]!.trim(), definitions));
      continue;
    }
    const place = { line: index + 1, column: raw.search(/\S/) + 1 };
    const words = split(substitute(raw, definitions), index + 1).map((word) =>
      around === null ? word : { ...word, place: around },
    );
    if (words.length === 0) continue;
    const [first] = words;
    if (first!.text.startsWith('@')) {
      lost.push({ place: around ?? place, text: `a line for ${first!.text} only is left out` });
    } else if (/^include[abmrw]?$/.test(first!.text) && words.length === 2) {
      lines.push(...included(words[1]!, includes, definitions, lost, depth));
    } else lines.push({ place: around ?? place, words });
  }
  return lines;
}

function included(
  { text, place }: Word,
  includes: ReadIncludes,
  definitions: Map<string, string>,
  lost: FileProblem[],
  depth: number,
): Line[] {
  if (depth >= INCLUDE_DEPTH_MAX) throw refused(place, `include ${text}: files include each other without an end`);
  const files = includes(text);
  if (files.length === 0) throw refused(place, `include ${text}: no such file can be read`);
  return files.flatMap((file) => linesOf(file.text, includes, definitions, lost, place, depth + 1));
}

function substitute(text: string, definitions: ReadonlyMap<string, string>): string {
  return text.replace(/\$\{([A-Za-z0-9_]+)\}|\$([A-Za-z0-9_]+)/g, (whole, braced, bare) => {
    return definitions.get(braced ?? bare) ?? whole;
  });
}

/** Words and braces of a line. A quoted text is one word, without its quotes. */
function split(line: string, number: number): Word[] {
  const words: Word[] = [];
  const pattern = /\s+|[!#].*|"((?:[^"\\]|\\.)*)"?|[{}]|[^\s{}"!#][^\s{}"]*/g;
  for (let match = pattern.exec(line); match !== null; match = pattern.exec(line)) {
    const [text] = match;
    if (/^[\s!#]/.test(text)) continue;
    const place = { line: number, column: match.index + 1 };
    if (text.startsWith('"')) {
      if (text.length < 2 || !text.endsWith('"')) throw refused(place, 'a quoted text that does not end on its line');
      words.push({ text: match[1]!.replace(/\\(["\\])/g, '$1'), place });
    } else words.push({ text, place });
  }
  return words;
}

function refused(place: Place, text: string): FileRefused {
  return new FileRefused([{ place, text }]);
}

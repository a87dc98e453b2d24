/**
 * Where a text stops being JSON (RFC 8259). `JSON.parse` is quick and exact, but whether its message names a
 * position depends on the version of Node; this scanner is run on refused texts only, to point at the spot.
 */

/** A word or a number. Strings are walked by hand: a regular expression would need a stack as long as they are. */
const WORD = /true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;

type Expected = 'value' | 'value or ]' | 'name' | 'name or }' | 'colon' | 'comma or close' | 'end';
type Bracket = '[' | '{';

export interface JsonPosition {
  /** Characters before the spot. */
  readonly offset: number;
  /** Both count from 1. */
  readonly line: number;
  readonly column: number;
}

/** The first place at which `text` cannot go on to be JSON, or `null` when all of it is. */
export function findJsonError(text: string): JsonPosition | null {
  const open: Bracket[] = [];
  let expected: Expected = 'value';
  let at = skipSpace(text, 0);
  while (at < text.length) {
    const mark = text[at];
    const after = step(expected, open, mark);
    if (after === null) return positionOf(text, at);
    const end = tokenEnd(text, at, mark);
    if (end < 0) return positionOf(text, -end - 1);
    expected = after;
    at = skipSpace(text, end);
  }
  return expected === 'end' ? null : positionOf(text, text.length);
}

/** What may follow a token that begins with `mark`, or `null` when none such may stand here. */
function step(expected: Expected, open: Bracket[], mark: string): Expected | null {
  const afterValue = (): Expected => (open.length === 0 ? 'end' : 'comma or close');
  const close = (kind: Bracket): Expected | null => (open.pop() === kind ? afterValue() : null);
  switch (expected) {
    case 'value or ]':
    case 'value':
      if (mark === ']' && expected === 'value or ]') return close('[');
      if (mark !== '[' && mark !== '{') return ']},:'.includes(mark) ? null : afterValue();
      open.push(mark);
      return mark === '[' ? 'value or ]' : 'name or }';
    case 'name or }':
    case 'name':
      if (mark === '}' && expected === 'name or }') return close('{');
      return mark === '"' ? 'colon' : null;
    case 'colon':
      return mark === ':' ? 'value' : null;
    case 'comma or close':
      if (mark === ',') return open.at(-1) === '[' ? 'value' : 'name';
      return mark === ']' ? close('[') : mark === '}' ? close('{') : null;
    case 'end':
      return null;
  }
}

/** Just behind the token at `at`; `-n - 1` when it breaks off at `n`. */
function tokenEnd(text: string, at: number, mark: string): number {
  if ('[]{},:'.includes(mark)) return at + 1;
  if (mark === '"') return stringEnd(text, at);
  WORD.lastIndex = at;
  return WORD.test(text) ? WORD.lastIndex : -at - 1;
}

function stringEnd(text: string, at: number): number {
  for (let i = at + 1; i < text.length; ) {
    const code = text.charCodeAt(i);
    if (code === 0x22) return i + 1;
    if (code < 0x20) return -i - 1;
    if (code === 0x5c) {
      ESCAPE.lastIndex = i;
      if (!ESCAPE.test(text)) return -i - 1;
      i = ESCAPE.lastIndex;
    } else i++;
  }
  return -text.length - 1;
}

function skipSpace(text: string, at: number): number {
  while (at < text.length && ' \t\n\r'.includes(text[at])) at++;
  return at;
}

function positionOf(text: string, offset: number): JsonPosition {
  const before = text.slice(0, offset);
  return { offset, line: before.split('\n').length, column: offset - before.lastIndexOf('\n') };
}

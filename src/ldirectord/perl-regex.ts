/**
 * `receive` is a Perl regular expression (perlre(1)); this writes it as a JavaScript one with the same matches on
 * text of one character per byte. What JavaScript cannot say is refused.
 */
export interface PortableRegex {
  readonly source: string;
  readonly flags: string;
}

const POSIX_CLASSES: Readonly<Record<string, string>> = {
  alpha: 'a-zA-Z',
  digit: '0-9',
  alnum: 'a-zA-Z0-9',
  upper: 'A-Z',
  lower: 'a-z',
  space: '\\s',
  blank: ' \\t',
  punct: '!-\\/:-@\\[-`{-~',
  print: ' -~',
  graph: '!-~',
  cntrl: '\\x00-\\x1f\\x7f',
  xdigit: '0-9a-fA-F',
  word: '\\w',
};

const END = '(?![\\s\\S])';
const END_OR_LAST_NEWLINE = `(?=\\n?${END})`;

/** Throws an Error with a sentence when the expression is wrong or has no equal in JavaScript. */
export function translatePerlRegex(perl: string): PortableRegex {
  const text = Buffer.from(perl, 'utf8').toString('latin1');
  const inline = /^\(\?\^?([a-z]*)\)/.exec(text);
  const letters = inline?.[1] ?? '';
  const odd = /[^imsaul]/.exec(letters);
  if (odd !== null) throw notSupported(`(?${odd[0]})`);
  const flags = [...'im'].filter((flag) => letters.includes(flag)).join('');
  const source = translate(text.slice(inline?.[0].length ?? 0), letters.includes('m'), letters.includes('s'));
  try {
    new RegExp(source, flags);
  } catch (error) {
    throw new Error(`not a regular expression: ${(error as Error).message}`, { cause: error });
  }
  return { source, flags };
}

function translate(text: string, multiLine: boolean, dotMatchesAll: boolean): string {
  let out = '';
  let at = 0;
  while (at < text.length) {
    const rest = text.slice(at);
    if (rest[0] === '\\') {
      out += escapeOutsideClass(rest.slice(0, 2));
      at += 2;
    } else if (rest[0] === '[') {
      const end = classEnd(rest);
      out += translateClass(rest.slice(0, end));
      at += end;
    } else {
      const group = /^\((?:\?(?![:=!]|<[=!A-Za-z])[^)]{0,2}|\*)/.exec(rest);
      if (group !== null) throw notSupported(group[0]);
      if (/^[*+?}]\+/.test(rest)) throw notSupported(rest.slice(0, 2));
      if (rest[0] === '.') out += dotMatchesAll ? '[\\s\\S]' : '[^\\n]';
      else if (rest[0] === '$') out += multiLine ? '(?=\\n|(?![\\s\\S]))' : END_OR_LAST_NEWLINE;
      else if (rest[0] === '^') out += multiLine ? '(?<=\\n|(?<![\\s\\S]))' : '^';
      else out += rest[0];
      at += 1;
    }
  }
  return out;
}

function escapeOutsideClass(written: string): string {
  switch (written) {
    case '\\A':
      return '(?<![\\s\\S])';
    case '\\z':
      return END;
    case '\\Z':
      return END_OR_LAST_NEWLINE;
    case '\\h':
      return '[ \\t]';
    case '\\H':
      return '[^ \\t]';
    case '\\R':
      return '(?:\\r\\n|[\\n\\v\\f\\r\\x85])';
    case '\\N':
      return '[^\\n]';
    case '\\e':
      return '\\x1b';
    case '\\a':
      return '\\x07';
    // In an expression out of a variable these are no more than letters.
    case '\\Q':
    case '\\E':
    case '\\L':
    case '\\U':
    case '\\l':
    case '\\u':
      return written[1];
    case '\\G':
    case '\\K':
    case '\\X':
    case '\\p':
    case '\\P':
    case '\\g':
      throw notSupported(written);
    default:
      return written === '\\' ? '\\\\' : written;
  }
}

/** Length of the character class that `text` begins with. */
function classEnd(text: string): number {
  let at = text.startsWith('[^') ? 2 : 1;
  // A bracket in the first place is an ordinary character.
  if (text[at] === ']') at += 1;
  while (at < text.length && text[at] !== ']') {
    const posix = /^\[:\^?\w+:\]/.exec(text.slice(at));
    at += posix?.[0].length ?? (text[at] === '\\' ? 2 : 1);
  }
  return Math.min(at + 1, text.length);
}

function translateClass(text: string): string {
  const inside = /^\[(\^?)(\]?)([\s\S]*)\]$/.exec(text);
  if (inside === null) throw new Error('not a regular expression: a bracket [ without its ]');
  const [, negation, bracket, members] = inside;
  const translated = members
    .replace(/\[:(\^?)(\w+):\]/g, (written, not: string, name: string) => {
      const known = POSIX_CLASSES[name];
      if (known === undefined || not !== '') throw notSupported(written);
      return known;
    })
    .replaceAll('\\h', ' \\t')
    .replaceAll('\\e', '\\x1b')
    .replaceAll('\\a', '\\x07');
  return `[${negation}${bracket === '' ? '' : '\\]'}${translated}]`;
}

function notSupported(what: string): Error {
  return new Error(`"${what}" of Perl's regular expressions: not supported yet`);
}

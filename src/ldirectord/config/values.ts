/** Reading of single values, with ldirectord's leniency: the first number, the first word, exact yes or no. */
import type { ParseEnvironment } from './environment.ts';
import { ConfigurationError, nearestWord, type Place } from './problem.ts';
import { type DaemonState, FORWARD_WORDS, type ForwardWord } from './types.ts';

/** One directive being read. */
export interface Written {
  readonly value: string;
  readonly place: Place;
  /** The whole line; `value` has blanks where this has tabs. */
  readonly raw: string;
  readonly environment: ParseEnvironment;
  warn(text: string, origin?: 'ldirectord' | 'uipvs'): void;
}

/** Where `word` stands in the value, for errors about a part of it. */
export function placeOfWord({ place, raw }: Pick<Written, 'place' | 'raw'>, word: string): Place {
  const at = word === '' ? -1 : raw.indexOf(word, place.column - 1);
  return at < 0 ? place : { line: place.line, column: at + 1 };
}

/** First run of digits; refused with `refusal` when there is none or it is below `minimum`. */
export function firstNumber(written: Written, minimum: number, refusal: string): number {
  const match = /\d+/.exec(written.value);
  const number = match === null ? Number.NaN : Number(match[0]);
  if (!(number >= minimum)) {
    throw new ConfigurationError(written.place, refusal, { expected: `a number of at least ${minimum}` });
  }
  if (!/^\s*\d+\s*(s|sec|secs|seconds?)?\s*(#.*)?$/s.test(written.value)) {
    written.warn(`"${written.value.trim()}" is read as ${number}: the first digits count and nothing else`);
  }
  return number;
}

export function yesNo(written: Written, name: string): boolean {
  if (written.value === 'yes') return true;
  if (written.value === 'no') return false;
  throw new ConfigurationError(written.place, `${name} must be 'yes' or 'no'`, {
    expected: 'yes or no with nothing after it, not even blanks or a comment',
    nearest: nearestWord(written.value.trim(), ['yes', 'no']),
  });
}

export function notEmpty(written: Written, refusal: string): string {
  if (written.value !== '') return written.value;
  throw new ConfigurationError(written.place, refusal, { expected: 'a value' });
}

/** The first word of `pattern`'s letters, which must be one of `words`. */
export function oneOf<T extends string>(written: Written, pattern: RegExp, words: readonly T[], refusal: string): T {
  const word = pattern.exec(written.value)?.[0] ?? '';
  if ((words as readonly string[]).includes(word)) return word as T;
  throw new ConfigurationError(written.place, refusal, {
    expected: `one of ${words.join(', ')}`,
    nearest: nearestWord(word, words),
  });
}

export function smtpServer(written: Written): string {
  const match = /^[0-9A-Za-z._+-]+/.exec(written.value);
  if (match !== null) {
    const rest = written.value.slice(match[0].length).trim();
    if (rest !== '') written.warn(`smtp: "${rest}" has no effect; mail always goes to port 25 of that host`);
    return match[0];
  }
  throw new ConfigurationError(written.place, 'invalid SMTP server address', {
    expected: 'a host name or an IPv4 address',
  });
}

/** One pair of quotes round the whole is removed. */
export function emailAddresses(written: Written): string {
  const unquoted = /^"([^"]*)"$/.exec(written.value);
  const text = notEmpty({ ...written, value: unquoted?.[1] ?? written.value }, 'no email address specified');
  for (const address of splitAddresses(text)) {
    if (!/^[^@]*@[^@]+$/.test(address)) written.warn(`emailalert: "${address}" is no address that a mail server knows`);
  }
  return text;
}

/** Addresses of a list: commas, semicolons or blanks stand between them; `Name <address>` is one. */
export function splitAddresses(text: string): string[] {
  const parts = text.match(/(?:"[^"]*"|<[^<>]*>|[^,;"<])+/g) ?? [];
  return parts.flatMap((part) => (/[<"]/.test(part) ? [part.trim()] : part.split(/\s+/))).filter(Boolean);
}

const DAEMON_STATES: readonly DaemonState[] = ['starting', 'running', 'stopping', 'reloading'];

export function emailStates(written: Written): readonly DaemonState[] {
  const words = written.value.split(/[\s,]+/).filter(Boolean);
  const chosen = new Set<DaemonState>();
  for (const word of words) {
    if (word === 'none') continue;
    if (word !== 'all' && !(DAEMON_STATES as readonly string[]).includes(word)) {
      throw new ConfigurationError(placeOfWord(written, word), `invalid email alert status at: "${word}"`, {
        expected: `all, none, or some of ${DAEMON_STATES.join(', ')}`,
        nearest: nearestWord(word, [...DAEMON_STATES, 'all', 'none']),
      });
    }
    if (words.includes('none')) {
      throw new ConfigurationError(written.place, `invalid email alert status: "${word}" specified with "none"`, {
        expected: 'none alone',
      });
    }
    for (const state of word === 'all' ? DAEMON_STATES : [word as DaemonState]) chosen.add(state);
  }
  return DAEMON_STATES.filter((state) => chosen.has(state));
}

export interface WrittenFallback {
  readonly place: Place;
  readonly host: string;
  /** Number or service name; `null`: not written. */
  readonly port: string | null;
  readonly forward: ForwardWord;
}

/** `HOST[:PORT] [METHOD]`. Of more than two words the last two count, as in the original. */
export function parseFallback(written: Written): WrittenFallback {
  const words = written.value.split(/\s+/).filter(Boolean);
  const [server, method] = words.length > 1 ? words.slice(-2) : [words[0], undefined];
  if (server === undefined) {
    throw new ConfigurationError(written.place, `invalid fallback server: ${written.value}`, {
      expected: 'HOST[:PORT] [gate|masq|ipip]',
    });
  }
  if (method !== undefined && !(FORWARD_WORDS as readonly string[]).includes(method)) {
    throw new ConfigurationError(placeOfWord(written, method), 'forward method must be gate, masq or ipip', {
      expected: 'HOST[:PORT] [gate|masq|ipip]',
      nearest: nearestWord(method, FORWARD_WORDS),
    });
  }
  const split = /^(.*?)(?::([A-Za-z0-9_-]+))?$/.exec(server)!;
  return { place: written.place, host: split[1], port: split[2] ?? null, forward: (method as ForwardWord) ?? 'gate' };
}

/** `null`: no such port or service. */
export function resolvePort(text: string, protocol: string | null, environment: ParseEnvironment): number | null {
  if (!/^\d+$/.test(text)) return environment.resolveService(text, protocol);
  const port = Number(text);
  return port <= 65_535 ? port : null;
}

/** Removes the brackets of `[2001:db8::1]`. */
export function withoutBrackets(host: string): string {
  return host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host;
}

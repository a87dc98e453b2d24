/**
 * Cuts a command line into options and their values, by the rules of popt 1.19, which `ipvsadm` is built with:
 * bundles (`-Ln`), attached values (`-srr`, `-s=rr`, `--scheduler=rr`), one option with an optional value, `--`.
 * Long names are not abbreviated. Values are not interpreted here.
 */
import { OPTION_KINDS, type OptionKind } from './option-table.ts';
import { UsageError } from './usage-error.ts';

const BY_LONG_NAME = new Map(OPTION_KINDS.flatMap((kind) => (kind.long === undefined ? [] : [[kind.long, kind]])));
const BY_LETTER = new Map(OPTION_KINDS.flatMap((kind) => (kind.short === undefined ? [] : [[kind.short, kind]])));

export interface ScannedOption {
  readonly kind: OptionKind;
  /** `null`: the option takes no value, or its optional value was not given. */
  readonly value: string | null;
}

export class OptionScanner {
  readonly #words: readonly string[];
  #nextWord = 0;
  /** The rest of a bundle of letters, `''` outside of one. */
  #letters = '';
  #optionsEnded = false;
  /** Words that are no options and belong to none. */
  readonly leftOver: string[] = [];

  constructor(words: readonly string[]) {
    this.#words = words;
  }

  /** The word taken last: what messages quote. */
  get lastWord(): string {
    return this.#words[this.#nextWord - 1] ?? '';
  }

  /** The next option, or `null` at the end. Throws a UsageError of kind `parser`. */
  next(): ScannedOption | null {
    if (this.#letters !== '') return this.#letterOption();
    while (this.#nextWord < this.#words.length) {
      const word = this.#words[this.#nextWord++]!;
      if (this.#optionsEnded || word === '-' || !word.startsWith('-')) this.leftOver.push(word);
      else if (word === '--') this.#optionsEnded = true;
      else if (word.startsWith('--')) return this.#longOption(word.slice(2));
      else {
        this.#letters = word.slice(1);
        return this.#letterOption();
      }
    }
    return null;
  }

  #longOption(text: string): ScannedOption {
    const equalsAt = text.indexOf('=');
    const kind = BY_LONG_NAME.get(equalsAt < 0 ? text : text.slice(0, equalsAt));
    if (kind === undefined) throw this.#error('unknown option');
    const attached = equalsAt < 0 ? null : text.slice(equalsAt + 1);
    if (kind.value !== 'none') return { kind, value: attached ?? this.#followingValue(kind) };
    if (attached !== null) throw this.#error('option does not take an argument');
    return { kind, value: null };
  }

  #letterOption(): ScannedOption {
    const kind = BY_LETTER.get(this.#letters.charAt(0));
    const rest = this.#letters.slice(1);
    this.#letters = '';
    if (kind === undefined) throw this.#error('unknown option');
    if (kind.value === 'none') {
      if (rest.startsWith('=')) throw this.#error('option does not take an argument');
      this.#letters = rest;
      return { kind, value: null };
    }
    if (rest === '') return { kind, value: this.#followingValue(kind) };
    return { kind, value: rest.startsWith('=') ? rest.slice(1) : rest };
  }

  /** A required value is the next word whatever it looks like; an optional one does not begin with a dash. */
  #followingValue(kind: OptionKind): string | null {
    const word = this.#words[this.#nextWord];
    if (kind.value === 'optional' && (word === undefined || word.startsWith('-'))) return null;
    if (word === undefined) throw this.#error('missing argument');
    this.#nextWord++;
    return word;
  }

  #error(reason: string): UsageError {
    return new UsageError('parser', `${this.lastWord}: ${reason}`);
  }
}

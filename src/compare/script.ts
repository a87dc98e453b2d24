/** What two data planes are asked to do, as lines of text: commands as they are typed, and connections to make. */

export type ScriptStep =
  | { readonly do: 'ipvsadm'; readonly words: readonly string[] }
  | {
      readonly do: 'connect';
      readonly protocol: 'tcp' | 'udp';
      readonly address: string;
      readonly port: number;
      readonly count: number;
    }
  | { readonly do: 'set'; readonly setting: string; readonly value: string }
  | { readonly do: 'wait'; readonly seconds: number };

export interface ScriptLine {
  /** From 1. */
  readonly number: number;
  readonly text: string;
  readonly step: ScriptStep;
}

/** A script that cannot be read; the message names the line. */
export class ScriptError extends Error {
  override readonly name = 'ScriptError';
}

const LINES_MAX = 10_000;
const COUNT_MAX = 1_000;
const SECONDS_MAX = 60;

/** Throws a ScriptError. */
export function parseScript(text: string): ScriptLine[] {
  const lines = text.split('\n');
  if (lines.length > LINES_MAX) throw new ScriptError(`a script has at most ${LINES_MAX} lines`);
  const found = lines.flatMap((line, index) => {
    const words = line.trim().split(/\s+/);
    if (words[0] === '' || words[0]?.startsWith('#')) return [];
    return [{ number: index + 1, text: words.join(' '), step: parseStep(words, index + 1) }];
  });
  if (found.length === 0) throw new ScriptError('the script has no steps');
  return found;
}

function parseStep([word = '', ...words]: readonly string[], number: number): ScriptStep {
  switch (word) {
    case 'ipvsadm':
      return { do: 'ipvsadm', words };
    case 'tcp':
    case 'udp': {
      const match = /^(?:\[([0-9a-f:]+)\]|([0-9.]+)):(\d+)$/.exec(words[0] ?? '');
      if (match === null || words.length > 2) throw wrong(number, `${word} ADDRESS:PORT [COUNT]`);
      const port = readNumber(match[3], 1, 65_535, number);
      const count = readNumber(words[1] ?? '1', 1, COUNT_MAX, number);
      return { do: 'connect', protocol: word, address: (match[1] ?? match[2]) as string, port, count };
    }
    case 'set': {
      const match = /^([a-z_]+)=(.+)$/.exec(words.join(' '));
      if (match === null) throw wrong(number, 'set NAME=VALUE');
      return { do: 'set', setting: match[1] as string, value: match[2] as string };
    }
    case 'wait':
      if (words.length !== 1) throw wrong(number, 'wait SECONDS');
      return { do: 'wait', seconds: readNumber(words[0], 1, SECONDS_MAX, number) };
    default:
      throw new ScriptError(`line ${number}: there is no step "${word}"; there is: ipvsadm, tcp, udp, set, wait`);
  }
}

function readNumber(text: string | undefined, min: number, max: number, number: number): number {
  const value = Number(text);
  if (text !== undefined && /^\d+$/.test(text) && value >= min && value <= max) return value;
  throw new ScriptError(`line ${number}: ${JSON.stringify(text)} is no number from ${min} to ${max}`);
}

function wrong(number: number, form: string): ScriptError {
  return new ScriptError(`line ${number}: this step is written ${form}`);
}

import { describe, expect, test } from 'vitest';
import { ArgumentError, type BenchOptions, readArguments } from '../../bench/peers/arguments.ts';

const MEASUREMENTS = ['ab-20', 'bulk-1', 'echo'];
const PEERS = ['haproxy', 'nft', 'packet-mmsg'];

function read(...words: string[]): BenchOptions {
  const command = readArguments(words, MEASUREMENTS, PEERS);
  if (command.word !== 'run') throw new Error('help was not asked for');
  return command.options;
}

describe('the words of npm run bench', () => {
  test('without any, everything is measured several times', () => {
    const options = read();
    expect(options).toMatchObject({ quick: false, only: null, peers: null, json: false, profile: true });
    expect(options.rounds).toBeGreaterThan(2);
  });

  test('--quick means fewer and shorter rounds, --rounds is heard all the same', () => {
    expect(read('--quick').rounds).toBeLessThan(read().rounds);
    expect(read('--quick').seconds).toBeLessThan(read().seconds);
    expect(read('--rounds', '9', '--quick').rounds).toBe(9);
    expect(read('--rounds=9').rounds).toBe(9);
  });

  test('names are told apart by blanks, by commas, or by saying the option again', () => {
    expect(read('--only', 'ab-20', 'echo', '--quick').only).toEqual(['ab-20', 'echo']);
    expect(read('--only', 'ab-20,echo').only).toEqual(['ab-20', 'echo']);
    expect(read('--only', 'ab-20', '--json', '--only=echo').only).toEqual(['ab-20', 'echo']);
    expect(read('--peers', 'nft,haproxy').peers).toEqual(['nft', 'haproxy']);
  });

  test('help is help, whatever else is said', () => {
    expect(readArguments(['--quick', '--help'], MEASUREMENTS, PEERS)).toEqual({ word: 'help' });
    expect(readArguments(['-h'], MEASUREMENTS, PEERS)).toEqual({ word: 'help' });
  });
});

describe('words that are wrong', () => {
  const complaint = (...words: string[]): string => {
    try {
      read(...words);
    } catch (error) {
      if (error instanceof ArgumentError) return error.message;
      throw error;
    }
    throw new Error(`nobody minded ${words.join(' ')}`);
  };

  test('are named, with what was meant and what there is', () => {
    expect(complaint('--peers', 'haprxy')).toBe(
      'there is no peer "haprxy", did you mean "haproxy"? There are: haproxy, nft, packet-mmsg',
    );
    expect(complaint('--only', 'bulk')).toContain('There are: ab-20, bulk-1, echo');
    expect(complaint('--quik')).toContain('did you mean "--quick"?');
    expect(complaint('ab-20')).toContain('there is no option "ab-20"');
  });

  test('numbers must be numbers of rounds', () => {
    for (const value of ['0', '1.5', 'many', '1001', '-'])
      expect(complaint(`--rounds=${value}`)).toContain('1 to 1000');
    expect(complaint('--rounds')).toBe('--rounds needs a value');
    expect(complaint('--rounds', '--quick')).toBe('--rounds needs a value');
    expect(complaint('--rounds', '2', '3')).toContain('one number');
    expect(complaint('--only')).toBe('--only needs a value');
  });
});

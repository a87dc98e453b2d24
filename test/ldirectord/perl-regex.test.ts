import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { translatePerlRegex } from '../../src/ldirectord/perl-regex.ts';

function matches(perl: string, text: string): boolean {
  const { source, flags } = translatePerlRegex(perl);
  return new RegExp(source, flags).test(Buffer.from(text, 'utf8').toString('latin1'));
}

const CASES: readonly (readonly [string, string])[] = [
  ['All systems (go|nominal)', 'x All systems nominal y'],
  ['^PONG$', 'PONG\n'],
  ['^PONG$', 'PONG\nx'],
  ['^b', 'a\nb'],
  ['(?m)^b$', 'a\nb\nc'],
  ['(?i)hello', 'HELLO'],
  ['(?s)a.b', 'a\nb'],
  ['a.b', 'a\nb'],
  ['a.b', 'a\rb'],
  ['\\Aab\\z', 'ab\n'],
  ['\\Aab\\Z', 'ab\n'],
  ['[[:alpha:]]+[[:digit:]]', 'x1'],
  ['[^[:space:]]', ' \t'],
  ['[]x]', ']'],
  ['192\\.0\\.2\\.[0-9]+', '192.0.2.7'],
  ['\\Qa.b\\E+', 'a.bbb'],
  ['\\Qa.b\\E', 'QaxbE'],
  ['\\Ux', 'Ux'],
  ['ü', 'grün'],
  ['gr..n', 'grün'],
  ['[$]5 \\$', '$5 $'],
  ['a{2,3}', 'aa'],
  ['x\\hy', 'x\ty'],
  ['(?<name>a)\\k<name>', 'aa'],
  ['(?<!a)b(?=c)', 'abc bc'],
];

const perl = spawnSync('perl', ['-e', '1']).status === 0;

describe('an expression matches what Perl lets it match', () => {
  test.runIf(perl).each(CASES)('%j against %j', (pattern, text) => {
    const script = 'exit($ARGV[1] =~ /$ARGV[0]/ ? 0 : 1)';
    const expected = spawnSync('perl', ['-e', script, pattern, text]).status === 0;
    expect(matches(pattern, text)).toBe(expected);
  });

  test('both outcomes occur among the cases', () => {
    const outcomes = CASES.map(([pattern, text]) => matches(pattern, text));
    expect(new Set(outcomes)).toEqual(new Set([true, false]));
  });
});

test.each(['(?>a)', 'a++', '(?R)', '\\p{L}', '(?x)a b', '(*FAIL)', '(?(1)a|b)'])(
  '%s is refused, not misread',
  (pattern) => {
    expect(() => translatePerlRegex(pattern)).toThrow(/not supported yet/);
  },
);

test('a wrong expression is refused with a sentence', () => {
  expect(() => translatePerlRegex('(a')).toThrow(/not a regular expression/);
  expect(() => translatePerlRegex('[a')).toThrow(/not a regular expression/);
});

/** Every command with every option, as the real ipvsadm 1.31 took it. */
import { describe, expect, test } from 'vitest';
import { readExample, run } from './run.ts';
import { TestTable } from './table.ts';

type Rule = 'required' | 'allowed' | 'illegal';
const matrix = JSON.parse(readExample('matrix.json')) as Record<string, Record<string, Rule>>;

const VALUES: Readonly<Record<string, string>> = {
  '-t': '192.0.2.1:80',
  '-s': 'rr',
  '-p': '60',
  '-M': '255.255.255.0',
  '-r': '192.0.2.11:80',
  '-w': '2',
  '-x': '9',
  '-y': '0',
  '--mcast-interface': 'lo',
  '--syncid': '1',
  '--pe': 'sip',
  '-b': 'flag-1',
  '--mcast-group': '224.0.0.99',
  '--mcast-port': '9',
  '--mcast-ttl': '2',
  '--sync-maxlen': '1400',
  '--tun-type': 'gre',
  '--tun-port': '6080',
};
const OPERANDS: Readonly<Record<string, string[]>> = {
  '--set': ['1', '2', '3'],
  '--start-daemon': ['master'],
  '--stop-daemon': ['master'],
};

function words(option: string): string[] {
  const value = VALUES[option];
  return value === undefined ? [option] : [option, value];
}

describe('commands and options', () => {
  for (const [command, rules] of Object.entries(matrix)) {
    const required = Object.keys(rules).filter((option) => rules[option] === 'required');
    const base = (without: string) => [
      command,
      ...(OPERANDS[command] ?? []),
      ...required.filter((option) => option !== without).flatMap(words),
    ];
    for (const [option, rule] of Object.entries(rules)) {
      test(`${command} with ${option}: ${rule}`, async () => {
        const { stderr, exit } = await run(new TestTable(), [...base(option), ...words(option)]);
        const refused = /^Illegal '[^']*' option with the '[^']*' command$/m.test(stderr);
        expect(refused).toBe(rule === 'illegal');
        if (refused) expect(exit).toBe(2);
        const missing = await run(new TestTable(), base(option));
        const wanted = /^You need to supply the '[^']*' option for the '[^']*' command$/m.test(missing.stderr);
        expect(wanted).toBe(rule === 'required');
        if (wanted) expect(missing.exit).toBe(2);
      });
    }
  }
});

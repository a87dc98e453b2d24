/** The word itself: what is typed, and what it ends with. Rules and labs are in test/doctor. */
import { expect, test } from 'vitest';
import type { Cli } from '../../src/cli/cli.ts';
import { runUipvs } from '../../src/cli/run.ts';
import { IpvsError } from '../../src/model/errors.ts';

async function doctor(...words: string[]) {
  let stdout = '';
  let stderr = '';
  const cli: Cli = {
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
    terminal: null,
    pause: async () => false,
    installation: { programs: '/nowhere', linkDirectory: '/nowhere', alternatives: null, standardPath: [] },
    connect: () => Promise.reject(new IpvsError('ENOPROTOOPT', 'no uipvsd answers on /x.sock')),
    backEnds: async () => [],
    guard: () => Promise.reject(new Error('nobody asks for it here')),
  };
  const code = await runUipvs(['doctor', ...words], cli, []);
  return { code, stdout, stderr };
}

test('without a daemon nothing is fine: every rule says that it could not be evaluated', async () => {
  const { code, stdout, stderr } = await doctor();
  expect(code).toBe(1);
  expect(stdout).toContain('nothing could be examined');
  expect(stderr).toBe('uipvs doctor: no uipvsd answers on /x.sock\n');
  const json = await doctor('--json', '--rule', 'weights', '--rule', 'clock', '--passive');
  expect(json.code).toBe(1);
  expect(JSON.parse(json.stdout)).toMatchObject({
    findings: [],
    rules: [
      { rule: 'weights', outcome: 'cannot-tell', says: 'no uipvsd answers on /x.sock' },
      { rule: 'clock', outcome: 'cannot-tell' },
    ],
  });
});

test('wrong words are told, with what may have been meant', async () => {
  expect(await doctor('--rule', 'conntrak')).toMatchObject({
    code: 2,
    stderr: 'uipvs doctor: there is no rule "conntrak", did you mean conntrack?\n',
  });
  expect((await doctor('--rule', 'x')).stderr).toContain('there are vip-missing, ');
  expect(await doctor('--fix', '--undo')).toMatchObject({ code: 2 });
  for (const seconds of ['0', '2', '9999', 'x', '-1']) {
    expect([seconds, (await doctor('--watch', seconds)).code]).toEqual([seconds, 2]);
  }
  expect((await doctor('what')).code).toBe(2);
});

test('the rules are listed', async () => {
  const { code, stdout } = await doctor('--list');
  expect(code).toBe(0);
  expect(stdout).toMatch(/^arp-problem {4}a real server answers ARP for the virtual address$/m);
  expect(JSON.parse((await doctor('--list', '--json', '--rule', 'ports')).stdout)).toMatchObject([{ name: 'ports' }]);
});

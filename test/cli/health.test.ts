import { beforeEach, describe, expect, test } from 'vitest';
import type { Cli } from '../../src/cli/cli.ts';
import { formatHealth } from '../../src/cli/health-table.ts';
import { runUipvs } from '../../src/cli/run.ts';
import { IpvsError } from '../../src/model/errors.ts';
import type { HealthOfServer, HeldHealthReport } from '../../src/model/health.ts';
import { FakeDataPlane } from '../support/fake-data-plane.ts';

const NOW = Date.parse('2026-11-23T12:00:00.000Z');
const before = (seconds: number) => new Date(NOW - seconds * 1_000).toISOString();

const UP: HealthOfServer = {
  address: '192.168.1.11',
  port: 80,
  state: 'up',
  since: before(3_725),
  result: { at: before(1), healthy: true, reason: 'answered', latencyMs: 0.42 },
  failures: 0,
  failuresMax: 2,
  nextCheckAt: before(-1.5),
  changes: [{ number: 1, at: before(3_725), state: 'up', reason: 'answered' }],
};
const DOWN: HealthOfServer = {
  ...UP,
  address: '192.168.1.12',
  state: 'down',
  since: before(8),
  result: { at: before(1), healthy: false, reason: 'no echo \u001b[2Jreply', latencyMs: 10_001 },
  failures: 4,
  changes: [
    { number: 2, at: before(3_725), state: 'up', reason: 'answered' },
    { number: 3, at: before(8), state: 'down', reason: 'no echo reply' },
  ],
};
const RESTING: HealthOfServer = {
  ...UP,
  address: '192.168.1.13',
  state: 'maintenance',
  nextCheckAt: null,
  result: null,
};

function held(servers: readonly HealthOfServer[], more: Partial<HeldHealthReport> = {}): HeldHealthReport {
  return {
    source: 'uldirectord-user.cf',
    receivedAt: before(1),
    stale: false,
    report: {
      program: 'uldirectord',
      pid: 77,
      configuration: '/etc/ha.d/user.cf',
      startedAt: before(3_726),
      renewSeconds: 5,
      services: [
        {
          key: { protocol: 'tcp', address: '192.168.1.120', port: 80 },
          check: 'ping every 2 s, timeout 10 s',
          fallback: '127.0.0.1:80',
          fallbackInUse: false,
          servers,
        },
      ],
    },
    ...more,
  };
}

let reports: readonly HeldHealthReport[];
let problem: IpvsError | null;
beforeEach(() => {
  reports = [];
  problem = null;
});

async function uipvs(...words: string[]) {
  let stdout = '';
  let stderr = '';
  const status = (): Promise<never> => Promise.reject(new Error('nobody asks for it here'));
  const health = async () => {
    if (problem !== null) throw problem;
    return reports;
  };
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
    connect: async () => Object.assign(new FakeDataPlane(), { status, health }),
    backEnds: async () => [],
    guard: () => Promise.reject(new Error('nobody asks for it here')),
  };
  const code = await runUipvs(['health', ...words], cli, []);
  return { code, stdout, stderr };
}

test('the table says who is up, since when and why not, and what happened last', () => {
  const clock = (seconds: number) => new Date(NOW - seconds * 1_000).toTimeString().slice(0, 8);
  expect(formatHealth([held([UP, DOWN, RESTING])], false, NOW).replace(/\d{4}-\d\d-\d\d /g, '')).toBe(
    `told by uldirectord (/etc/ha.d/user.cf, pid 77) 1 s ago

tcp 192.168.1.120:80  1 of 3 up; ping every 2 s, timeout 10 s; fallback 127.0.0.1:80 not in use
  SERVER           STATE        SINCE          LATENCY  FAILURES  NEXT    LAST RESULT
  192.168.1.11:80  up           1 h 2 min ago  0.4 ms   0/2       in 2 s  answered
  192.168.1.12:80  down         8 s ago        10.0 s   4/2       in 2 s  no echo  [2Jreply
  192.168.1.13:80  maintenance  1 h 2 min ago  -        0/2       -       not checked yet
  last changes:
  ${clock(8)}  192.168.1.12:80  down         no echo reply
  ${clock(3_725)}  192.168.1.12:80  up           answered
  ${clock(3_725)}  192.168.1.11:80  up           answered
  ${clock(3_725)}  192.168.1.13:80  up           answered
`,
  );
});

describe('uipvs health', () => {
  test.each([
    ['nobody down', () => [held([UP, RESTING])], 0],
    ['one of them down', () => [held([UP, DOWN])], 3],
    ['nobody telling', () => [], 1],
    ['the one who told silent', () => [held([UP], { stale: true })], 1],
    ['the one who told silent and somebody down', () => [held([DOWN], { stale: true })], 3],
  ])('with %s', async (_, make, code) => {
    reports = make();
    expect((await uipvs()).code).toBe(code);
    expect((await uipvs('--json')).code).toBe(code);
  });

  test('--json prints the reports as they are', async () => {
    reports = [held([UP, DOWN])];
    expect(JSON.parse((await uipvs('--json')).stdout)).toEqual(reports);
  });

  test('says that nobody tells, and that somebody has stopped telling', async () => {
    expect((await uipvs()).stdout).toContain('no program that checks real servers tells of their health');
    reports = [held([UP], { stale: true })];
    expect((await uipvs()).stdout).toContain('OUTDATED: uldirectord has stopped telling');
  });

  test('shows one server alone, by its address or with its port', async () => {
    reports = [held([UP, DOWN])];
    for (const name of ['192.168.1.11', '192.168.1.11:80']) {
      const { code, stdout } = await uipvs(name);
      expect(code).toBe(0);
      expect(stdout).toContain('192.168.1.11:80');
      expect(stdout).not.toContain('192.168.1.12:80');
    }
  });

  test('answers an unknown server with the nearest one', async () => {
    reports = [held([UP, DOWN])];
    expect(await uipvs('192.168.1.21:80')).toEqual({
      code: 2,
      stdout: '',
      stderr: 'uipvs health: no server "192.168.1.21:80" is checked, did you mean 192.168.1.11:80?\n',
    });
  });

  test('shows five changes, or all with --timeline', async () => {
    const changes = Array.from({ length: 9 }, (_, index) => ({ ...DOWN.changes[1], number: index + 1 }));
    reports = [held([{ ...DOWN, changes }])];
    const few = (await uipvs()).stdout;
    expect(few.match(/down +no echo reply/g)).toHaveLength(5);
    expect(few).toContain('... and 4 more: --timeline');
    expect((await uipvs('--timeline')).stdout.match(/down +no echo reply/g)).toHaveLength(9);
  });

  test('says of an older daemon that it is one', async () => {
    problem = new IpvsError('ENOENT', 'there is nothing at "/v1/health"');
    const { code, stderr } = await uipvs();
    expect(code).toBe(1);
    expect(stderr).toBe('uipvs: this uipvsd is too old to know of health; start the newer one\n');
  });
});

/** Labs that stay up: each working one is built, checked by real traffic, and removed without a trace. */
import { describe, expect, test } from 'vitest';
import { LABS } from '../../src/lab/labs/index.ts';
import { checked, notPassed, takenDown, typed, withHost } from './standing-support.ts';
import { whyNoLab } from './support.ts';

const LONG_MS = 600_000;
const WHY_NOT =
  process.getuid?.() === 0 ? whyNoLab('packet-ring', ['sysctl']) : 'needs root: these labs outlive the command';

/** Ends the test here, with the reason in the list of skipped tests, when labs cannot run here. */
function needs(skip: (condition: boolean, note?: string) => void, why: string | null = WHY_NOT): void {
  skip(why !== null, why ?? '');
}

describe.concurrent('a working lab stands, passes all of its checks, and leaves nothing', () => {
  for (const { name, programs = [] } of LABS) {
    test(
      name,
      async ({ skip }) => {
        needs(skip, WHY_NOT ?? whyNoLab('packet-ring', programs));
        await withHost(async (host, before) => {
          const up = await typed(host, 0, 'up', name);
          expect(notPassed(await checked(host, name))).toEqual([]);
          await takenDown(host, up, before);
        });
      },
      LONG_MS,
    );
  }
});

describe.concurrent('a standing lab', () => {
  test(
    'is found by later commands, beside another one under its own name',
    async ({ skip }) => {
      needs(skip);
      await withHost(async (host, before) => {
        const first = await typed(host, 0, 'up', 'nat');
        const again = await typed(host, 1, 'up', 'nat');
        expect(again.stderr).toContain('a lab stands under the name nat already');
        // The only one needs no name.
        const listing = await typed(host, 0, 'sh', 'director', '--', 'ipvsadm', '-Ln');
        expect(listing.stdout).toContain('TCP  192.168.1.120:80 rr');
        expect((await typed(host, 7, 'sh', 'rs1', '--', 'sh', '-c', 'exit 7')).stderr).toBe('');
        expect((await typed(host, 1, 'sh', 'rs9', '--', 'true')).stderr).toContain('it has client, director, rs1');

        await typed(host, 0, 'up', 'nat', '--name', 'second');
        expect((await typed(host, 2, 'check')).stderr).toContain('several labs stand, so give a name: nat, second');
        const states = JSON.parse((await typed(host, 0, 'status', '--json')).stdout);
        expect(states.map((state: { name: string; condition: string }) => [state.name, state.condition])).toEqual([
          ['nat', 'up'],
          ['second', 'up'],
        ]);
        expect(states[0].socket).toMatch(/^\/tmp\/uipvs-lab-[0-9a-f]{6}\/run\/uipvs\/\d+\.sock$/);
        expect((await typed(host, 0, 'hint', 'nat')).stdout).toMatch(/^hint 1 of /);
        expect((await typed(host, 0, 'hint', 'nat')).stdout).toMatch(/^hint 2 of /);
        expect((await typed(host, 0, 'graph', 'nat', '--svg', '-')).stdout).toMatch(/^<svg [\s\S]*192\.168\.1\.120/);
        expect((await typed(host, 1, 'graph', 'nat', '--svg', '/nowhere/x.svg')).stderr).toContain('ENOENT');
        await takenDown(host, first, before);
      });
    },
    LONG_MS,
  );

  test(
    'that lost all of its processes and namespaces, as by a reboot, is told to be gone and makes room for the next',
    async ({ skip }) => {
      needs(skip);
      await withHost(async (host, before) => {
        const lost = await typed(host, 0, 'up', 'nat');
        for (const pid of lost.processes()) process.kill(pid, 'SIGKILL');
        for (const line of host.output('ip', 'netns', 'list').split('\n').filter(Boolean)) {
          host.output('ip', 'netns', 'delete', line.split(' ')[0] as string);
        }
        expect((await typed(host, 1, 'check')).stderr).toContain('is no longer there');
        expect((await typed(host, 0, 'status')).stdout).toContain('nat: gone');
        const next = await typed(host, 0, 'up', 'nat');
        expect(lost.hasFolder).toBe(false);
        await takenDown(host, next, before);
      });
    },
    LONG_MS,
  );

  test(
    'that is interrupted while it is built leaves nothing',
    async ({ skip }) => {
      needs(skip);
      await withHost(async (host, before) => {
        const run = host.start('up', 'nat');
        await run.says('starting uipvsd');
        run.process.kill('SIGINT');
        expect(await run.ended()).toBe(130);
        expect(run.stderr).toContain('everything was removed');
        await takenDown(host, run, before);
      });
    },
    LONG_MS,
  );

  test(
    'that was killed while it was built is removed by the next word',
    async ({ skip }) => {
      needs(skip);
      await withHost(async (host, before) => {
        const run = host.start('up', 'nat');
        await run.says('starting the servers');
        run.process.kill('SIGKILL');
        await run.ended();
        await takenDown(host, run, before);
      });
    },
    LONG_MS,
  );
});

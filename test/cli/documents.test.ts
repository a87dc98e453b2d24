/** Completions and manual pages: made of the tables, readable by the programs they are for. */
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Cli } from '../../src/cli/cli.ts';
import { runUipvs } from '../../src/cli/run.ts';
import { HELP_BLOCKS } from '../../src/ipvsadm/help.ts';
import { OPTION_KINDS } from '../../src/ipvsadm/option-table.ts';
import { temporaryDirectory } from '../support/served.ts';

const ROOT = join(import.meta.dirname, '../..');
let folder: string;

async function uipvs(...words: string[]) {
  let stdout = '';
  let stderr = '';
  const nobody = (): Promise<never> => Promise.reject(new Error('nobody asks for it here'));
  const cli: Cli = {
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
    terminal: null,
    pause: async () => false,
    installation: { programs: '/nowhere', linkDirectory: '/usr/sbin', alternatives: null, standardPath: [] },
    connect: nobody,
    backEnds: nobody,
    guard: nobody,
  };
  const lab = { name: 'lab', summary: 'try it', run: async () => 0 };
  const ipvsadm = { name: 'ipvsadm', summary: 'the ipvsadm command', run: async () => 0 };
  return { code: await runUipvs(words, cli, [lab, ipvsadm]), stdout, stderr };
}

beforeAll(async () => {
  folder = temporaryDirectory();
  expect((await uipvs('completion', '--write', folder)).code).toBe(0);
  expect((await uipvs('man', '--write', folder)).code).toBe(0);
});

const there = (program: string): boolean => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;

test('all files are written, the same as printed', async () => {
  const pages = ['uipvs.8', 'uipvsadm.8', 'uipvsd.8', 'uldirectord.8'];
  expect(readdirSync(folder).sort()).toEqual(['_uipvs', 'uipvs.bash', ...pages, 'uipvs.fish'].sort());
  expect((await uipvs('completion', 'fish')).stdout).toBe(readFileSync(join(folder, 'uipvs.fish'), 'utf8'));
  expect((await uipvs('man', 'uipvsd')).stdout).toBe(readFileSync(join(folder, 'uipvsd.8'), 'utf8'));
  const { man } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { man: string[] };
  expect(man.map((file) => file.replace('dist/man/', '')).sort()).toEqual(pages);
});

test.each(['completion', 'man'])('%s without a known name is a mistake', async (word) => {
  expect(await uipvs(word, 'tcsh')).toMatchObject({ code: 2, stdout: '' });
  expect((await uipvs(word)).stderr).toMatch(new RegExp(`^uipvs ${word}: type one of `));
});

test('the help of ipvsadm tells of every option once', () => {
  const told = HELP_BLOCKS.flatMap(({ entries }) => entries.flatMap(({ flags }) => flags.match(/(?<!\S)--?[\w-]+/g)));
  const known = OPTION_KINDS.flatMap(({ short, long }) => [
    ...(short === undefined ? [] : [`-${short}`]),
    ...(long === undefined ? [] : [`--${long}`]),
  ]);
  expect(told.sort()).toEqual(known.sort());
});

describe('bash', () => {
  /** The last word is the one that is being typed. */
  function complete(...words: string[]): string[] {
    const script = `source ${join(folder, 'uipvs.bash')}
      COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
      _uipvs; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return execFileSync('bash', ['-c', script, 'bash', ...words], { encoding: 'utf8' })
      .split('\n')
      .filter(Boolean);
  }

  test.each([
    [
      ['uipvs', 'st'],
      ['status', 'stats'],
    ],
    [
      ['/usr/bin/uipvs', 'stats', '--'],
      ['--json', '--watch', '--help'],
    ],
    [
      ['uipvs', 'proc', 'ip_vs_s'],
      ['ip_vs_stats', 'ip_vs_stats_percpu'],
    ],
    [
      ['uipvs', 'sysctl', 'net.ipv4.vs.drop'],
      ['net.ipv4.vs.drop_entry', 'net.ipv4.vs.drop_packet'],
    ],
    [['uipvs', 'man', 'uipvsa'], ['uipvsadm']],
    [['uipvs', 'connections', '--limit', ''], []],
    [
      ['uipvsd', '--io', ''],
      ['packet-ring', 'packet-mmsg', 'pcap', 'xdp', 'macvtap'],
    ],
    [
      ['uipvsd', '--io', '=', 'p'],
      ['packet-ring', 'packet-mmsg', 'pcap'],
    ],
    [['uipvsd', '--guard', 'off', '--sn'], ['--snat']],
    [
      ['ipvsadm', '--del'],
      ['--delete-service', '--delete-server'],
    ],
    [
      ['uipvsadm', '-A', '-t', '192.0.2.1:80', '-s', 'w'],
      ['wrr', 'wlc'],
    ],
    [['ipvsadm', '--start-daemon', 'm'], ['master']],
    [
      ['uipvs', 'ipvsadm', '--add-server', '--tun-type', 'g'],
      ['gue', 'gre'],
    ],
  ])('%j', (words, found) => {
    expect(complete(...words)).toEqual(found);
  });

  test('behind a command of ipvsadm come the options that go with it, and no others', () => {
    expect(complete('ipvsadm', '-D', '-')).toEqual([
      ...['-t', '--tcp-service', '-u', '--udp-service', '--sctp-service', '-f', '--fwmark-service', '-6', '--ipv6'],
    ]);
    expect(complete('ipvsadm', '-C', '-')).toEqual([]);
  });
});

test.skipIf(!there('zsh'))('zsh can read its script', () => {
  execFileSync('zsh', ['-f', '-n', join(folder, '_uipvs')]);
});

test.skipIf(!there('fish'))('fish completes words', () => {
  const script = `source ${join(folder, 'uipvs.fish')}; complete -C 'uipvs st'`;
  const found = execFileSync('fish', ['--no-config', '-c', script], { encoding: 'utf8' });
  expect(found.split('\n').map((line) => line.split('\t')[0])).toEqual(['stats', 'status', '']);
});

describe('manual pages', () => {
  test.skipIf(!there('groff')).each(['uipvs', 'uipvsd', 'uipvsadm', 'uldirectord'])(
    '%s has no line that groff warns of, and shows what was meant',
    (page) => {
      const file = join(folder, `${page}.8`);
      const { status, stdout, stderr } = spawnSync(
        'groff',
        ['-man', '-ww', '-Tutf8', '-P-c', '-P-b', '-P-u', '-rLL=200n', file],
        { encoding: 'utf8' },
      );
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      expect(stdout).toMatch(/^NAME\n {7}u\S+.* [-−–] /m);
      for (const part of ['SYNOPSIS', 'DESCRIPTION', 'ENVIRONMENT', 'SEE ALSO'])
        expect(stdout).toContain(`\n${part}\n`);
      for (const other of ['uipvs', 'uipvsd', 'uipvsadm', 'uldirectord'].filter((name) => name !== page)) {
        expect(stdout).toContain(`${other}(8)`);
      }
    },
  );

  test('uipvs(8) has every word with its options, uipvsadm(8) every option', () => {
    const uipvs8 = readFileSync(join(folder, 'uipvs.8'), 'utf8');
    for (const word of ['status', 'stats', 'proc', 'sysctl', 'install', 'lab', 'man']) {
      expect(uipvs8).toContain(`.SS ${word}\n`);
    }
    expect(uipvs8).toContain('.B \\-\\-as\\-ipvsadm\n');
    const uipvsadm8 = readFileSync(join(folder, 'uipvsadm.8'), 'utf8');
    for (const { long } of OPTION_KINDS) {
      if (long !== undefined) expect(uipvsadm8).toContain(`\\-\\-${long.replaceAll('-', '\\-')}`);
    }
  });

  test('text that looks like a command of troff is text', () => {
    for (const line of readFileSync(join(folder, 'uipvs.8'), 'utf8').split('\n')) {
      expect(line.startsWith("'")).toBe(false);
      if (line.startsWith('.')) expect(line).toMatch(/^\.(TH|SH|SS|TP|B|BR|PP|nf|fi|br|\\")/);
    }
  });

  test.skipIf(!there('mandoc'))('mandoc finds no error', () => {
    for (const page of readdirSync(folder).filter((name) => name.endsWith('.8'))) {
      execFileSync('mandoc', ['-T', 'lint', '-W', 'error', join(folder, page)]);
    }
  });
});

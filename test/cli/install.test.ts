import { existsSync, lstatSync, mkdirSync, readdirSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Cli, Installation } from '../../src/cli/cli.ts';
import { runUipvs } from '../../src/cli/run.ts';
import { temporaryDirectory } from '../support/served.ts';

const UPDATE_ALTERNATIVES = '/usr/bin/update-alternatives';
const NAMES = ['ipvsadm', 'ipvsadm-restore', 'ipvsadm-save'];

let root: string;
let links: string;
let installation: Installation;
beforeEach(() => {
  root = temporaryDirectory();
  links = join(root, 'sbin');
  const programs = join(root, 'dist');
  for (const folder of [links, programs, join(root, 'bin')]) mkdirSync(folder);
  for (const name of ['uipvsadm', 'uipvsadm-save', 'uipvsadm-restore', 'uldirectord']) {
    writeFileSync(join(programs, `${name}.js`), '');
  }
  writeFileSync(join(root, 'bin/node'), '');
  installation = { programs, linkDirectory: links, alternatives: null, standardPath: [join(root, 'bin')] };
});

async function install(...words: string[]) {
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
    installation,
    connect: nobody,
    backEnds: nobody,
    guard: nobody,
  };
  const code = await runUipvs(['install', ...words], cli, []);
  return { code, stdout, stderr };
}

const target = (name: string): string => readlinkSync(join(links, name));

describe('links of our own', () => {
  test('are made, once, and removed', async () => {
    const { code, stdout, stderr } = await install('--as-ipvsadm');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.split('\n')[0]).toBe(`link ${links}/ipvsadm to ${root}/dist/uipvsadm.js`);
    expect(readdirSync(links).sort()).toEqual(NAMES);
    expect(target('ipvsadm-save')).toBe(join(root, 'dist/uipvsadm-save.js'));

    const again = await install('--as-ipvsadm');
    expect(again.code).toBe(0);
    expect(again.stdout.match(/ already$/gm)).toHaveLength(3);

    expect((await install('--as-ipvsadm', '--undo')).stdout.match(/^remove the link/gm)).toHaveLength(3);
    expect(readdirSync(links)).toEqual([]);
    expect(await install('--as-ipvsadm', '--undo')).toMatchObject({
      code: 0,
      stdout: `there is nothing of uipvs to remove for ipvsadm in ${links}\n`,
    });
  });

  test('ldirectord is a group of its own', async () => {
    await install('--as-ipvsadm', '--as-ldirectord');
    expect(target('ldirectord')).toBe(join(root, 'dist/uldirectord.js'));
    await install('--as-ipvsadm', '--undo');
    expect(readdirSync(links)).toEqual(['ldirectord']);
  });

  test('--dry-run changes nothing', async () => {
    expect((await install('--as-ipvsadm', '--dry-run')).stdout.match(/^would link/gm)).toHaveLength(3);
    expect(readdirSync(links)).toEqual([]);
    await install('--as-ipvsadm');
    expect((await install('--as-ipvsadm', '--undo', '--dry-run')).stdout.match(/^would remove/gm)).toHaveLength(3);
    expect(readdirSync(links).sort()).toEqual(NAMES);
  });

  test('--prefix puts them elsewhere, into a directory that is there', async () => {
    const other = join(root, 'other');
    expect(await install('--as-ldirectord', '--prefix', other)).toMatchObject({
      code: 1,
      stderr: `uipvs install: there is no directory ${other}; type \`mkdir -p ${other}\` if it shall be\n`,
    });
    mkdirSync(other);
    expect((await install('--as-ldirectord', '--prefix', other)).code).toBe(0);
    expect(readdirSync(other)).toEqual(['ldirectord']);
    expect(readdirSync(links)).toEqual([]);
  });

  test('a program that is there is left alone, and then nothing else is made either', async () => {
    writeFileSync(join(links, 'ipvsadm-save'), 'the real one');
    const { code, stdout, stderr } = await install('--as-ldirectord', '--as-ipvsadm');
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toBe(
      `uipvs install: there is ${links}/ipvsadm-save already, which is a program of its own; nothing was changed. ` +
        'Remove it first, or keep both with `uipvs install --as-ipvsadm --prefix /usr/local/sbin`, where most shells look first.\n',
    );
    expect(readdirSync(links)).toEqual(['ipvsadm-save']);
    await install('--as-ipvsadm', '--undo');
    expect(lstatSync(join(links, 'ipvsadm-save')).isFile()).toBe(true);
  });

  test('a link to something else is neither replaced nor removed', async () => {
    symlinkSync('/opt/other/ipvsadm', join(links, 'ipvsadm'));
    expect((await install('--as-ipvsadm')).stderr).toContain('which is a link to /opt/other/ipvsadm');
    expect((await install('--as-ipvsadm', '--undo')).code).toBe(0);
    expect(target('ipvsadm')).toBe('/opt/other/ipvsadm');
  });

  test('what is missing of a group is added', async () => {
    symlinkSync('../dist/uipvsadm.js', join(links, 'ipvsadm'));
    const { stdout } = await install('--as-ipvsadm');
    expect(stdout.match(/ already$/gm)).toHaveLength(1);
    expect(stdout.match(/^link /gm)).toHaveLength(2);
  });

  test('which ones must be said', async () => {
    expect(await install()).toMatchObject({
      code: 2,
      stderr: 'uipvs install: type --as-ipvsadm, --as-ldirectord or both\n',
    });
  });

  test('a node that services will not find is told of', async () => {
    installation = { ...installation, standardPath: [links] };
    const { code, stderr } = await install('--as-ipvsadm');
    expect(code).toBe(0);
    expect(stderr).toContain(`\`ln -s ${process.execPath} /usr/local/bin/node\``);
    expect((await install('--as-ipvsadm', '--undo')).stderr).toBe('');
  });
});

describe.skipIf(!existsSync(UPDATE_ALTERNATIVES))('with update-alternatives', () => {
  beforeEach(() => {
    for (const folder of ['alternatives', 'admin']) mkdirSync(join(root, folder));
    const command = [
      UPDATE_ALTERNATIVES,
      ...['--altdir', join(root, 'alternatives')],
      ...['--admindir', join(root, 'admin')],
      ...['--log', join(root, 'log')],
    ] as [string, ...string[]];
    installation = { ...installation, alternatives: { command, directory: join(root, 'alternatives') } };
  });

  test('one entry carries all links, once, and takes them away', async () => {
    expect(await install('--as-ipvsadm')).toMatchObject({ code: 0, stderr: '' });
    expect(readdirSync(links).sort()).toEqual(NAMES);
    expect(target('ipvsadm')).toBe(join(root, 'alternatives/ipvsadm'));
    expect(readlinkSync(join(root, 'alternatives/ipvsadm-save'))).toBe(join(root, 'dist/uipvsadm-save.js'));

    expect((await install('--as-ipvsadm')).stdout).toBe(
      `${links}/ipvsadm links to ${root}/dist/uipvsadm.js already, by update-alternatives\n`,
    );
    expect((await install('--as-ipvsadm', '--undo', '--dry-run')).stdout).toMatch(/^would remove/);
    expect((await install('--as-ipvsadm', '--undo')).code).toBe(0);
    for (const folder of ['sbin', 'alternatives', 'admin']) expect(readdirSync(join(root, folder))).toEqual([]);
    expect((await install('--as-ipvsadm', '--undo')).stdout).toContain('there is nothing of uipvs to remove');
  });

  test('a program of a package is left alone', async () => {
    writeFileSync(join(links, 'ipvsadm'), 'the real one');
    const { code, stderr } = await install('--as-ipvsadm');
    expect(code).toBe(1);
    expect(stderr).toContain('Remove it with `apt remove ipvsadm`');
    expect(readdirSync(join(root, 'admin'))).toEqual([]);
  });

  test('links made by hand stay what they are', async () => {
    symlinkSync(join(root, 'dist/uldirectord.js'), join(links, 'ldirectord'));
    expect((await install('--as-ldirectord')).stdout).toMatch(/ already\n$/);
    expect(readdirSync(join(root, 'admin'))).toEqual([]);
  });

  test('a failure is told in its words', async () => {
    installation = {
      ...installation,
      alternatives: { command: ['/bin/false'], directory: join(root, 'alternatives') },
    };
    const { code, stderr } = await install('--as-ipvsadm');
    expect(code).toBe(1);
    expect(stderr).toMatch(/^uipvs install: \/bin\/false --install .* failed: exit code 1/);
  });
});

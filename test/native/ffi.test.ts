/** The providers of foreign functions, each in a process of its own, because a process chooses once. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const PROJECT = fileURLToPath(new URL('../..', import.meta.url));
let folder = '';

/** What a process says that loads the provider of its environment and works with it. */
function ask(environment: Readonly<Record<string, string>>): Record<string, unknown> {
  const script = `
    import { getLibc } from '${folder}/src/native/libc.js';
    try {
      const libc = getLibc();
      const view = new Uint8Array(libc.view(libc.mmap(4096), 4096));
      const failed = libc.recv(99_999, 0, 0, 0);
      const errno = libc.errnoText();
      const reserved = libc.reserve(1 << 30);
      libc.mapZeros(reserved + 8192, 4096);
      const stretch = new Uint8Array(libc.view(reserved, 1 << 30));
      stretch[8192] = 7;
      console.log(JSON.stringify({
        provider: libc.provider, lo: libc.interfaceIndex('lo'), address: [...libc.parseAddress('10.1.2.3')],
        zero: view[17], failed, errno, kept: stretch[8192], beyond: stretch[1 << 29],
      }));
    } catch (error) {
      console.log(JSON.stringify({ refused: error.name + ': ' + error.message }));
    }`;
  const env: NodeJS.ProcessEnv = { ...process.env, UIPVS_FFI: undefined, ...environment };
  const words = ['--input-type=module', '-e', script];
  const output = execFileSync(process.execPath, words, { encoding: 'utf8', env, stdio: ['ignore', 'pipe', 'pipe'] });
  return JSON.parse(output);
}

const WORKS = {
  lo: 1,
  address: [10, 1, 2, 3],
  zero: 0,
  failed: -1,
  errno: 'EBADF',
  kept: 7,
  beyond: 0,
};

function whyNo(name: string): string | null {
  try {
    createRequire(import.meta.url)(name);
    return null;
  } catch (error) {
    return `${name} cannot be loaded: ${(error as Error).message.split('\n')[0]}`;
  }
}

const noKoffi = whyNo('koffi');
const noNodeFfi = whyNo('node:ffi');
const skipped = (reason: string | null) => (reason === null ? '' : ` (skipped: ${reason})`);

describe('the way to the C library', () => {
  beforeAll(() => {
    // Below the project, so that packages are found.
    mkdirSync(join(PROJECT, 'dist'), { recursive: true });
    folder = mkdtempSync(join(PROJECT, 'dist', 'ffi-'));
    const compilerOptions = { rootDir: PROJECT, outDir: folder, noCheck: true, declaration: false };
    const files = [join(PROJECT, 'src/native/libc.ts')];
    const config = { extends: join(PROJECT, 'tsconfig.json'), compilerOptions, files, include: [] };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
    execFileSync(process.execPath, [join(PROJECT, 'node_modules/typescript/bin/tsc'), '-p', folder]);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test.skipIf(noKoffi !== null)(`is koffi where it is installed${skipped(noKoffi)}`, () => {
    expect(ask({})).toEqual({ provider: expect.stringMatching(/^koffi \d/), ...WORKS });
    expect(ask({ UIPVS_FFI: 'koffi' })).toEqual({ provider: expect.stringMatching(/^koffi \d/), ...WORKS });
  });

  test.skipIf(noNodeFfi !== null)(`can be node:ffi, with the same results${skipped(noNodeFfi)}`, () => {
    expect(ask({ UIPVS_FFI: 'node' })).toEqual({ provider: expect.stringMatching(/^node:ffi of Node \d/), ...WORKS });
  });

  test.skipIf(noNodeFfi === null)('is refused with the version that has it, where this Node does not', () => {
    expect(ask({ UIPVS_FFI: 'node' }).refused).toMatch(
      /^NativeUnavailableError: Node \S+ has no node:ffi; Node 26 brings it/,
    );
  });

  test('is refused by an unknown name, with the names there are', () => {
    expect(ask({ UIPVS_FFI: 'ffi-napi' }).refused).toBe(
      'NativeUnavailableError: UIPVS_FFI is "ffi-napi"; it takes koffi or node',
    );
  });
});

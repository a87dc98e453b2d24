/** The proxy as it is installed: its processes start from compiled files. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { DataPlane } from '../../src/model/data-plane.ts';

const PROJECT = fileURLToPath(new URL('../..', import.meta.url));

export class CompiledProxy {
  readonly #folder: string;

  constructor() {
    mkdirSync(join(PROJECT, 'dist'), { recursive: true });
    this.#folder = mkdtempSync(join(PROJECT, 'dist', 'proxy-'));
    const config = join(this.#folder, 'tsconfig.json');
    const options = { rootDir: PROJECT, outDir: this.#folder, noCheck: true, declaration: false, noEmitOnError: false };
    const files = ['index.ts', 'processes/helper.ts'].map((file) => join(PROJECT, 'native-free', file));
    const extended = { extends: join(PROJECT, 'tsconfig.json'), compilerOptions: options, files, include: [] };
    writeFileSync(config, JSON.stringify(extended));
    execFileSync(process.execPath, [join(PROJECT, 'node_modules/typescript/bin/tsc'), '-p', config], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
  }

  async open(processes: number): Promise<DataPlane> {
    const module = pathToFileURL(join(this.#folder, 'native-free', 'index.js')).href;
    const { openProxy } = (await import(/* @vite-ignore */ module)) as typeof import('../../native-free/index.ts');
    return openProxy({ connectionsMax: 10_000, sendProxy: null, acceptProxy: [], processes });
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

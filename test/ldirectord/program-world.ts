/** The program as real processes, over a table that the test can see. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Compiled, compileSources } from '../health/compiled.ts';

/** A table in a file, so that the test sees what the daemon does; `away` beside it: nobody answers. */
const ENTRY = `
import { appendFileSync, existsSync } from 'node:fs';
import { notify, sendDatagram } from './bin/datagram.js';
import { takeServiceManager } from './control/service-manager.js';
import { runLdirectord } from './ldirectord/program.js';
import { IpvsError } from './model/errors.js';
const folder = process.env.TEST_FOLDER;
const services = new Map();
const idOf = (key) => JSON.stringify(key);
const find = (key) => {
  const row = services.get(idOf(key));
  if (row === undefined) throw new IpvsError('ESRCH', 'no such service');
  return row;
};
const status = ({ spec, destinations }) => ({ spec, destinations: [...destinations.values()].map((spec) => ({ spec })) });
const connect = async () => {
  if (existsSync(folder + '/away')) throw new Error('nobody listens');
  return {
    async execute(command) {
      if (existsSync(folder + '/away')) throw new IpvsError('ENOPROTOOPT', 'nobody listens');
      if (command.name === 'info') return {};
      if (command.name === 'getService') return status(find(command.key));
      if (command.name === 'listServices') return { items: [...services.values()].map(status), next: null };
      appendFileSync(folder + '/commands', JSON.stringify(command) + '\\n');
      if (command.name === 'addService') services.set(idOf(command.service.key), { spec: command.service, destinations: new Map() });
      if (command.name === 'deleteService') services.delete(idOf(command.key));
      if (command.name === 'addDestination') find(command.service).destinations.set(command.destination.address, command.destination);
      return null;
    },
    watch: () => () => {},
    close: async () => {},
  };
};
const status_ = await runLdirectord(process.argv.slice(2), {
  stdout: (text) => process.stdout.write(text),
  stderr: (text) => process.stderr.write(text),
  stderrIsTerminal: false,
  connect,
  sendDatagram,
  serviceManager: takeServiceManager(process.env, notify, (text) => process.stderr.write(text)),
  self: { command: process.execPath, words: [process.argv[1]] },
  environment: process.env,
});
process.exitCode = status_;
`;

/** Compiled once for a test file. */
export function compileProgram(name: string): Compiled {
  const compiled = compileSources(name);
  writeFileSync(join(compiled.folder, 'uldirectord.js'), ENTRY);
  return compiled;
}

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly child: ChildProcess;
  said(): string;
  /** Its exit code. */
  readonly ended: Promise<number | null>;
}

/** A host with directories of its own, for one test. */
export class Host {
  readonly folder = mkdtempSync(join(tmpdir(), 'uild-'));
  readonly #program: string;
  readonly #before: readonly string[];
  readonly #children: ChildProcess[] = [];

  /** `before`: words that stand before the program, such as `ip netns exec x`. */
  constructor(compiled: Compiled, before: readonly string[] = []) {
    this.#program = join(compiled.folder, 'uldirectord.js');
    this.#before = before;
    for (const each of ['run', 'ha.d', 'ha.d/conf']) mkdirSync(join(this.folder, each));
  }

  run(...words: string[]): Ended {
    const [command, ...args] = this.words(...words);
    const { status, stdout, stderr } = spawnSync(command, args, { ...this.#options(), encoding: 'utf8' });
    return { status, stdout, stderr };
  }

  /** In the foreground. */
  start(words: readonly string[], environment: NodeJS.ProcessEnv = {}): Running {
    return this.startOther(this.words(...words), environment);
  }

  /** Any program; it is ended with the host. */
  startOther([command = '', ...args]: readonly string[], environment: NodeJS.ProcessEnv = {}): Running {
    const options = this.#options();
    const child = spawn(command, args, { ...options, env: { ...options.env, ...environment } });
    this.#children.push(child);
    let text = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
    }
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    return { child, said: () => text, ended };
  }

  /** What is typed for these words. */
  words(...words: readonly string[]): [string, ...string[]] {
    return [...this.#before, process.execPath, this.#program, ...words] as [string, ...string[]];
  }

  #options(): { env: NodeJS.ProcessEnv; cwd: string } {
    const env = {
      ...process.env,
      TEST_FOLDER: this.folder,
      UIPVS_RUN_DIR: join(this.folder, 'run'),
      UIPVS_HA_DIR: join(this.folder, 'ha.d'),
    };
    return { env, cwd: this.folder };
  }

  pidOf(name: string): number | null {
    const path = join(this.folder, 'run', `ldirectord.${name}.pid`);
    return existsSync(path) ? Number(readFileSync(path, 'utf8')) : null;
  }

  write(lines: string, place = 'ha.d/user.cf'): string {
    const path = join(this.folder, place);
    writeFileSync(path, `logfile="${join(this.folder, 'log')}"\n${lines}`);
    return path;
  }

  read(file: string): string {
    const path = join(this.folder, file);
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  }

  log(): string {
    return this.read('log');
  }

  commands(): string {
    return this.read('commands');
  }

  async until(truth: () => boolean): Promise<void> {
    const endMs = Date.now() + 60_000;
    while (!truth()) {
      if (Date.now() > endMs) throw new Error(`waited in vain; the log says:\n${this.log()}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Ends what is left. */
  remove(): void {
    for (const child of this.#children) if (child.exitCode === null) child.kill('SIGKILL');
    for (const file of readdirSync(join(this.folder, 'run'))) {
      try {
        const pid = Number(readFileSync(join(this.folder, 'run', file), 'utf8'));
        if (pid > 1 && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(this.#program))
          process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended in the meantime.
      }
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

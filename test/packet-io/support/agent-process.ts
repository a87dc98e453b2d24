/** The test's end of an agent: compiles it once, starts it inside a namespace, sends orders. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PROJECT = fileURLToPath(new URL('../../..', import.meta.url));

/** The agent as JavaScript, in a folder below the project so that packages are found. */
export class AgentProgram {
  readonly path: string;
  /** Of the process that has two workers with a fast path each. */
  readonly workersPath: string;
  readonly folder: string;

  constructor() {
    mkdirSync(join(PROJECT, 'dist'), { recursive: true });
    this.folder = mkdtempSync(join(PROJECT, 'dist', 'agent-'));
    const config = join(this.folder, 'tsconfig.json');
    const options = { rootDir: PROJECT, outDir: this.folder, noCheck: true, declaration: false, noEmitOnError: false };
    // The agent loads wake.ts by its path, in another thread.
    const sources = ['test/packet-io/support/agent.ts', 'test/packet-io/support/fast-path-workers.ts'];
    const files = [...sources, 'src/native/wake.ts'].map((file) => join(PROJECT, file));
    const extended = { extends: join(PROJECT, 'tsconfig.json'), compilerOptions: options, files, include: [] };
    writeFileSync(config, JSON.stringify(extended));
    execFileSync(process.execPath, [join(PROJECT, 'node_modules/typescript/bin/tsc'), '-p', config], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    this.path = join(this.folder, 'test/packet-io/support/agent.js');
    this.workersPath = join(this.folder, 'test/packet-io/support/fast-path-workers.js');
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export class Agent {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  #next = 0;
  #ended: Error | null = null;

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.on('message', (message: { id: number; result?: unknown; error?: string }) => {
      const waiting = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      if (message.error !== undefined) waiting?.reject(new Error(message.error));
      else waiting?.resolve(message.result);
    });
    child.on('exit', (code, signal) => {
      this.#ended = new Error(`the agent ended with ${signal ?? code}`);
      for (const each of this.#waiting.values()) each.reject(this.#ended);
    });
  }

  static async start(
    program: AgentProgram,
    namespace: string,
    environment: Readonly<Record<string, string>> = {},
  ): Promise<Agent> {
    const child = spawn('ip', ['netns', 'exec', namespace, process.execPath, program.path], {
      // libpcap's wrapper warns about links without an address; that is how the test wants them.
      stdio: ['ignore', 'inherit', process.env['AGENT_STDERR'] ? 'inherit' : 'ignore', 'ipc'],
      env: { ...process.env, ...environment },
    });
    await new Promise((resolve, reject) => {
      child.once('message', resolve);
      child.once('exit', () => reject(new Error('the agent did not start')));
    });
    return new Agent(child);
  }

  // biome-ignore lint/suspicious/noExplicitAny: the answer is what the agent's order returns.
  order(name: string, order: object = {}): Promise<any> {
    if (this.#ended !== null) return Promise.reject(this.#ended);
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.send({ id, name, order });
    });
  }

  /** Ends it as nobody ends a process that should tidy up. */
  async kill(): Promise<void> {
    const exited = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await exited;
  }

  async stop(): Promise<void> {
    if (this.#ended !== null) return;
    const exited = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.disconnect();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 3000);
    await exited;
    clearTimeout(timer);
  }
}

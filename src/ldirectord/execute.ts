/** `execute`: configurations whose own instance of the program starts, reloads and stops together with this one. */
import { spawn } from 'node:child_process';

export interface Others {
  /** What starts this program. */
  readonly command: string;
  readonly words: readonly string[];
  /** Where names that are paths are looked for. */
  readonly directory: string;
  readonly environment: NodeJS.ProcessEnv;
  /** This instance. */
  readonly name: string;
}

/** Names of the instances by which one came to be called, so that two that name each other come to an end. */
const CHAIN = 'UIPVS_LDIRECTORD_EXECUTED_BY';
const TIMEOUT_MS = 30_000;
const NOT_RUNNING = 1;

/** Was this instance called by one that it has called itself? Then there is nothing to do. */
export function calledByItself(environment: NodeJS.ProcessEnv, name: string): boolean {
  return chainOf(environment).includes(name);
}

/** `reload` starts those that do not run. Never rejects; what goes wrong is logged. */
export async function executeOthers(
  others: Others,
  names: readonly string[],
  action: 'start' | 'stop' | 'reload' | 'status',
  log: (text: string) => void,
): Promise<void> {
  for (const name of names) {
    const answer = await execute(others, name, action);
    if (action === 'reload' && answer.status === NOT_RUNNING) await executeOthers(others, [name], 'start', log);
    else if (action === 'status') log(answer.text);
    else if (answer.status !== 0) log(`execute: ${name} ${action} failed: ${answer.text || `status ${answer.status}`}`);
  }
}

/** After a reload: those that are named no more stop, the new ones start, the others reload. */
export async function followOthers(
  others: Others,
  before: readonly string[],
  now: readonly string[],
  log: (text: string) => void,
): Promise<void> {
  const gone = before.filter((name) => !now.includes(name));
  const stayed = now.filter((name) => before.includes(name));
  const fresh = now.filter((name) => !before.includes(name));
  await executeOthers(others, gone, 'stop', log);
  await executeOthers(others, stayed, 'reload', log);
  await executeOthers(others, fresh, 'start', log);
}

interface Answered {
  readonly status: number | null;
  readonly text: string;
}

function execute(others: Others, name: string, action: string): Promise<Answered> {
  const env = { ...others.environment, [CHAIN]: [...chainOf(others.environment), others.name].join('/') };
  const child = spawn(others.command, [...others.words, name, action], {
    cwd: others.directory,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: TIMEOUT_MS,
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (part: string) => {
      text = (text + part).slice(0, 4_000);
    });
  }
  return new Promise((resolve) => {
    child.once('error', (error) => resolve({ status: null, text: error.message }));
    child.once('close', (status) => resolve({ status, text: text.trim() }));
  });
}

function chainOf(environment: NodeJS.ProcessEnv): string[] {
  return (environment[CHAIN] ?? '').split('/').filter(Boolean);
}

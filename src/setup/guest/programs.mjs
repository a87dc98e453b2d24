/** Starting programs in the guest. */
import { spawn, spawnSync } from 'node:child_process';

export const BIN = '/uipvs/dist/bin';

/** Its message is all there is to say. */
export class StepFailed extends Error {
  name = 'StepFailed';
}

export async function inNamespace(name, work) {
  must('ip', ['netns', 'add', name]);
  try {
    return await work(['ip', 'netns', 'exec', name]);
  } finally {
    must('ip', ['netns', 'del', name]);
  }
}

/** Starts uipvsd and waits until it is ready. */
export async function startDaemon(enter, words) {
  const [command, ...args] = [...enter, process.execPath, `${BIN}/uipvsd.js`, ...words];
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stderr.on('data', (chunk) => (said += chunk));
  const closed = new Promise((resolve) => child.once('close', resolve));
  await new Promise((resolve, reject) => {
    child.stdout.once('data', resolve);
    child.once('exit', (code) => reject(new StepFailed(`uipvsd ended with ${code}: ${said}`)));
    child.once('error', reject);
  });
  return {
    async stop() {
      child.kill();
      await closed;
    },
  };
}

/** Runs a program of ours to its end, while the console goes on to say that the guest lives. */
export function program(enter, name, words) {
  const [command, ...args] = [...enter, process.execPath, `${BIN}/${name}.js`, ...words];
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
    child.once('error', reject);
    child.once('close', (status) => resolve({ status, stdout, stderr }));
  });
}

export function must(command, words) {
  const { status, stdout, stderr, error } = spawnSync(command, words, { encoding: 'utf8' });
  if (status !== 0) throw new StepFailed(`${command} ${words.join(' ')}: ${error?.message ?? stderr}${stdout ?? ''}`);
  return stdout;
}

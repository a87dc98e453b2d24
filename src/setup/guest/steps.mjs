/** What is done in the guest, in order. A step returns a sentence with its figures, or throws. */
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const BIN = '/uipvs/dist/bin';
/** As on the machine where the recordings were made. */
const RECORDED_LINKS = [
  ['link', 'add', 'c0', 'type', 'veth', 'peer', 'name', 's0'],
  ['link', 'set', 'lo', 'up'],
  ['link', 'set', 'c0', 'up'],
  ['link', 'set', 's0', 'up'],
  ['addr', 'add', '10.0.0.1/24', 'dev', 'c0'],
  ['addr', 'add', 'fd00::1/64', 'dev', 'c0', 'nodad'],
  ['addr', 'add', '10.1.0.1/24', 'dev', 's0'],
];

class StepFailed extends Error {
  name = 'StepFailed';
}

/** @type {readonly { name: string, run: () => Promise<string> | string }[]} */
export const STEPS = [
  { name: 'kernel', run: describeKernel },
  { name: 'conformance', run: playRecordings },
  { name: 'lab-masq', run: () => runLab('--mode', 'masq', '--requests', '200') },
  { name: 'lab-dr', run: () => runLab('--mode', 'dr', '--requests', '200') },
];

function describeKernel() {
  // Their settings are there once they are loaded.
  for (const module of ['ip_vs', 'ip_vs_lblc', 'ip_vs_lblcr', 'ip_vs_ftp']) must('modprobe', [module]);
  return readFileSync('/proc/version', 'utf8').split(' (')[0];
}

/** The conformance suite of data planes over the kernel's own IPVS. */
async function playRecordings() {
  return inNamespace('conform', async (enter) => {
    for (const words of RECORDED_LINKS) must('ip', ['-n', 'conform', ...words]);
    const daemon = await startDaemon(enter, ['--data-plane', 'kernel']);
    try {
      const { stdout, stderr } = await program(enter, 'uipvs', ['conform', '--running', '--json']);
      if (!stdout.startsWith('{')) throw new StepFailed(`uipvs conform said: ${stderr}${stdout}`);
      const report = JSON.parse(stdout);
      const failed = report.cases.filter(({ outcome }) => outcome === 'failed');
      if (failed.length > 0) {
        throw new StepFailed(
          `${report.passed} passed, ${failed.length} failed:\n${failed.map((it) => JSON.stringify(it)).join('\n')}`,
        );
      }
      if (report.passed < 60) throw new StepFailed(`only ${report.passed} recordings were played`);
      return `${report.dataPlane}: ${report.passed} recordings passed, ${report.leftOut} left out`;
    } finally {
      await daemon.stop();
    }
  });
}

async function runLab(...words) {
  const { status, stdout, stderr } = await program([], 'uipvs', ['lab', '--data-plane', 'kernel', '--json', ...words]);
  if (status !== 0)
    throw new StepFailed(`uipvs lab ended with ${status}:\n${stdout.slice(-2000)}${stderr.slice(-2000)}`);
  const result = JSON.parse(stdout.trimEnd().split('\n').at(-1));
  const servers = Object.entries(result.perServer).map(([server, count]) => `${server} ${count}`);
  if (result.failed !== 0)
    throw new StepFailed(`${result.failed} of ${result.requests} requests failed: ${servers.join(', ')}`);
  return `ab: ${result.requests} requests, 0 failed, ${result.requestsPerSecond} a second (${servers.join(', ')})`;
}

async function inNamespace(name, work) {
  must('ip', ['netns', 'add', name]);
  try {
    return await work(['ip', 'netns', 'exec', name]);
  } finally {
    must('ip', ['netns', 'del', name]);
  }
}

/** Starts uipvsd and waits until it is ready. */
async function startDaemon(enter, words) {
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
function program(enter, name, words) {
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

function must(command, words) {
  const { status, stdout, stderr, error } = spawnSync(command, words, { encoding: 'utf8' });
  if (status !== 0) throw new StepFailed(`${command} ${words.join(' ')}: ${error?.message ?? stderr}${stdout ?? ''}`);
  return stdout;
}

/** What is done in the guest, in order. A step returns a sentence with its figures, or throws. */
import { readFileSync, writeFileSync } from 'node:fs';
import { keepConnections } from './migration.mjs';
import { inNamespace, must, program, StepFailed, startDaemon } from './programs.mjs';

/** Those that any data plane can play are all in this set; unpacking the others takes long here. */
const COMMAND_RECORDINGS = '/uipvs/test/recordings/cli.jsonl.br';
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

/** @type {readonly { name: string, run: () => Promise<string> | string }[]} */
export const STEPS = [
  { name: 'kernel', run: describeKernel },
  { name: 'conformance', run: playRecordings },
  { name: 'nothing-half', run: applyWithoutModule },
  { name: 'lab-masq', run: () => runLab('--mode', 'masq', '--requests', '200') },
  { name: 'lab-dr', run: () => runLab('--mode', 'dr', '--requests', '100') },
  { name: 'compare', run: comparePlanes },
  { name: 'migrate', run: keepConnections },
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
      const { stdout, stderr } = await program(enter, 'uipvs', ['conform', '--running', '--json', COMMAND_RECORDINGS]);
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

/** Debian's kernel has no scheduler twos: of a file whose third step needs it nothing stays. */
async function applyWithoutModule() {
  const file = '/tmp/twos.rules';
  const service = (port, scheduler) =>
    `-A -t 10.1.0.9:${port} -s ${scheduler}\n-a -t 10.1.0.9:${port} -r 10.0.0.2:80 -m\n`;
  writeFileSync(file, service(80, 'rr') + service(81, 'twos'));
  return inNamespace('half', async (enter) => {
    const daemon = await startDaemon(enter, ['--data-plane', 'kernel']);
    try {
      must('ip', ['-n', 'half', 'link', 'set', 'lo', 'up']);
      const { status, stdout, stderr } = await program(enter, 'uipvs', ['apply', file]);
      const said = stdout + stderr;
      if (status !== 1 || !said.includes('ip_vs_twos'))
        throw new StepFailed(`uipvs apply ended with ${status}: ${said}`);
      const table = must('ip', ['netns', 'exec', 'half', 'cat', '/proc/net/ip_vs']);
      if (/^TCP/m.test(table)) throw new StepFailed(`something stayed in the kernel:\n${table}`);
      return 'a file that needs a missing module was refused by its name, and nothing of it stayed';
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

/** The packet engine and the kernel do the same. */
async function comparePlanes() {
  const { status, stdout, stderr } = await program([], 'uipvs', ['compare', 'packet', 'kernel', '--json']);
  if (status !== 0 && status !== 3) throw new StepFailed(`uipvs compare ended with ${status}: ${stdout}${stderr}`);
  const { steps, differences } = JSON.parse(stdout);
  if (status === 3) throw new StepFailed(`${differences.length} differences:\n${JSON.stringify(differences, null, 1)}`);
  if (steps < 80) throw new StepFailed(`only ${steps} steps were played`);
  return `packet and kernel: ${steps} steps, no difference`;
}

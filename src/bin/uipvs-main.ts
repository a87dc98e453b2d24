/** `uipvs`: the words, and the parts of the house behind each of them, loaded when their word is typed. */
import { existsSync } from 'node:fs';
import type { Cli } from '../cli/cli.ts';
import { type DelegatedWord, runUipvs } from '../cli/run.ts';
import { processOutput, writeStdoutBytes } from './output.ts';

const DELEGATED: readonly DelegatedWord[] = [
  {
    name: 'lab',
    summary: 'try the balancer in a network of its own inside this machine',
    run: async (words) => (await import('../lab/program.ts')).runLab(words, process),
  },
  {
    name: 'conform',
    summary: 'play recordings of a real kernel and compare what the engine does',
    run: async (words) =>
      (await import('../cli/conform.ts')).runConform(words, {
        ...processOutput,
        isTty: process.stderr.isTTY === true,
        connect: async () => (await import('../control/client.ts')).connectDataPlane(),
      }),
  },
  {
    name: 'compare',
    summary: 'ask the same of two data planes and show where they differ',
    run: async (words) =>
      (await import('../cli/compare.ts')).runCompare(words, {
        ...processOutput,
        isTty: process.stderr.isTTY === true,
        dataPlanes: (await import('./data-planes/index.ts')).DATA_PLANES.map(({ name }) => name),
      }),
  },
  {
    name: 'simulate',
    summary: 'try schedulers under chosen arrivals, work, clients and failures',
    run: async (words) =>
      (await import('../cli/simulate.ts')).runSimulate(words, {
        ...processOutput,
        isTty: process.stderr.isTTY === true,
      }),
  },
  {
    name: 'learn',
    summary: 'layer-4 load balancing in chapters, with commands to try, questions and answers',
    run: async (words) =>
      (await import('../cli/learn.ts')).runLearn(words, {
        ...processOutput,
        terminal:
          process.stdout.isTTY === true && process.stdin.isTTY === true
            ? { columns: process.stdout.columns, input: process.stdin }
            : null,
        environment: process.env,
        directory: process.cwd(),
        programs: import.meta.dirname,
      }),
  },
  {
    name: 'ipvsadm',
    summary: 'the ipvsadm command (the same as uipvsadm)',
    run: async (words) => (await import('./uipvsadm-main.ts')).main(words),
  },
  {
    name: 'ldirectord',
    summary: 'the ldirectord command (the same as uldirectord)',
    run: async (words) => (await import('./uldirectord-main.ts')).main(words),
  },
];

const cli: Cli = {
  ...processOutput,
  stdoutBytes: writeStdoutBytes,
  progressTerminal: process.stderr.isTTY === true,
  terminal: process.stdout.isTTY === true ? { rows: () => process.stdout.rows } : null,
  // Ctrl-C ends the process, and with it every pause.
  pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms, true)),
  connect: async () => (await import('../control/client.ts')).connectDataPlane(),
  backEnds: async () => Object.values((await import('../packet-io/index.ts')).LIVE_KINDS),
  installation: {
    programs: import.meta.dirname,
    linkDirectory: '/usr/sbin',
    alternatives:
      existsSync('/usr/bin/update-alternatives') && existsSync('/var/lib/dpkg')
        ? { command: ['/usr/bin/update-alternatives'], directory: '/etc/alternatives' }
        : null,
    notifiesItself: async () => (await import('../native/ffi-provider.ts')).nativeCallsWork(),
    standardPath: ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'],
  },
  migration: async () => (await import('./migration.ts')).migrationTools,
  guard: () => import('../data-plane/packet/guard-tools.ts'),
  directors: async () => (await import('../ldirectord/running.ts')).runningDirectors(process.env),
};

/** Words that take something back, or say how far they came, before they end at Ctrl-C. A second one ends them at once. */
const PATIENT = ['apply', 'drain', 'migrate', 'capture', 'watch', 'trace'];

export function main(words: readonly string[]): Promise<number> {
  if (PATIENT.includes(words[0] as string)) return runUipvs(words, interruptible(cli), DELEGATED);
  // The delegated words take down what they set up; ours have nothing to take down.
  if (!DELEGATED.some(({ name }) => name === words[0])) {
    process.once('SIGINT', () => process.exit(130));
    process.once('SIGTERM', () => process.exit(143));
  }
  return runUipvs(words, cli, DELEGATED);
}

function interruptible(cli: Cli): Cli {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => controller.abort());
  const { signal } = controller;
  return {
    ...cli,
    interruption: signal,
    pause: (ms) =>
      new Promise((resolve) => {
        if (signal.aborted) return resolve(false);
        const timer = setTimeout(() => {
          signal.removeEventListener('abort', stop);
          resolve(true);
        }, ms);
        const stop = (): void => {
          clearTimeout(timer);
          resolve(false);
        };
        signal.addEventListener('abort', stop, { once: true });
      }),
  };
}

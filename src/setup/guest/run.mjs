/** The tests that need a real kernel's IPVS, from the set-up to the results. */

import { GUEST_TOOLS, installLine, installSystemPackages, missingPackages } from '../system-tools.mjs';
import { isOnPath } from '../terminal.mjs';
import { buildImage } from './image.mjs';
import { getKernel } from './kernel.mjs';
import { EMULATOR, runMachine } from './machine.mjs';

const MEMORY_MIB = 1024;
/** With emulation on two processors that others use, too; on quiet ones it takes about half of it. */
const TIMEOUT_MS = 590_000;
const SILENCE_MS = 120_000;

/** @typedef {{ passed: number, failed: number, skipped: number }} Counts */

/**
 * Boots the guest and prints one line for each step.
 * @param {{ verbose?: boolean, steps?: readonly string[], write?: (text: string) => void }} [options] `verbose`: with
 *   the console of the guest; `steps`: these alone, unless empty
 * @returns {Promise<Counts>}
 */
export async function runKernelTests({
  verbose = false,
  steps = [],
  write = (text) => process.stdout.write(text),
} = {}) {
  const prepared = await prepare();
  if ('reason' in prepared) {
    write(`kernel tests skipped: ${prepared.reason}\n`);
    return { passed: 0, failed: 0, skipped: 1 };
  }
  const { kernel } = prepared;
  write(`kernel tests: Linux ${kernel.version} in ${EMULATOR} ...\n`);
  const result = await runMachine({
    image: kernel.image,
    fileSystem: buildImage(kernel, { steps }),
    memoryMiB: MEMORY_MIB,
    timeoutMs: TIMEOUT_MS,
    silenceMs: SILENCE_MS,
    onMessage: (message) => {
      if (message.type !== 'step') return;
      const text = message.text.replaceAll('\n', '\n    ');
      write(`  ${message.outcome.padEnd(7)} ${message.name} (${message.seconds} s): ${text}\n`);
    },
    ...(verbose ? { onLine: (line) => write(`  | ${line}\n`) } : {}),
  });
  const counts = countOutcomes(result);
  if (result.failure !== null) {
    write(`  failed  ${result.failure}; its last lines:\n${result.console.map((line) => `    | ${line}\n`).join('')}`);
  }
  write(`kernel tests: ${counts.passed} passed, ${counts.failed} failed, in ${Math.round(result.seconds)} s\n`);
  return counts;
}

/** A step that was planned and not told of is a failure, as is a guest that did not come to its end. */
export function countOutcomes({ messages, failure }) {
  const counts = { passed: 0, failed: failure === null ? 0 : 1, skipped: 0 };
  const planned = messages.find(({ type }) => type === 'plan')?.names ?? [];
  const told = messages.filter(({ type }) => type === 'step');
  for (const { outcome } of told) counts[outcome]++;
  if (failure === null) counts.failed += planned.filter((name) => !told.some((step) => step.name === name)).length;
  if (failure === null && planned.length === 0) counts.failed++;
  return counts;
}

/** @returns {Promise<{ kernel: import('./kernel.mjs').GuestKernel } | { reason: string }>} */
async function prepare() {
  if (process.arch !== 'x64') return { reason: `the guest is made for x64, and this is ${process.arch}` };
  const missing = missingPackages(GUEST_TOOLS);
  const failure = missing.length > 0 ? await installSystemPackages(missing) : null;
  if (!isOnPath(EMULATOR)) {
    return { reason: `there is no ${EMULATOR}: ${failure ?? 'unknown'} Type: ${installLine(missing)}` };
  }
  if (failure !== null)
    return { reason: `missing packages: ${missing.join(' ')}; ${failure} Type: ${installLine(missing)}` };
  return getKernel();
}

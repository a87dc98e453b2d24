/** The virtual machine: started, listened to on its serial console, and ended when it is done, silent or too late. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { searchPath } from '../terminal.mjs';
import { readMessage } from './protocol.mjs';

export const EMULATOR = 'qemu-system-x86_64';
const CONSOLE_LINES_KEPT = 40;

/**
 * @typedef {{
 *   messages: import('./protocol.mjs').GuestMessage[],
 *   failure: string | null,
 *   console: readonly string[],
 *   seconds: number,
 * }} MachineRun  `failure`: why it did not come to its end; `console`: its last lines
 */

/**
 * Boots a kernel with a file system and reads what the guest tells, until it ends.
 * @param {{ image: string, fileSystem: Buffer, memoryMiB: number, timeoutMs: number, silenceMs: number,
 *   onMessage?: (message: import('./protocol.mjs').GuestMessage) => void, onLine?: (line: string) => void,
 *   emulator?: readonly string[] }} options  `emulator`: for tests, another program in the place of QEMU
 * @returns {Promise<MachineRun>}
 */
export async function runMachine(options) {
  const folder = mkdtempSync(join(tmpdir(), 'uipvs-guest-'));
  try {
    const initrd = join(folder, 'initramfs');
    writeFileSync(initrd, options.fileSystem);
    return await listen(options, options.emulator ?? emulatorWords(options, initrd));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** `UIPVS_GUEST_ACCEL=kvm` is faster where nested machines work; emulation works everywhere. */
function emulatorWords({ image, memoryMiB }, initrd) {
  const acceleration = process.env.UIPVS_GUEST_ACCEL ?? 'tcg';
  const kernelWords = 'console=ttyS0 panic=-1 edd=off quiet loglevel=3 random.trust_cpu=on mitigations=off';
  return [
    EMULATOR,
    ...['-accel', acceleration, '-cpu', acceleration === 'kvm' ? 'host' : 'max', '-smp', '2', '-m', String(memoryMiB)],
    ...['-nodefaults', '-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-no-reboot'],
    ...['-kernel', image, '-initrd', initrd, '-append', kernelWords],
  ];
}

/** @returns {Promise<MachineRun>} */
function listen({ timeoutMs, silenceMs, onMessage, onLine }, [command, ...words]) {
  return new Promise((resolve) => {
    const beganMs = performance.now();
    const env = { ...process.env, PATH: searchPath() };
    const child = spawn(command, words, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    /** @type {MachineRun} */
    const result = { messages: [], failure: null, console: [], seconds: 0 };
    const lines = [];
    let rest = '';
    let ended = false;
    let silence;
    const stop = (failure) => {
      result.failure ??= failure;
      child.kill('SIGKILL');
    };
    const stopAll = () => stop('it was stopped');
    const onSilence = () => stop(`the guest said nothing for ${silenceMs / 1000} seconds`);
    const timeout = setTimeout(() => stop(`the guest did not end within ${timeoutMs / 1000} seconds`), timeoutMs);
    const heard = () => {
      clearTimeout(silence);
      silence = setTimeout(onSilence, silenceMs);
    };
    const readLine = (line) => {
      const text = stripVTControlCharacters(line.replaceAll('\r', ''));
      const message = readMessage(text);
      if (message === null) {
        if (text.trim() === '') return;
        lines.push(text.slice(0, 1000));
        if (lines.length > CONSOLE_LINES_KEPT) lines.shift();
        onLine?.(text);
        return;
      }
      result.messages.push(message);
      if (message.type === 'end') ended = true;
      onMessage?.(message);
    };
    const read = (chunk) => {
      heard();
      const parts = (rest + chunk).split('\n');
      rest = parts.pop() ?? '';
      for (const line of parts) readLine(line);
    };
    heard();
    for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, stopAll);
    child.stdout.setEncoding('utf8').on('data', read);
    child.stderr.setEncoding('utf8').on('data', read);
    child.on('error', (error) => stop(`${command} cannot be started: ${error.message}`));
    child.on('close', (code) => {
      clearTimeout(timeout);
      clearTimeout(silence);
      for (const signal of ['SIGINT', 'SIGTERM']) process.removeListener(signal, stopAll);
      if (rest !== '') readLine(rest);
      if (result.failure === null && !ended) {
        const panic = lines.find((line) => line.includes('Kernel panic'));
        result.failure = panic
          ? `the guest's kernel panicked: ${panic}`
          : `the guest ended (${code}) before its last step`;
      }
      result.console = lines;
      result.seconds = (performance.now() - beganMs) / 1000;
      resolve(result);
    });
  });
}

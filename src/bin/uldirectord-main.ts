/** `uldirectord`: ldirectord over the daemon of this network namespace. */
import { fileURLToPath } from 'node:url';
import { connectDataPlane } from '../control/client.ts';
import { takeServiceManager } from '../control/service-manager.ts';
import { runLdirectord } from '../ldirectord/program.ts';
import { notify, sendDatagram } from './datagram.ts';

export function main(words: readonly string[]): Promise<number> {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const program = fileURLToPath(new URL(`./uldirectord.${extension}`, import.meta.url));
  return runLdirectord(words, {
    stdout: (text) => void process.stdout.write(text),
    stderr: (text) => void process.stderr.write(text),
    stderrIsTerminal: process.stderr.isTTY === true,
    connect: () => connectDataPlane(),
    connectHealth: () => connectDataPlane(),
    sendDatagram,
    serviceManager: takeServiceManager(process.env, notify, (text) => process.stderr.write(`uldirectord: ${text}\n`)),
    // `start` leaves a detached copy behind, also when it was typed as `uipvs ldirectord`.
    self: { command: process.execPath, words: [...process.execArgv, program] },
    environment: process.env,
  });
}

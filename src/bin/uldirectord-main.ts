/** `uldirectord`: ldirectord over the daemon of this network namespace. */
import { hostname } from 'node:os';
import { fileURLToPath } from 'node:url';
import { connectDataPlane } from '../control/client.ts';
import { takeServiceManager } from '../control/service-manager.ts';
import { fromBlueprint } from '../ldirectord/blueprint.ts';
import { ConfigurationError } from '../ldirectord/config/problem.ts';
import type { Configuration } from '../ldirectord/config/types.ts';
import { runLdirectord } from '../ldirectord/program.ts';
import { FileRefused } from '../model/file-problem.ts';
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
    readNative,
    environment: process.env,
  });
}

/** `uipvs.yaml` for the director. What is wrong is told as with ldirectord: the first problem. */
async function readNative(text: string): Promise<Configuration> {
  const native = await import('../config/native-read.ts');
  try {
    const { blueprint, warnings } = native.readNative(text);
    const configuration = fromBlueprint(blueprint, hostname());
    const told = warnings.map(({ place, text }) => ({ line: place.line, text, origin: 'uipvs' as const }));
    return { ...configuration, warnings: [...told, ...configuration.warnings] };
  } catch (error) {
    if (!(error instanceof FileRefused)) throw error;
    const [first, ...others] = error.problems;
    const more = others.length === 0 ? '' : ` (and ${others.length} more; \`uipvs check\` tells all)`;
    throw new ConfigurationError(first!.place, `${first!.text}${more}`);
  }
}

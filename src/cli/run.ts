/** The `uipvs` command: finds the word and runs it. */
import { IpvsError } from '../model/errors.ts';
import { captureWord } from './capture.ts';
import { checkWord } from './check.ts';
import type { Cli } from './cli.ts';
import { type CommandDescription, runWord, type Word } from './command-line.ts';
import { connectionsWord } from './connections.ts';
import { convertWord } from './convert.ts';
import { doctorWord } from './doctor.ts';
import { completionWord, manWord } from './documents.ts';
import { drainWord } from './drain.ts';
import { explainWord } from './explain.ts';
import { guardWord } from './guard.ts';
import { healthWord } from './health.ts';
import { installWord } from './install.ts';
import { ioWord } from './io.ts';
import { migrateWord } from './migrate.ts';
import { applyWord, planWord } from './plan.ts';
import { procWord } from './proc.ts';
import { replayWord } from './replay.ts';
import { servicesWord } from './services.ts';
import { statsWord } from './stats.ts';
import { statusWord } from './status.ts';
import { sysctlWord } from './sysctl.ts';
import { systemdWord } from './systemd.ts';
import { traceWord } from './trace.ts';
import { watchCommandWord } from './watch-command.ts';

/** A word that another program answers, with everything behind it. */
export interface DelegatedWord {
  readonly name: string;
  readonly summary: string;
  /** Gets the words behind its own. */
  readonly run: (words: readonly string[]) => Promise<number>;
}

const NOTES = `Every word explains itself: uipvs <word> --help.
The daemon is found by the network namespace this command runs in; UIPVS_SOCKET names another one.

Exit codes: 0 done, 1 it could not be done, 2 the words were not understood.`;

export const UIPVS: CommandDescription = {
  name: 'uipvs',
  summary: 'Looks at and tries out uipvs, a layer-4 load balancer that behaves like Linux IPVS.',
  options: [],
  notes: NOTES,
};

/** Resolves to the exit code; never rejects for what a person can cause. */
export async function runUipvs(
  words: readonly string[],
  cli: Cli,
  delegated: readonly DelegatedWord[],
): Promise<number> {
  const asked = words[0] === 'help' ? [...words.slice(1, 2), '--help'] : words;
  const other = delegated.find(({ name }) => name === asked[0]);
  try {
    if (other !== undefined) return await other.run(asked.slice(1));
    return await runWord(UIPVS, allWords(cli, delegated), asked, cli);
  } catch (error) {
    if (!(error instanceof IpvsError)) throw error;
    await cli.stderr(`uipvs: ${error.message}\n`);
    return 1;
  }
}

/** Every word of `uipvs`, in the order of the help text. */
function allWords(cli: Cli, delegated: readonly DelegatedWord[]): Word[] {
  const words = [
    statusWord(cli),
    servicesWord(cli),
    connectionsWord(cli),
    statsWord(cli),
    healthWord(cli),
    explainWord(cli),
    traceWord(cli),
    procWord(cli),
    sysctlWord(cli),
    checkWord(cli),
    convertWord(cli),
    planWord(cli),
    applyWord(cli),
    drainWord(cli),
    migrateWord(cli),
    captureWord(cli),
    watchCommandWord(cli),
    replayWord(cli),
    doctorWord(cli),
    ioWord(cli),
    guardWord(cli),
    installWord(cli),
    systemdWord(cli),
    ...delegated.map(asWord),
  ];
  // These two tell of all the others.
  const last: Word[] = [];
  last.push(
    completionWord(cli, () => [...words, ...last]),
    manWord(cli, UIPVS, () => [...words, ...last]),
  );
  return [...words, ...last];
}

/** For the list of words in the help text; it is run above. */
function asWord({ name, summary, run }: DelegatedWord): Word {
  return { name, summary, options: [], notes: '', run: () => run([]) };
}

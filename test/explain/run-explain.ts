/** `uipvs explain` and `uipvs trace` in this process, with a daemon that is an engine in this process, or none. */
import type { Cli, ConnectedDaemon } from '../../src/cli/cli.ts';
import { runUipvs } from '../../src/cli/run.ts';
import { IpvsError } from '../../src/model/errors.ts';

export interface Ran {
  readonly stdout: string;
  readonly stderr: string;
  readonly exit: number;
}

export async function runWord(words: readonly string[], parts: Partial<Cli> = {}): Promise<Ran> {
  let stdout = '';
  let stderr = '';
  const cli: Cli = {
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
    terminal: null,
    pause: async () => true,
    connect: async (): Promise<ConnectedDaemon> => {
      throw new IpvsError('ENOPROTOOPT', 'there is no daemon in this test');
    },
    backEnds: async () => [],
    guard: async () => {
      throw new Error('not used here');
    },
    installation: { programs: '', linkDirectory: '', alternatives: null, standardPath: [] },
    ...parts,
  };
  const exit = await runUipvs(words, cli, []);
  return { stdout, stderr, exit };
}

export function runExplain(...words: readonly string[]): Promise<Ran> {
  return runWord(['explain', ...words]);
}

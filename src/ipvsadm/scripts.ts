/** The two small programs beside `ipvsadm`: `ipvsadm-save` and `ipvsadm-restore`. */
import type { IpvsadmIo } from './io.ts';
import { runIpvsadm } from './ipvsadm.ts';

/** `ipvsadm-save [-n]`: the table as commands. Words without a dash mean nothing. Returns the exit status. */
export async function runIpvsadmSave(words: readonly string[], io: IpvsadmIo): Promise<number> {
  const options = words.filter((word) => word.startsWith('-'));
  if (options.some((word) => word !== '-n')) {
    await io.stderr(`Usage: ${io.programName} [-n]\n  -n  numbers instead of names\n`);
    return 1;
  }
  return runIpvsadm(options.length > 0 ? ['-S', '-n'] : ['-S'], io);
}

/**
 * `ipvsadm-restore`: clears the table, then reads commands; lines that begin with `#` are comments. The table is
 * cleared even when the input is empty. Returns the exit status of the reading.
 */
export async function runIpvsadmRestore(io: IpvsadmIo): Promise<number> {
  let text = '';
  for await (const piece of io.stdin()) text += piece;
  const lines = text.split('\n').filter((line) => !line.startsWith('#'));
  const input: IpvsadmIo = {
    ...io,
    async *stdin() {
      yield lines.join('\n');
    },
  };
  await runIpvsadm(['-C'], io);
  return runIpvsadm(['-R'], input);
}

/**
 * A program of the operator decides: status 0 is success. It is started without a shell. One that does not end in
 * time is told to (SIGTERM, a second later SIGKILL) and counts as failed, as does one that a signal killed. Of what
 * it says on standard error the first line becomes part of the reason.
 */
import { spawn } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { delimiter, join } from 'node:path';
import type { Readable } from 'node:stream';
import { type CheckerKind, type CheckResult, type CheckTarget, healthy, unhealthy } from '../checker.ts';
import { excerpt, failureReason, inTime } from '../reasons.ts';
import { withinTime } from '../time-limit.ts';

const KILL_AFTER_MS = 1_000;
/** For the last words on standard error of a program that has ended. */
const LAST_WORDS_MS = 100;
const WORDS_BYTES_MAX = 1_000;
/** Processes at once. */
const PROGRAMS_MAX = 256;

export const external: CheckerKind = {
  name: 'external',
  summary: 'a program ends with status 0',
  concurrencyMax: PROGRAMS_MAX,
  create: () => ({
    check: (target, signal) => runProgram(target.command ?? '', [...(target.arguments ?? [])], target, signal),
  }),
};

/**
 * What ldirectord does with the file of `external-perl`: its text is the body of a function that is called with the
 * arguments, so `return` ends it; so does its last line, with success. `exit` with anything but 0 and `die` are
 * failures. Here every call has a process of its own, so nothing is kept from one to the next.
 */
const CALL_FILE = String.raw`
BEGIN { *CORE::GLOBAL::exit = sub { my $status = @_ ? $_[0] : 0; CORE::exit($status == 0 ? 0 : $status & 255 || 1) } }
sub compile { eval $_[0] }
sub fail { my ($status, $reason) = @_; print STDERR $reason; CORE::exit($status) }
my $check = do {
  my $file = shift @ARGV;
  open(my $text, '<', $file) or fail(127, "cannot open $file: $!\n");
  local $/;
  my $body = <$text>;
  $body =~ s/^__(?:END|DATA)__(?!\w).*//ms;
  compile("sub { \@ARGV = \@_;\n# line 1 \"$file\"\n$body\n}") or fail(255, $@);
};
eval { $check->(@ARGV); 1 } or fail(255, $@);
`;

export const externalPerl: CheckerKind = {
  name: 'external-perl',
  summary: 'a Perl function ends without a failure',
  concurrencyMax: PROGRAMS_MAX,
  create: () => ({
    check: (target, signal) =>
      runProgram('perl', ['-e', CALL_FILE, target.command ?? '', ...(target.arguments ?? [])], target, signal),
  }),
  refusal: async () =>
    (await isInPath('perl'))
      ? null
      : 'checktype external-perl needs the program perl, which is not installed; checktype external runs any program',
};

function runProgram(
  program: string,
  words: string[],
  { timeoutMs }: CheckTarget,
  signal: AbortSignal,
): Promise<CheckResult> {
  const lateSentence = (): string =>
    signal.aborted ? 'stopped' : `the program did not end within ${inTime(timeoutMs)}`;
  return withinTime(signal, timeoutMs, (limited) => runWithin(program, words, limited, lateSentence));
}

function runWithin(
  program: string,
  words: string[],
  limited: AbortSignal,
  lateSentence: () => string,
): Promise<CheckResult> {
  return new Promise((resolve) => {
    if (limited.aborted) return resolve(unhealthy('stopped'));
    // A process group of its own, so that what the program has started ends with it.
    const child = spawn(program, words, { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
    const said = hear(child.stderr);
    const settle = (result: CheckResult): void => {
      limited.removeEventListener('abort', abort);
      resolve(result);
    };
    const abort = (): void => {
      killGroup(child.pid, 'SIGTERM');
      const killer = setTimeout(() => killGroup(child.pid, 'SIGKILL'), KILL_AFTER_MS);
      child.once('exit', () => clearTimeout(killer));
      settle(unhealthy(lateSentence()));
    };
    limited.addEventListener('abort', abort);
    child.once('error', (error) => settle(unhealthy(`${program} cannot be started: ${failureReason(error)}`)));
    child.once('exit', async (status, killedBy) => {
      if (status === 0) return settle(healthy());
      const line = await said();
      const end = killedBy === null ? `status ${status}` : `killed by ${killedBy}`;
      settle(unhealthy(line === '' ? end : `${end}: ${excerpt(line)}`));
    });
  });
}

/**
 * Hears a stream to its end, whoever holds it, and keeps only the beginning. The answer resolves with the first line,
 * one character per byte; what a program has left running does not hold that up.
 */
function hear(stream: Readable): () => Promise<string> {
  let text = '';
  const ended = new Promise<void>((resolve) => {
    stream.on('data', (bytes: Buffer) => {
      if (text.length < WORDS_BYTES_MAX) text += bytes.toString('latin1', 0, WORDS_BYTES_MAX);
    });
    stream.once('close', resolve);
    stream.on('error', () => resolve());
  });
  (stream as Socket).unref();
  return async () => {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, LAST_WORDS_MS);
    });
    await Promise.race([ended, late]);
    clearTimeout(timer);
    return text.trimStart().split(/\r?\n/, 1)[0];
  };
}

function killGroup(pid: number | undefined, signal: 'SIGTERM' | 'SIGKILL'): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // It has ended in the meantime.
  }
}

async function isInPath(program: string): Promise<boolean> {
  for (const folder of (process.env.PATH ?? '/usr/bin:/bin').split(delimiter)) {
    try {
      await access(join(folder, program), constants.X_OK);
      return true;
    } catch {
      // Not here.
    }
  }
  return false;
}

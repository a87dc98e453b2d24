/**
 * ICMP echo: by a raw socket of our own where that is possible (package `raw-socket`, or libc), else by the
 * program `ping` of iputils.
 */
import { spawn } from 'node:child_process';
import { getSystemErrorMap } from 'node:util';
import { pingOnce, pingUnavailable } from '../../native/icmp-socket.ts';
import { type Checker, type CheckerKind, type CheckResult, healthy, unhealthy } from '../checker.ts';
import { RawIcmp } from '../raw-icmp.ts';
import { withinTime } from '../time-limit.ts';

/** One echo: `null` for a reply, else why there was none. */
export interface Pinger {
  echo(address: string, timeoutMs: number, signal: AbortSignal): Promise<string | null>;
  close(): void;
}

export interface PingMeans {
  openRaw(): RawIcmp;
  /** `null` when echoes through libc work here, else why not. */
  libcProblem(): Promise<string | null>;
  /** Name or path of the program. */
  readonly program: string;
}

const MEANS: PingMeans = { openRaw: () => RawIcmp.open(), libcProblem: async () => pingUnavailable(), program: 'ping' };

export const ping: CheckerKind = pingKind(MEANS);

/** The kind with other means, for tests. */
export function pingKind(means: PingMeans): CheckerKind {
  return {
    name: 'ping',
    summary: 'an ICMP echo is answered',
    concurrencyMax: 4_096,
    create: () => new PingChecker(means),
    async refusal() {
      try {
        const pinger = await openPinger(means);
        pinger.close();
        return null;
      } catch (error) {
        return (error as Error).message;
      }
    },
  };
}

class PingChecker implements Checker {
  readonly #means: PingMeans;
  #pinger: Promise<Pinger> | null = null;

  constructor(means: PingMeans) {
    this.#means = means;
  }

  async check(
    { address, timeoutMs, attempts = 1 }: Parameters<Checker['check']>[0],
    signal: AbortSignal,
  ): Promise<CheckResult> {
    let problem = 'no attempt';
    try {
      this.#pinger ??= openPinger(this.#means);
      const pinger = await this.#pinger;
      for (let attempt = 0; attempt < attempts && !signal.aborted; attempt++) {
        const answer = await pinger.echo(address, timeoutMs, signal);
        if (answer === null) return healthy();
        problem = answer;
      }
    } catch (error) {
      // Neither way works: try again next time, somebody may have installed or permitted something.
      this.#pinger = null;
      problem = (error as Error).message;
    }
    return unhealthy(problem);
  }

  close(): void {
    void this.#pinger?.then(
      (pinger) => pinger.close(),
      () => {},
    );
    this.#pinger = null;
  }
}

/** Rejects with a sentence when neither way works. */
export async function openPinger(means: PingMeans): Promise<Pinger> {
  let rawProblem: string;
  try {
    const raw = means.openRaw();
    return {
      echo: (address, timeoutMs, signal) => withinTime(signal, timeoutMs, (limited) => raw.echo(address, limited)),
      close: () => raw.close(),
    };
  } catch (error) {
    rawProblem = (error as Error).message.split('\n')[0];
  }
  const libcProblem = await means.libcProblem();
  if (libcProblem === null) return { echo: echoByLibc, close() {} };
  const programProblem = await runPing(means.program, ['-V'], new AbortController().signal);
  if (programProblem === null) {
    return {
      echo: (address, timeoutMs, signal) => echoByProgram(means.program, address, timeoutMs, signal),
      close() {},
    };
  }
  throw new Error(
    `ping checks need the package raw-socket or koffi with CAP_NET_RAW (${rawProblem}; ${libcProblem}), or the program ` +
      `ping of iputils (${programProblem}); none of them works here`,
  );
}

async function echoByLibc(address: string, timeoutMs: number, signal: AbortSignal): Promise<string | null> {
  const { ok, reason } = await pingOnce({ address, timeoutMs, signal });
  return ok ? null : inWords(reason ?? '');
}

/** The reason as the other two ways put it. */
function inWords(reason: string): string {
  if (reason === '' || reason.startsWith('no answer in') || reason === 'cancelled') return 'no echo reply';
  const code = /\bE[A-Z]+\b/.exec(reason)?.[0];
  const known = [...getSystemErrorMap().values()].find(([name]) => name === code);
  return known === undefined ? reason : known[1];
}

async function echoByProgram(
  program: string,
  address: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<string | null> {
  const seconds = String(Math.max(0.01, timeoutMs / 1_000));
  const words = ['-n', '-q', '-c', '1', '-s', '64', '-W', seconds, address];
  const problem = await withinTime(signal, timeoutMs + 200, (limited) => runPing(program, words, limited));
  return problem === 'status 1' ? 'no echo reply' : problem;
}

/** `null` when the program ends with 0. */
function runPing(program: string, words: string[], signal: AbortSignal): Promise<string | null> {
  return new Promise((resolve) => {
    const child = spawn(program, words, { stdio: ['ignore', 'ignore', 'pipe'], signal, killSignal: 'SIGKILL' });
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      if (stderr.length < 1_000) stderr += text;
    });
    child.on('error', (error) => resolve(signal.aborted ? 'no echo reply' : error.message));
    child.on('close', (status) => {
      if (status === 0) resolve(null);
      else resolve(stderr.trim().split('\n')[0] || `status ${status}`);
    });
  });
}

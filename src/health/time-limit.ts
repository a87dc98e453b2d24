/**
 * A signal that also knows the end of a time. Not made with `AbortSignal.any` and `AbortSignal.timeout`: Node 20 may
 * collect that pair as garbage before the time is over, and then nothing ever ends.
 */

/** Calls `work` with a signal that aborts when `signal` does or the time is over, whichever comes first. */
export async function withinTime<Result>(
  signal: AbortSignal,
  timeoutMs: number,
  work: (limited: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const limit = new AbortController();
  const stop = (): void => limit.abort(signal.reason);
  const timer = setTimeout(() => limit.abort(), timeoutMs);
  signal.addEventListener('abort', stop);
  if (signal.aborted) stop();
  try {
    return await work(limit.signal);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
  }
}

/** A TCP connection is accepted; it is closed again at once. */
import { connect as tcpConnect } from 'node:net';
import { type CheckerKind, type CheckResult, type CheckTarget, healthy, unhealthy } from '../checker.ts';
import { failureReason, inTime } from '../reasons.ts';
import { withinTime } from '../time-limit.ts';

export const connect: CheckerKind = {
  name: 'connect',
  summary: 'a TCP connection is accepted',
  concurrencyMax: 1_024,
  create: () => ({ check: checkConnect }),
};

function checkConnect(target: CheckTarget, signal: AbortSignal): Promise<CheckResult> {
  return withinTime(signal, target.timeoutMs, async (limited) => {
    const problem = await connectOnce(target, limited);
    if (problem === null) return healthy();
    return unhealthy(signal.aborted ? 'stopped' : problem);
  });
}

/** `null` for a connection, else why there was none. */
function connectOnce({ address, port, timeoutMs }: CheckTarget, limited: AbortSignal): Promise<string | null> {
  return new Promise((resolve) => {
    if (limited.aborted) return resolve('stopped');
    const socket = tcpConnect({ host: address, port });
    const settle = (problem: string | null): void => {
      limited.removeEventListener('abort', abort);
      // A reset leaves nothing in TIME_WAIT, neither here nor at the server.
      if (problem === null) socket.resetAndDestroy();
      else socket.destroy();
      resolve(problem);
    };
    const abort = (): void => settle(`no connection within ${inTime(timeoutMs)}`);
    limited.addEventListener('abort', abort);
    socket.once('connect', () => settle(null));
    socket.on('error', (error) => settle(failureReason(error)));
  });
}

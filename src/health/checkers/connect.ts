/** A TCP connection is accepted; it is closed again at once. */
import { connect as tcpConnect } from 'node:net';
import { type CheckerKind, type CheckResult, type CheckTarget, healthy, unhealthy } from '../checker.ts';
import { failureReason, inTime } from '../reasons.ts';

export const connect: CheckerKind = {
  name: 'connect',
  summary: 'a TCP connection is accepted',
  concurrencyMax: 1_024,
  create: () => ({ check: checkConnect }),
};

function checkConnect({ address, port, timeoutMs }: CheckTarget, signal: AbortSignal): Promise<CheckResult> {
  return new Promise((resolve) => {
    const limited = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
    if (limited.aborted) return resolve(unhealthy('stopped'));
    const socket = tcpConnect({ host: address, port });
    const settle = (result: CheckResult): void => {
      limited.removeEventListener('abort', abort);
      // A reset leaves nothing in TIME_WAIT, neither here nor at the server.
      if (result.healthy) socket.resetAndDestroy();
      else socket.destroy();
      resolve(result);
    };
    const abort = (): void => settle(unhealthy(`no connection within ${inTime(timeoutMs)}`));
    limited.addEventListener('abort', abort);
    socket.once('connect', () => settle(healthy()));
    socket.on('error', (error) => settle(unhealthy(failureReason(error))));
  });
}

/** Sends some text over TCP, closes its sending side and reads lines until one matches. */
import { connect as tcpConnect } from 'node:net';
import { type CheckerKind, type CheckResult, type CheckTarget, healthy, unhealthy } from '../checker.ts';

/** A longer line is looked at in pieces. */
const LINE_BYTES_MAX = 64 * 1024;

export const simpletcp: CheckerKind = {
  name: 'simpletcp',
  summary: 'after a text was sent over TCP, a matching line comes back',
  concurrencyMax: 1_024,
  create: () => ({ check: checkSimpleTcp }),
};

function checkSimpleTcp(target: CheckTarget, signal: AbortSignal): Promise<CheckResult> {
  const { address, port, timeoutMs, request = '', receive } = target;
  const pattern = receive === undefined ? null : new RegExp(receive.source, receive.flags);
  return new Promise((resolve) => {
    const limited = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
    if (limited.aborted) return resolve(unhealthy('stopped'));
    const socket = tcpConnect({ host: address, port, allowHalfOpen: true });
    const settle = (result: CheckResult): void => {
      limited.removeEventListener('abort', abort);
      socket.destroy();
      resolve(result);
    };
    const abort = (): void => settle(unhealthy(`no matching line within ${timeoutMs} ms`));
    limited.addEventListener('abort', abort);
    socket.on('error', (error) => settle(unhealthy(error.message)));
    socket.once('connect', () => socket.end(Buffer.from(request, 'latin1')));
    let rest = '';
    const matches = (line: string): boolean => pattern === null || pattern.test(line);
    socket.on('data', (bytes: Buffer) => {
      const lines = (rest + bytes.toString('latin1')).split(/(?<=\n)/);
      rest = lines[lines.length - 1].endsWith('\n') ? '' : lines.pop()!;
      if (rest.length > LINE_BYTES_MAX) {
        lines.push(rest);
        rest = '';
      }
      if (lines.some(matches)) settle(healthy());
    });
    socket.once('end', () => settle(rest !== '' && matches(rest) ? healthy() : unhealthy('no line matches')));
  });
}

/** Asks a server in one datagram and hears what comes back, until an answer is found good or bad. */
import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { type CheckResult, type CheckTarget, unhealthy } from './checker.ts';
import { failureReason, inTime } from './reasons.ts';

export interface DatagramQuestion {
  /** What is waited for, for the sentence when it does not come: `answer`. */
  readonly awaited: string;
  /** One character per byte; made when the own address is known. */
  text(localAddress: string, localPort: number): string;
  /** Called for every datagram, one character per byte. `null`: wait for another one. */
  judge(text: string): CheckResult | null;
  /** More to say when none came, such as why that may be. */
  hint?(): string;
  /** Pause before the question is repeated; each further one is twice as long. Absent: it is asked once. */
  readonly repeatAfterMs?: number;
}

/** Never rejects; silence, a closed port and a broken network are `unhealthy`. */
export function askByDatagram(
  { address, port, timeoutMs }: CheckTarget,
  signal: AbortSignal,
  question: DatagramQuestion,
): Promise<CheckResult> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve(unhealthy('stopped'));
    const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
    let isSettled = false;
    let repeat: NodeJS.Timeout | undefined;
    const settle = (result: CheckResult): void => {
      if (isSettled) return;
      isSettled = true;
      clearTimeout(limit);
      clearTimeout(repeat);
      signal.removeEventListener('abort', stop);
      socket.close();
      resolve(result);
    };
    const stop = (): void => settle(unhealthy('stopped'));
    const late = (): void =>
      settle(unhealthy(`no ${question.awaited} within ${inTime(timeoutMs)}${question.hint?.() ?? ''}`));
    const fail = (error: Error): void => settle(unhealthy(failureReason(error)));
    const limit = setTimeout(late, timeoutMs);
    signal.addEventListener('abort', stop);
    // Connected, so that others are not heard and a closed port is said.
    socket.on('error', fail);
    socket.on('message', (bytes) => {
      if (isSettled) return;
      const result = question.judge(bytes.toString('latin1'));
      if (result !== null) settle(result);
    });
    socket.connect(port, address, () => {
      if (isSettled) return;
      const own = socket.address();
      const bytes = Buffer.from(question.text(own.address, own.port), 'latin1');
      const ask = (nextMs: number | undefined): void => {
        socket.send(bytes, (error) => {
          if (error) fail(error);
        });
        if (nextMs !== undefined) repeat = setTimeout(() => ask(nextMs * 2), nextMs);
      };
      ask(question.repeatAfterMs);
    });
  });
}

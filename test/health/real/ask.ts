/** What the tests of real servers share: one check, and how to see that a server listens. */
import { readFileSync } from 'node:fs';
import type { CheckerKind, CheckResult, CheckTarget } from '../../../src/health/checker.ts';
import type { Place, RunningServer } from './server.ts';

/** Longer than a busy machine needs for an answer that comes. */
const ANSWER_MS = 15_000;

/** What a test asks for another time; `undefined` takes back what stands in the target. */
type Changes = { readonly [Name in keyof CheckTarget]?: CheckTarget[Name] | undefined };

/** A check of the kind against this server; what `changes` does not say is as in `target`. */
export function asker(
  kind: CheckerKind,
  server: () => Pick<RunningServer, 'port'>,
  target: Partial<CheckTarget>,
): (changes?: Changes) => Promise<CheckResult> {
  return async (changes = {}) => {
    const checker = kind.create();
    const { port } = server();
    const full = { address: '127.0.0.1', port, timeoutMs: ANSWER_MS, ...target, ...changes } as CheckTarget;
    const result = await checker.check(full, new AbortController().signal);
    checker.close?.();
    return result;
  };
}

/** As a CheckTarget has it. */
export function receive(source: string): Pick<CheckTarget, 'receive'> {
  return { receive: { source, flags: '' } };
}

/** Whether a socket of datagrams has this port. */
export async function hasDatagramSocket({ port }: Pick<Place, 'port'>): Promise<boolean> {
  const written = `:${port.toString(16).toUpperCase().padStart(4, '0')} `;
  return ['udp', 'udp6'].some((table) => readFileSync(`/proc/net/${table}`, 'utf8').includes(written));
}

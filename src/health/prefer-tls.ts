/**
 * TLS where the server offers it, and once more without when the handshake fails: what the clients of the databases
 * do by themselves. Old servers offer versions of TLS that nobody speaks any more.
 */
import type { CheckResult } from './checker.ts';
import { converse, type Dialogue, type Partner } from './dialogue.ts';

/** Goes on over TLS. Throws a CheckFailure when that fails. */
export type BecomeSecure = () => Promise<void>;

/** As `converse`; `talk` is called again, with `null`, when becoming secure has failed and there is time left. */
export async function conversePreferringTls(
  partner: Partner,
  signal: AbortSignal,
  talk: (dialogue: Dialogue, becomeSecure: BecomeSecure | null) => Promise<CheckResult>,
): Promise<CheckResult> {
  const startedMs = performance.now();
  let tlsFailed = false;
  const first = await converse(partner, signal, (dialogue) =>
    talk(dialogue, async () => {
      tlsFailed = true;
      await dialogue.becomeSecure();
      tlsFailed = false;
    }),
  );
  const leftMs = Math.floor(partner.timeoutMs - (performance.now() - startedMs));
  if (!tlsFailed || leftMs <= 0 || signal.aborted) return first;
  return converse({ ...partner, timeoutMs: leftMs }, signal, (dialogue) => talk(dialogue, null));
}

/** IMAP4: greeted with `OK` or `PREAUTH`, and with a login, let in. Source: RFC 9051. */
import { type CheckerKind, type CheckResult, type CheckTarget, healthy } from '../checker.ts';
import { converse, type Dialogue } from '../dialogue.ts';
import { CheckFailure, excerpt } from '../reasons.ts';

const ANSWER_LINES_MAX = 1_000;

export const imap: CheckerKind = {
  name: 'imap',
  summary: 'an IMAP server greets with OK and accepts the login, if there is one',
  concurrencyMax: 1_024,
  create: () => ({ check: (target, signal) => converse(target, signal, (dialogue) => talk(dialogue, target)) }),
};

async function talk(dialogue: Dialogue, { login, password = '' }: CheckTarget): Promise<CheckResult> {
  const greeting = await dialogue.readLine('greeting');
  const [, status] = /^\* (OK|PREAUTH)( |$)/i.exec(greeting) ?? [];
  if (status === undefined) throw new CheckFailure(`greeting was ${excerpt(greeting)}`);
  // Who is known already may not log in again.
  if (login !== undefined && status.toUpperCase() === 'OK') {
    dialogue.send(`a1 LOGIN ${quoted(login)} ${quoted(password)}`);
    await expectGood(dialogue, 'a1', 'answer to LOGIN');
  }
  await dialogue.sayGoodbye('a2 LOGOUT');
  return healthy(excerpt(greeting));
}

async function expectGood(dialogue: Dialogue, tag: string, awaited: string): Promise<void> {
  for (let lines = 0; lines < ANSWER_LINES_MAX; lines++) {
    const line = await dialogue.readLine(awaited);
    // Lines without our tag tell news that nobody asked for.
    if (line.startsWith('* ')) continue;
    if (new RegExp(`^${tag} OK( |$)`, 'i').test(line)) return;
    throw new CheckFailure(`${awaited} was ${excerpt(line)}`);
  }
  throw new CheckFailure(`${awaited} has more than ${ANSWER_LINES_MAX} lines`);
}

function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}

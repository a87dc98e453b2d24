/** POP3: greeted with `+OK`, and with a login, let in. Source: RFC 1939. */
import { type CheckerKind, type CheckResult, type CheckTarget, healthy } from '../checker.ts';
import { converse, type Dialogue } from '../dialogue.ts';
import { CheckFailure, excerpt } from '../reasons.ts';

export const pop: CheckerKind = {
  name: 'pop',
  summary: 'a POP3 server greets with +OK and accepts the login, if there is one',
  concurrencyMax: 1_024,
  create: () => ({ check: (target, signal) => converse(target, signal, (dialogue) => talk(dialogue, target)) }),
};

async function talk(dialogue: Dialogue, { login, password = '' }: CheckTarget): Promise<CheckResult> {
  const greeting = await expectGood(dialogue, 'greeting');
  if (login !== undefined) {
    dialogue.send(`USER ${login}`);
    await expectGood(dialogue, 'answer to USER');
    dialogue.send(`PASS ${password}`);
    await expectGood(dialogue, 'answer to PASS');
  }
  await dialogue.sayGoodbye('QUIT');
  return healthy(excerpt(greeting));
}

async function expectGood(dialogue: Dialogue, awaited: string): Promise<string> {
  const line = await dialogue.readLine(awaited);
  if (!/^\+OK( |$)/.test(line)) throw new CheckFailure(`${awaited} was ${excerpt(line)}`);
  return line;
}

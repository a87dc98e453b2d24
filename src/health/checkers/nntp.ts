/** NNTP: greeted with 2xx. Source: RFC 3977. */
import { type CheckerKind, type CheckResult, healthy } from '../checker.ts';
import { converse, type Dialogue } from '../dialogue.ts';
import { excerpt } from '../reasons.ts';

export const nntp: CheckerKind = {
  name: 'nntp',
  summary: 'a news server greets with 2xx',
  concurrencyMax: 1_024,
  create: () => ({ check: (target, signal) => converse(target, signal, talk) }),
};

async function talk(dialogue: Dialogue): Promise<CheckResult> {
  const { line } = await dialogue.expectReply('greeting', '2');
  await dialogue.sayGoodbye('QUIT');
  return healthy(excerpt(line));
}

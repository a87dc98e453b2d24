/** SMTP and message submission: greeted with 2xx, and EHLO or HELO is accepted. Source: RFC 5321, RFC 6409. */
import { isIPv6 } from 'node:net';
import { type CheckerKind, type CheckResult, healthy } from '../checker.ts';
import { converse, type Dialogue } from '../dialogue.ts';
import { excerpt } from '../reasons.ts';

export const smtp: CheckerKind = {
  name: 'smtp',
  summary: 'a mail server greets with 2xx and accepts EHLO or HELO',
  concurrencyMax: 1_024,
  create: () => ({ check: (target, signal) => converse(target, signal, talk) }),
};

async function talk(dialogue: Dialogue): Promise<CheckResult> {
  const greeting = await dialogue.expectReply('greeting', '2');
  const name = addressLiteral(dialogue.localAddress);
  dialogue.send(`EHLO ${name}`);
  const { code } = await dialogue.readReply('answer to EHLO');
  if (code < 200 || code > 299) {
    dialogue.send(`HELO ${name}`);
    await dialogue.expectReply('answer to HELO', '2');
  }
  await dialogue.sayGoodbye('QUIT');
  return healthy(excerpt(greeting.line));
}

/** Who we are, without asking for a name: RFC 5321, section 4.1.3. */
function addressLiteral(address: string): string {
  return isIPv6(address) ? `[IPv6:${address.replace(/%.*/, '')}]` : `[${address}]`;
}

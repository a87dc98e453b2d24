/**
 * Sends some text and hears lines until one matches. Over TCP the sending side is closed after the text. Over UDP the
 * text is one datagram, and every line of every answer counts.
 */
import { type CheckerKind, type CheckResult, type CheckTarget, healthy, unhealthy } from '../checker.ts';
import { askByDatagram } from '../datagram.ts';
import { converse, type Dialogue } from '../dialogue.ts';

/** More of an answer is not looked at. */
const ANSWER_BYTES_MAX = 8 * 1024 * 1024;
const AWAITED = 'matching line';

export const simpletcp: CheckerKind = {
  name: 'simpletcp',
  summary: 'after a text was sent over TCP or UDP, a matching line comes back',
  concurrencyMax: 1_024,
  create: () => ({ check: checkSimple }),
};

function checkSimple(target: CheckTarget, signal: AbortSignal): Promise<CheckResult> {
  const { request = '', receive, protocol } = target;
  const pattern = receive === undefined ? null : new RegExp(receive.source, receive.flags);
  const matches = (line: string): boolean => pattern === null || pattern.test(line);
  if (protocol !== 'udp') return converse(target, signal, (dialogue) => talk(dialogue, request, matches));
  return askByDatagram(target, signal, {
    awaited: AWAITED,
    text: () => request,
    judge: (text) => (text.split(/(?<=\n)/).some(matches) ? healthy() : null),
  });
}

async function talk(dialogue: Dialogue, request: string, matches: (line: string) => boolean): Promise<CheckResult> {
  dialogue.write(request);
  dialogue.endSending();
  let heardBytes = 0;
  while (heardBytes <= ANSWER_BYTES_MAX) {
    // A line that is too long is looked at in pieces.
    const line = await dialogue.readPiece(AWAITED);
    if (line === null) return unhealthy('no line matches');
    if (matches(line)) return healthy();
    heardBytes += line.length;
  }
  return unhealthy(`said more than ${ANSWER_BYTES_MAX} bytes without a ${AWAITED}`);
}

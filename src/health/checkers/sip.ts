/**
 * SIP: OPTIONS is answered with 200, over UDP or TCP. Provisional answers are waited out, and a datagram is repeated
 * as long as none comes. Source: RFC 3261, sections 11 and 17.1.2.
 */
import { randomBytes } from 'node:crypto';
import { isIPv6 } from 'node:net';
import { type CheckerKind, type CheckResult, type CheckTarget, healthy, unhealthy } from '../checker.ts';
import { askByDatagram } from '../datagram.ts';
import { converse, type Dialogue } from '../dialogue.ts';
import { CheckFailure, excerpt } from '../reasons.ts';

/** T1: how long an answer may take before the question is repeated. */
const REPEAT_AFTER_MS = 500;
const HEADER_LINES_MAX = 200;
const PROVISIONAL_MAX = 20;

export const sip: CheckerKind = {
  name: 'sip',
  summary: 'SIP OPTIONS is answered with 200',
  concurrencyMax: 1_024,
  create: () => ({
    check: (target, signal) =>
      target.protocol === 'udp'
        ? askByDatagram(target, signal, {
            awaited: 'answer to OPTIONS',
            text: (address, port) => optionsRequest(target, address, port),
            judge: (text) => judgeStatusLine(text.split(/\r?\n/, 1)[0]),
            repeatAfterMs: REPEAT_AFTER_MS,
          })
        : converse(target, signal, (dialogue) => talk(dialogue, target)),
  }),
};

async function talk(dialogue: Dialogue, target: CheckTarget): Promise<CheckResult> {
  dialogue.write(optionsRequest(target, dialogue.localAddress, dialogue.localPort));
  for (let answers = 0; answers < PROVISIONAL_MAX; answers++) {
    const result = judgeStatusLine(await dialogue.readLine('answer to OPTIONS'));
    if (result !== null) return result;
    await skipHeaders(dialogue);
  }
  throw new CheckFailure('no final answer to OPTIONS');
}

/** `null` for a provisional answer. */
function judgeStatusLine(line: string): CheckResult | null {
  const status = /^SIP\/2\.0 (\d{3})( |$)/.exec(line)?.[1];
  if (status === undefined) return unhealthy(`answer to OPTIONS was ${excerpt(line)}`);
  if (status.startsWith('1')) return null;
  return status === '200' ? healthy(excerpt(line)) : unhealthy(`answer to OPTIONS was ${excerpt(line)}`);
}

/** Provisional answers to OPTIONS have no body. */
async function skipHeaders(dialogue: Dialogue): Promise<void> {
  for (let lines = 0; lines < HEADER_LINES_MAX; lines++) {
    if ((await dialogue.readLine('answer to OPTIONS')) === '') return;
  }
  throw new CheckFailure(`the answer to OPTIONS has more than ${HEADER_LINES_MAX} lines`);
}

function optionsRequest({ address, login, protocol = 'tcp' }: CheckTarget, own: string, ownPort: number): string {
  const user = login ?? bracketed(address);
  const unique = () => randomBytes(8).toString('hex');
  return [
    `OPTIONS sip:${user} SIP/2.0`,
    `Via: SIP/2.0/${protocol.toUpperCase()} ${bracketed(own)}:${ownPort};rport;branch=z9hG4bK${unique()}`,
    'Max-Forwards: 70',
    `To: <sip:${user}>`,
    `From: <sip:${user}>;tag=${unique()}`,
    `Call-ID: ${unique()}`,
    'CSeq: 1 OPTIONS',
    `Contact: <sip:${user}>`,
    'Accept: application/sdp',
    'Content-Length: 0',
    '',
    '',
  ].join('\r\n');
}

function bracketed(address: string): string {
  return isIPv6(address) ? `[${address}]` : address;
}

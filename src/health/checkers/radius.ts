/**
 * RADIUS: an Access-Request with login and password is accepted by somebody who proves to know the secret. Servers
 * drop in silence what they do not trust. Source: RFC 2865.
 */
import { randomBytes } from 'node:crypto';
import { type CheckerKind, type CheckResult, type CheckTarget, healthy, unhealthy } from '../checker.ts';
import { askByDatagram } from '../datagram.ts';
import { type AccessReply, decodeAccessReply, encodeAccessRequest, requestProblem } from '../protocol/radius.ts';
import { excerpt } from '../reasons.ts';

const REPEAT_AFTER_MS = 1_000;

export const radius: CheckerKind = {
  name: 'radius',
  summary: 'a RADIUS server accepts login and password',
  concurrencyMax: 1_024,
  create: () => ({ check: checkRadius }),
};

function checkRadius(target: CheckTarget, signal: AbortSignal): Promise<CheckResult> {
  const { login = '', password = '', secret = '' } = target;
  const problem = requestProblem(login, password);
  if (problem !== null) return Promise.resolve(unhealthy(problem));
  const [id] = randomBytes(1);
  const request = { id, authenticator: randomBytes(16), login, password, secret };
  let strangers = 0;
  return askByDatagram(target, signal, {
    awaited: 'answer',
    text: (ownAddress) => encodeAccessRequest({ ...request, ownAddress }).toString('latin1'),
    judge(text) {
      const result = judge(decodeAccessReply(Buffer.from(text, 'latin1'), { ...request, ownAddress: '' }));
      if (result === null) strangers += 1;
      return result;
    },
    hint: () =>
      strangers > 0
        ? `, only ${strangers} to other questions`
        : '; a server is also silent when it does not know this client, or not by this secret',
    repeatAfterMs: REPEAT_AFTER_MS,
  });
}

function judge(reply: AccessReply): CheckResult | null {
  switch (reply.kind) {
    case 'accept':
      return healthy(`Access-Accept${added(reply.text)}`);
    case 'reject':
      return unhealthy(`Access-Reject${added(reply.text)}`);
    case 'challenge':
      return unhealthy(`Access-Challenge${added(reply.text)}`);
    case 'bad':
      return unhealthy(reply.problem);
    case 'stranger':
      return null;
  }
}

function added(text: string): string {
  return text === '' ? '' : `: ${excerpt(text)}`;
}

/**
 * DNS: a question is answered with addresses that match, over UDP or TCP. A name is asked for its IPv4 addresses and,
 * when none of those matches, for its IPv6 addresses; an address for its name. Sources: RFC 1035, RFC 7766.
 */
import { randomInt } from 'node:crypto';
import { type CheckerKind, type CheckResult, type CheckTarget, healthy, unhealthy } from '../checker.ts';
import { askByDatagram } from '../datagram.ts';
import { converse, type Dialogue } from '../dialogue.ts';
import { type DnsAnswer, type DnsQuestion, decodeAnswer, encodeQuestion, questionsAbout } from '../protocol/dns.ts';
import { CheckFailure, excerpt } from '../reasons.ts';

const ID_MAX = 0x1_00_00;
/** How long an answer may take before the question is repeated. */
const REPEAT_AFTER_MS = 1_000;
/** So many values stand in the sentence that none of them matches. */
const VALUES_SAID_MAX = 4;

type Answer = DnsAnswer & { readonly kind: 'answer' };
type Ask = (question: DnsQuestion) => Promise<Answer>;

export const dns: CheckerKind = {
  name: 'dns',
  summary: 'a DNS question is answered with a matching address or name',
  concurrencyMax: 1_024,
  create: () => ({ check: checkDns }),
};

async function checkDns(target: CheckTarget, signal: AbortSignal): Promise<CheckResult> {
  const { request = '' } = target;
  const questions = questionsAbout(request);
  if (questions === null) return unhealthy(`request: ${excerpt(request)} is no name of DNS`);
  const overTcp = (limited: CheckTarget): Promise<CheckResult> =>
    converse(limited, signal, (dialogue) => judge(target, questions, (question) => askByTcp(dialogue, question)));
  if (target.protocol !== 'udp') return overTcp(target);
  const untilMs = performance.now() + target.timeoutMs;
  /** The target with what is left of its time. */
  const limited = (): CheckTarget => ({ ...target, timeoutMs: Math.max(1, Math.ceil(untilMs - performance.now())) });
  try {
    return await judge(target, questions, (question) => askByUdp(limited(), signal, question));
  } catch (error) {
    if (error instanceof Truncated) return overTcp(limited());
    if (error instanceof CheckFailure) return unhealthy(error.message);
    throw error;
  }
}

/** The answer did not fit into a datagram. */
class Truncated extends Error {}

/** Throws what `ask` throws. */
async function judge(
  { receive, request }: CheckTarget,
  questions: readonly DnsQuestion[],
  ask: Ask,
): Promise<CheckResult> {
  const pattern = receive === undefined ? null : new RegExp(receive.source, receive.flags);
  const seen: string[] = [];
  for (const question of questions) {
    const { code, values } = await ask(question);
    if (code !== 'NOERROR') return unhealthy(`answered ${code} for ${excerpt(request ?? '')}`);
    const match = values.find(
      (value) => pattern === null || pattern.test(Buffer.from(value, 'utf8').toString('latin1')),
    );
    if (match !== undefined) return healthy(excerptOf(match));
    seen.push(...values);
  }
  if (seen.length > 0) return unhealthy(`answered ${someOf(seen)}, which does not match`);
  const wanted = questions[0].type === 'PTR' ? 'a name' : 'an address';
  return unhealthy(`answered without ${wanted} for ${excerpt(request ?? '')}`);
}

async function askByUdp(target: CheckTarget, signal: AbortSignal, question: DnsQuestion): Promise<Answer> {
  const id = randomInt(ID_MAX);
  let answer: DnsAnswer | undefined;
  let strangers = 0;
  const { message } = await askByDatagram(target, signal, {
    awaited: 'answer',
    text: () => encodeQuestion(id, question).toString('latin1'),
    judge(text) {
      const decoded = decodeAnswer(Buffer.from(text, 'latin1'), id, question);
      if (decoded.kind !== 'stranger') {
        answer = decoded;
        return healthy();
      }
      strangers += 1;
      return null;
    },
    hint: () => (strangers === 0 ? '' : `, only ${strangers} with another number than the question`),
    repeatAfterMs: REPEAT_AFTER_MS,
  });
  if (answer === undefined) throw new CheckFailure(message);
  const accepted = accept(answer);
  if (accepted.isTruncated) throw new Truncated();
  return accepted;
}

async function askByTcp(dialogue: Dialogue, question: DnsQuestion): Promise<Answer> {
  const id = randomInt(ID_MAX);
  const bytes = encodeQuestion(id, question);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  dialogue.writeBytes(Buffer.concat([length, bytes]));
  const answerBytes = (await dialogue.readBytes(2, 'answer')).readUInt16BE();
  return accept(decodeAnswer(await dialogue.readBytes(answerBytes, 'answer'), id, question));
}

function accept(answer: DnsAnswer): Answer {
  if (answer.kind === 'answer') return answer;
  const problem = answer.kind === 'bad' ? answer.problem : 'with another number than the question';
  throw new CheckFailure(`answered ${problem}`);
}

function someOf(values: readonly string[]): string {
  const more = values.length - VALUES_SAID_MAX;
  return values.slice(0, VALUES_SAID_MAX).map(excerptOf).join(', ') + (more > 0 ? ` and ${more} more` : '');
}

/** `excerpt` wants one character per byte. */
function excerptOf(value: string): string {
  return excerpt(Buffer.from(value, 'utf8').toString('latin1'));
}

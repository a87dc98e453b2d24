/**
 * LDAP: the bind is accepted (with login and password, else anonymous) and exactly one entry stands at the base that
 * was asked for. Over TLS the certificate has to be in its time. Source: RFC 4511.
 */
import { type CheckerKind, type CheckResult, type CheckTarget, healthy, unhealthy } from '../checker.ts';
import { converse, type Dialogue } from '../dialogue.ts';
import { readHeader, SEQUENCE } from '../protocol/ber.ts';
import {
  baseSearchRequest,
  bindRequest,
  decodeMessage,
  type LdapMessage,
  resultText,
  unbindRequest,
} from '../protocol/ldap.ts';
import { CheckFailure, excerpt } from '../reasons.ts';

const MESSAGE_BYTES_MAX = 32 * 1_024;
const MESSAGES_MAX = 100;
const BIND = 1;
const SEARCH = 2;
const UNBIND = 3;

export const ldap: CheckerKind = {
  name: 'ldap',
  summary: 'an LDAP server accepts the bind and has the entry',
  concurrencyMax: 1_024,
  create: () => ({ check: (target, signal) => converse(target, signal, (dialogue) => talk(dialogue, target)) }),
};

async function talk(dialogue: Dialogue, target: CheckTarget): Promise<CheckResult> {
  const { login = '', password = '', request: base = '', receive } = target;
  const named = login !== '' && password !== '';
  dialogue.writeBytes(named ? bindRequest(BIND, login, password) : bindRequest(BIND, '', ''));
  const bound = await readMessage(dialogue, BIND, 'answer to the bind');
  if (bound.kind !== 'bind') throw new CheckFailure('answered the bind with something else');
  if (bound.code !== 0) throw new CheckFailure(`bind refused: ${said(bound)}`);
  dialogue.writeBytes(baseSearchRequest(SEARCH, base));
  const names = await readEntries(dialogue, base);
  dialogue.writeBytes(unbindRequest(UNBIND));
  if (names.length !== 1) return unhealthy(`found ${names.length} entries at ${quoted(base)} instead of one`);
  const [name] = names;
  const matches = receive === undefined || new RegExp(receive.source, receive.flags).test(bytewise(name));
  return matches ? healthy(excerpt(bytewise(name))) : unhealthy(`the entry is ${quoted(name)}, which does not match`);
}

async function readEntries(dialogue: Dialogue, base: string): Promise<string[]> {
  const names: string[] = [];
  for (let messages = 0; messages < MESSAGES_MAX; messages++) {
    const message = await readMessage(dialogue, SEARCH, 'answer to the search');
    if (message.kind === 'entry') names.push(message.name);
    else if (message.kind === 'done') {
      // One entry more than the two that were asked for: there are too many anyway.
      if (message.code === 0 || names.length > 1) return names;
      throw new CheckFailure(`search at ${quoted(base)} refused: ${said(message)}`);
    } else if (message.kind !== 'reference') throw new CheckFailure('answered the search with something else');
  }
  throw new CheckFailure(`the answer to the search has more than ${MESSAGES_MAX} messages`);
}

async function readMessage(dialogue: Dialogue, id: number, awaited: string): Promise<LdapMessage> {
  const body = await readBody(dialogue, awaited);
  const message = decodeMessage(body);
  if (message === null) throw new CheckFailure(`the ${awaited} is not LDAP`);
  if (message.id === 0 && message.kind === 'extended') throw new CheckFailure(`disconnects: ${said(message)}`);
  if (message.id !== id) throw new CheckFailure(`the ${awaited} has number ${message.id} instead of ${id}`);
  return message;
}

async function readBody(dialogue: Dialogue, awaited: string): Promise<Buffer> {
  const start = await dialogue.readBytes(2, awaited);
  const lengthBytes = start[1] > 0x80 ? start[1] & 0x7f : 0;
  const head = Buffer.concat([start, await dialogue.readBytes(Math.min(lengthBytes, 4), awaited)]);
  const header = readHeader(head, 0);
  if (header === null || header.tag !== SEQUENCE) throw new CheckFailure(`the ${awaited} is not LDAP`);
  if (header.length > MESSAGE_BYTES_MAX) throw new CheckFailure(`the ${awaited} claims ${header.length} bytes`);
  return dialogue.readBytes(header.length, awaited);
}

function said({ code, diagnostic }: LdapMessage & { readonly code: number; readonly diagnostic: string }): string {
  return excerpt(bytewise(resultText({ code, diagnostic })));
}

function quoted(name: string): string {
  return `"${name === '' ? '' : excerpt(bytewise(name))}"`;
}

/** One character per byte, as patterns and excerpts want it. */
function bytewise(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

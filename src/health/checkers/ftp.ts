/**
 * FTP: the login is accepted, and when a file is asked for, it comes, in binary over a passive connection, and
 * matches. The data connection goes to the address that is checked, whatever the server says; only its port counts.
 * Source: RFC 959; RFC 2428 for IPv6.
 */
import { isIPv6 } from 'node:net';
import { type CheckerKind, type CheckResult, type CheckTarget, healthy, unhealthy } from '../checker.ts';
import { converse, type Dialogue } from '../dialogue.ts';
import { CheckFailure, excerpt } from '../reasons.ts';

/** More of a file is not looked at. */
const FILE_BYTES_MAX = 8 * 1024 * 1024;
/** Before the greeting a server may ask for patience. */
const PATIENCE_MAX = 10;

export const ftp: CheckerKind = {
  name: 'ftp',
  summary: 'an FTP server accepts the login and delivers a matching file',
  concurrencyMax: 1_024,
  create: () => ({ check: (target, signal) => converse(target, signal, (dialogue) => talk(dialogue, target)) }),
};

async function talk(dialogue: Dialogue, target: CheckTarget): Promise<CheckResult> {
  const greeting = await readGreeting(dialogue);
  await logIn(dialogue, target);
  // Where it cannot be entered, a file may still be fetched by its whole path.
  await command(dialogue, 'CWD /', '2345');
  const file = target.request === undefined ? null : await fetchFile(dialogue, target, target.request);
  await dialogue.sayGoodbye('QUIT');
  if (file === null || target.receive === undefined) return healthy(excerpt(greeting));
  const { source, flags } = target.receive;
  return new RegExp(source, flags).test(file) ? healthy(excerpt(greeting)) : unhealthy('the file does not match');
}

async function readGreeting(dialogue: Dialogue): Promise<string> {
  for (let patience = 0; patience < PATIENCE_MAX; patience++) {
    const { code, line } = await dialogue.expectReply('greeting', '12');
    if (code >= 200) return line;
  }
  throw new CheckFailure('no greeting but requests for patience');
}

async function logIn(dialogue: Dialogue, { login = 'anonymous', password = 'anonymous@' }: CheckTarget): Promise<void> {
  const code = await command(dialogue, `USER ${login}`, '23');
  if (code === 331) await command(dialogue, `PASS ${password}`, '2');
  else if (code >= 300) throw new CheckFailure(`answer to USER was ${code}, which asks for more than a password`);
}

async function fetchFile(dialogue: Dialogue, { address }: CheckTarget, path: string): Promise<string> {
  await command(dialogue, 'TYPE I', '2');
  const data = await dialogue.openSecond(await passivePort(dialogue, isIPv6(address) ? 'EPSV' : 'PASV'));
  await command(dialogue, `RETR ${path}`, '1');
  const file = await data.readToEnd('end of the file', FILE_BYTES_MAX);
  data.close();
  // What comes after the part that is looked at was refused by us, not by the server.
  if (file.length < FILE_BYTES_MAX) await dialogue.expectReply('answer to RETR', '2');
  return file;
}

async function passivePort(dialogue: Dialogue, word: 'EPSV' | 'PASV'): Promise<number> {
  dialogue.send(word);
  const { line } = await dialogue.expectReply(`answer to ${word}`, '2');
  const port = word === 'EPSV' ? extendedPort(line) : classicPort(line);
  if (port === 0 || port > 65_535) throw new CheckFailure(`answer to ${word} was ${excerpt(line)}, without a port`);
  return port;
}

/** `229 Entering Extended Passive Mode (|||6446|)`: the port, or 0. */
function extendedPort(line: string): number {
  return Number(/\((.)\1\1(\d{1,5})\1\)/.exec(line)?.[2] ?? 0);
}

/** `227 Entering Passive Mode (192,0,2,1,25,46)`: the port, or 0. */
function classicPort(line: string): number {
  const [, high, low] = /\d{1,3},\d{1,3},\d{1,3},\d{1,3},(\d{1,3}),(\d{1,3})/.exec(line) ?? [];
  return high === undefined ? 0 : Number(high) * 256 + Number(low);
}

/** Sends a command; its answer's code, which begins with one of these digits. */
async function command(dialogue: Dialogue, line: string, firstDigits: string): Promise<number> {
  dialogue.send(line);
  return (await dialogue.expectReply(`answer to ${line.split(' ')[0]}`, firstDigits)).code;
}

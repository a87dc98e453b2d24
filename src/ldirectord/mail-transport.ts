/**
 * A mail on its way: to a server on port 25, or through the sendmail(8) of this host. The package `nodemailer` is
 * known to this file alone, which is loaded when the first mail is to be sent.
 */
import { spawn } from 'node:child_process';
import { hostname, userInfo } from 'node:os';
import { createTransport } from 'nodemailer';

export interface Mail {
  readonly to: readonly string[];
  /** `null`: this user at this host. */
  readonly from: string | null;
  /** Host name or address; `null`: through sendmail. */
  readonly server: string | null;
  readonly subject: string;
  readonly text: string;
}

export interface MailPlaces {
  /** Of mail servers. */
  readonly port: number;
  readonly sendmail: string;
  /** For each step of the conversation with a server. */
  readonly stepTimeoutMs: number;
}

export const MAIL_PLACES: MailPlaces = { port: 25, sendmail: '/usr/sbin/sendmail', stepTimeoutMs: 10_000 };

/** For a mail as a whole. */
const TIMEOUT_MS = 30_000;

/** Answers the recipients that were refused while others were accepted. Rejects with an Error whose message is the reason. */
export async function sendMail(mail: Mail, places: MailPlaces = MAIL_PLACES): Promise<readonly string[]> {
  return mail.server === null ? sendThroughSendmail(mail, places) : sendToServer(mail, mail.server, places);
}

function message({ to, from, subject, text }: Mail): { from: string; to: string[]; subject: string; text: string } {
  return { from: from ?? `${userInfo().username}@${hostname()}`, to: [...to], subject, text };
}

async function sendToServer(
  mail: Mail,
  server: string,
  { port, stepTimeoutMs }: MailPlaces,
): Promise<readonly string[]> {
  const transport = createTransport({
    host: server,
    port,
    secure: false,
    // Encryption where the server offers it. Relays inside a network have certificates of their own making, and a
    // mail in the clear, which is what ldirectord sends, is better than none.
    opportunisticTLS: true,
    tls: { rejectUnauthorized: false },
    connectionTimeout: stepTimeoutMs,
    greetingTimeout: stepTimeoutMs,
    socketTimeout: stepTimeoutMs,
    dnsTimeout: stepTimeoutMs,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${TIMEOUT_MS / 1_000} s`)), TIMEOUT_MS);
  });
  try {
    const { rejected } = await Promise.race([transport.sendMail(message(mail)), late]);
    return (rejected ?? []).map(String);
  } catch (error) {
    throw new Error(`mail server ${server}: ${reasonOf(error as MailError, port)}`, { cause: error });
  } finally {
    clearTimeout(timer);
    transport.close();
  }
}

interface MailError extends Error {
  readonly code?: string;
  /** What the server said. */
  readonly response?: string;
  readonly errno?: number;
}

function reasonOf({ code, message: text, response }: MailError, port: number): string {
  if (response) return `it says "${response.replace(/\s+/g, ' ').trim()}"`;
  if (/ECONNREFUSED/.test(text)) return `nobody listens on port ${port}`;
  if (/ENOTFOUND|EAI_AGAIN/.test(text) || code === 'EDNS') return 'its name is not known here';
  if (code === 'ETIMEDOUT') return `no answer in time (${text})`;
  return text;
}

async function sendThroughSendmail(mail: Mail, { sendmail }: MailPlaces): Promise<readonly string[]> {
  const composer = createTransport({ streamTransport: true, buffer: true, newline: 'unix' });
  const composed = (await composer.sendMail(message(mail))).message as Buffer;
  // A line with a dot alone is not the end.
  const words = [
    '-i',
    ...(mail.from === null ? [] : ['-f', bareAddress(mail.from)]),
    '--',
    ...mail.to.map(bareAddress),
  ];
  return new Promise((resolve, reject) => {
    const child = spawn(sendmail, words, { stdio: ['pipe', 'ignore', 'pipe'], timeout: TIMEOUT_MS });
    let complaint = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaint = (complaint + text).slice(0, 1_000);
    });
    child.once('error', (error: NodeJS.ErrnoException) => {
      const missing = `there is no ${sendmail}; install a mailer, or name a mail server with smtp=`;
      reject(new Error(error.code === 'ENOENT' ? missing : `${sendmail}: ${error.message}`));
    });
    child.once('close', (status, signal) => {
      if (status === 0) resolve([]);
      else
        reject(new Error(`${sendmail} ended with ${signal ?? status}: ${complaint.trim() || 'it does not say why'}`));
    });
    child.stdin.on('error', () => {});
    child.stdin.end(composed);
  });
}

/** `root@example.net` of `The Admin <root@example.net>`. */
function bareAddress(address: string): string {
  return /<([^<>]*)>\s*$/.exec(address)?.[1] ?? address.trim();
}

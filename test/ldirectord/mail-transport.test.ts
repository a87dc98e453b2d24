/** Mails through servers of our own that behave well and badly, through a real one, and through a sendmail. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { MAIL_PLACES, type Mail, sendMail } from '../../src/ldirectord/mail-transport.ts';
import { temporaryDirectory } from '../support/served.ts';
import { type Script, SmtpServer } from './smtp-server.ts';

const MAIL: Mail = {
  to: ['a@x.example', 'Bea <b@y.example>'],
  from: 'director@z.example',
  server: '127.0.0.1',
  subject: 'Deleted real server: 192.0.2.11:80 (192.0.2.1:80)',
  text: 'ldirectord host: d\n.\nReason: grüße\n',
};

let server: SmtpServer;
let started: ChildProcess | null = null;
afterEach(async () => {
  await server?.close().catch(() => {});
  started?.kill();
  started = null;
});

async function sendTo(script: Script, mail = MAIL): Promise<readonly string[]> {
  server = new SmtpServer(script);
  await server.listen();
  return sendMail(mail, { ...MAIL_PLACES, port: server.port });
}

describe('a mail server', () => {
  test('gets every address as a recipient of its own', async () => {
    expect(await sendTo({})).toEqual([]);
    expect(server.received).toHaveLength(1);
    const [{ from, to, data }] = server.received;
    expect({ from, to }).toEqual({ from: 'director@z.example', to: ['a@x.example', 'b@y.example'] });
    expect(data).toContain('Subject: Deleted real server: 192.0.2.11:80 (192.0.2.1:80)');
    expect(data).toMatch(/^To: a@x\.example, Bea <b@y\.example>$/m);
    expect(data).toContain('\r\n..\r\n');
    expect(data).toMatch(/gr(ü|=C3=BC)/);
  });

  test('that refuses one recipient still gets the others', async () => {
    expect(await sendTo({ 'RCPT a@x.example': '550 no such user' })).toEqual(['a@x.example']);
    expect(server.received[0].to).toEqual(['b@y.example']);
  });

  test.each([
    ['refuses at the greeting', { greeting: '554 go away' }, 'it says "554 go away"'],
    ['refuses the sender', { MAIL: '550 who are you' }, 'it says "550 who are you"'],
    ['refuses every recipient', { RCPT: '550 no such user' }, 'it says "550 no such user"'],
    ['is full', { 'data end': '452 disk full' }, 'it says "452 disk full"'],
    ['talks nonsense', { greeting: 'HTTP/1.1 400 Bad Request' }, 'HTTP/1.1 400'],
    ['hangs up', { MAIL: 'CLOSE' }, 'mail server 127.0.0.1: '],
  ])('that %s is quoted', async (_, script, words) => {
    await expect(sendTo(script)).rejects.toThrow(words);
  });

  test('that does not listen is said', async () => {
    // A port that was free a moment ago.
    const probe = createServer();
    const port = await new Promise<number>((resolve) => {
      probe.listen(0, '127.0.0.1', () => resolve((probe.address() as { port: number }).port));
    });
    await new Promise((resolve) => probe.close(resolve));
    await expect(sendMail(MAIL, { ...MAIL_PLACES, port })).rejects.toThrow(
      `mail server 127.0.0.1: nobody listens on port ${port}`,
    );
  });

  test('whose name is unknown is said', async () => {
    const mail = { ...MAIL, server: 'nosuchhost.invalid' };
    await expect(sendMail(mail)).rejects.toThrow('mail server nosuchhost.invalid: its name is not known here');
  });

  test.each(['greeting', 'EHLO', 'RCPT', 'data end'])('that says nothing to %s is given up on', async (when) => {
    server = new SmtpServer({ [when]: null });
    await server.listen();
    const places = { ...MAIL_PLACES, port: server.port, stepTimeoutMs: 200 };
    await expect(sendMail(MAIL, places)).rejects.toThrow(/no answer in time/);
  });
});

const PYTHON = '/usr/bin/python3';
const HAVE_AIOSMTPD = existsSync(PYTHON) && existsSync('/usr/lib/python3/dist-packages/aiosmtpd');

const AIOSMTPD = `
import asyncio, ssl, sys
from aiosmtpd.handlers import Debugging
from aiosmtpd.smtp import SMTP
async def main():
    loop = asyncio.get_running_loop()
    tls = None
    if len(sys.argv) > 1:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(sys.argv[1])
    # With TLS it takes no mail in the clear.
    make = lambda: SMTP(Debugging(sys.stdout), tls_context=tls, require_starttls=tls is not None)
    server = await loop.create_server(make, '127.0.0.1', 0)
    print('port', server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
`;

describe.skipIf(!HAVE_AIOSMTPD)('a real mail server (needs Debian python3-aiosmtpd)', () => {
  async function sendThrough(...certificate: string[]): Promise<string> {
    const child = spawn(PYTHON, ['-u', '-c', AIOSMTPD, ...certificate], { stdio: ['ignore', 'pipe', 'inherit'] });
    started = child;
    let said = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    const port = () => Number(/^port (\d+)$/m.exec(said)?.[1] ?? 0);
    await expect.poll(port, { timeout: 20_000 }).toBeGreaterThan(0);
    expect(await sendMail(MAIL, { ...MAIL_PLACES, port: port() })).toEqual([]);
    await expect.poll(() => said, { timeout: 10_000 }).toContain('END MESSAGE');
    return said;
  }

  test('takes the mail as it is', async () => {
    const said = await sendThrough();
    expect(said).toContain('To: a@x.example, Bea <b@y.example>');
    expect(said).toContain('Subject: Deleted real server: 192.0.2.11:80 (192.0.2.1:80)');
  });

  test.skipIf(!existsSync('/usr/bin/openssl'))(
    'gets it encrypted when it wants that, whoever signed its certificate (needs openssl)',
    async () => {
      const file = join(temporaryDirectory(), 'server.pem');
      const words = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=nobody', '-days', '2'];
      execFileSync('/usr/bin/openssl', [...words, '-keyout', file, '-out', `${file}.cert`], { stdio: 'ignore' });
      appendFileSync(file, readFileSync(`${file}.cert`));
      expect(await sendThrough(file)).toContain('Subject: Deleted real server');
    },
  );
});

describe('without a server the sendmail of this host', () => {
  const folder = temporaryDirectory();
  const through = (script: string, mail: Mail = { ...MAIL, server: null }) => {
    const sendmail = join(folder, 'sendmail');
    writeFileSync(sendmail, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    return sendMail(mail, { ...MAIL_PLACES, sendmail });
  };

  test('gets the mail and every recipient', async () => {
    await through(`printf '%s|' "$@" > ${folder}/words; cat > ${folder}/mail`);
    expect(readFileSync(join(folder, 'words'), 'utf8')).toBe('-i|-f|director@z.example|--|a@x.example|b@y.example|');
    const mail = readFileSync(join(folder, 'mail'), 'utf8');
    expect(mail).toMatch(/^From: director@z\.example\nTo: a@x\.example, Bea <b@y\.example>$/m);
    expect(mail).not.toContain('\r');
  });

  test('is asked without a sender when none is configured', async () => {
    await through(`printf '%s|' "$@" > ${folder}/words; cat > /dev/null`, { ...MAIL, server: null, from: null });
    expect(readFileSync(join(folder, 'words'), 'utf8')).toBe('-i|--|a@x.example|b@y.example|');
  });

  test('is quoted when it fails, also without reading', async () => {
    await expect(through('echo "mailbox full" >&2; exit 75')).rejects.toThrow(/sendmail ended with 75: mailbox full/);
  });

  test('may be missing, and then the way out is said', async () => {
    const places = { ...MAIL_PLACES, sendmail: join(folder, 'nothing') };
    await expect(sendMail({ ...MAIL, server: null }, places)).rejects.toThrow(
      /there is no .*nothing; install a mailer, or name a mail server with smtp=/,
    );
  });
});

/** smtp and submission before Postfix; pop, pops, imap and imaps before Dovecot. */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CHECKERS } from '../../../src/health/checkers/index.ts';
import { type Certificate, type Certificates, createCertificates } from '../certificates.ts';
import { asker } from './ask.ts';
import { accepts, describeWith, findProgram, freePort, type Place, type RunningServer, startServer } from './server.ts';

const REFUSED = { healthy: false, message: 'connection refused' };

/** Everything it writes to is below the folder. Source: postconf(5). */
const postfixConfiguration = ({ folder }: Place): string => `compatibility_level = 3.6
queue_directory = ${folder}/queue
data_directory = ${folder}/data
maillog_file = ${folder}/log
maillog_file_prefixes = ${folder}
inet_interfaces = 127.0.0.1, [::1]
myhostname = mail.uipvs.test
mydestination =
mynetworks = 127.0.0.0/8, [::1]/128
local_recipient_maps =
alias_maps =
alias_database =
smtpd_helo_required = yes
`;

/** Source: master(5). */
const postfixServices = ({ port }: Place, submissionPort: number): string => `${port} inet n - n - - smtpd
${submissionPort} inet n - n - - smtpd -o syslog_name=submission
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
`;

const MASTER = '/usr/lib/postfix/sbin/master';

describeWith('postfix', { programs: ['postfix', MASTER], root: true }, () => {
  let postfix: RunningServer;
  let submissionPort: number;
  beforeAll(async () => {
    submissionPort = await freePort();
    postfix = await startServer({
      // What `postfix start` starts; of that nothing would stay in our process group.
      program: MASTER,
      arguments: ({ folder }) => ['-d', '-c', `${folder}/configuration`],
      files: (place) => ({
        'configuration/main.cf': postfixConfiguration(place),
        'configuration/master.cf': postfixServices(place, submissionPort),
      }),
      prepare: ({ folder }) => {
        for (const name of ['queue', 'data']) mkdirSync(join(folder, name));
        execFileSync('chown', ['postfix', join(folder, 'data')]);
        execFileSync('postfix', ['-c', join(folder, 'configuration'), 'check'], { stdio: 'pipe' });
      },
    });
  });
  afterAll(() => postfix?.stop());

  test('smtp and submission pass while it runs, and then fail', async () => {
    const ask = asker(CHECKERS.smtp, () => postfix, {});
    const good = { healthy: true, message: '220 mail.uipvs.test ESMTP Postfix' };
    for (const port of [postfix.port, submissionPort]) {
      expect(await ask({ port })).toMatchObject(good);
      expect(await ask({ port, address: '::1' })).toMatchObject(good);
    }
    await postfix.stop();
    for (const port of [postfix.port, submissionPort]) expect(await ask({ port })).toEqual(REFUSED);
  });
});

interface MailboxPorts {
  readonly imaps: number;
  readonly pop: number;
  readonly pops: number;
}

/** Source: the documentation of Dovecot 2.3. */
function dovecotConfiguration({ folder, port }: Place, ports: MailboxPorts, certificate: Certificate): string {
  return `protocols = imap pop3
listen = 127.0.0.1, ::1
base_dir = ${folder}/run
state_dir = ${folder}/state
log_path = /dev/stderr
disable_plaintext_auth = no
ssl = yes
ssl_cert = <${certificate.certPath}
ssl_key = <${certificate.keyPath}
mail_location = maildir:${folder}/mail/%u
passdb {
  driver = passwd-file
  args = scheme=PLAIN ${folder}/users
}
userdb {
  driver = static
  args = uid=dovecot gid=dovecot home=${folder}/mail/%u
}
first_valid_uid = 1
auth_failure_delay = 0
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service imap-login {
  inet_listener imap {
    port = ${port}
  }
  inet_listener imaps {
    port = ${ports.imaps}
    ssl = yes
  }
}
service pop3-login {
  inet_listener pop3 {
    port = ${ports.pop}
  }
  inet_listener pop3s {
    port = ${ports.pops}
    ssl = yes
  }
}
`;
}

async function startDovecot(ports: MailboxPorts, certificate: Certificate): Promise<RunningServer> {
  return startServer({
    program: 'dovecot',
    arguments: ({ folder }) => ['-F', '-c', `${folder}/dovecot.conf`],
    files: (place) => ({
      'dovecot.conf': dovecotConfiguration(place, ports, certificate),
      users: 'uipvs:se"cr\\et\n',
    }),
    prepare: ({ folder }) => {
      for (const name of ['run', 'state', 'mail']) mkdirSync(join(folder, name));
      execFileSync('chown', ['dovecot', join(folder, 'mail')]);
    },
    isReady: async ({ port }) => (await accepts(port)) && (await accepts(ports.pops)),
  });
}

const MAILBOXES = ['/usr/lib/dovecot/imap', '/usr/lib/dovecot/pop3'];
function versionProblem(): string | null {
  const version = execFileSync(findProgram('dovecot')!, ['--version'], { encoding: 'utf8' }).trim();
  return version.startsWith('2.3.') ? null : `the configuration here is for Dovecot 2.3, this is ${version}`;
}

const DOVECOT = { programs: ['dovecot', 'openssl', ...MAILBOXES], root: true, problem: versionProblem };
describeWith('dovecot', DOVECOT, () => {
  let certificates: Certificates;
  let ports: MailboxPorts;
  let dovecot: RunningServer;
  beforeAll(async () => {
    certificates = createCertificates();
    ports = { imaps: await freePort(), pop: await freePort(), pops: await freePort() };
    dovecot = await startDovecot(ports, certificates.valid);
  });
  afterAll(async () => {
    await dovecot?.stop();
    certificates.remove();
  });

  const login = { login: 'uipvs', password: 'se"cr\\et' };
  const imap = asker(CHECKERS.imap, () => dovecot, {});
  const pop = asker(CHECKERS.pop, () => dovecot, {});
  const variants = () =>
    [
      ['imap', imap, { port: dovecot.port }],
      ['imaps', imap, { port: ports.imaps, secure: true }],
      ['pop', pop, { port: ports.pop }],
      ['pops', pop, { port: ports.pops, secure: true }],
    ] as const;

  test('imap, imaps, pop and pops pass, with and without a login, over IPv4 and IPv6', async () => {
    for (const [name, ask, target] of variants()) {
      expect(await ask(target), name).toMatchObject({ healthy: true });
      expect(await ask({ ...target, ...login }), name).toMatchObject({ healthy: true });
      expect(await ask({ ...target, ...login, address: '::1' }), name).toMatchObject({ healthy: true });
    }
  });

  test('a wrong password fails, and so does TLS where there is none', async () => {
    for (const [name, ask, target] of variants()) {
      const result = await ask({ ...target, ...login, password: 'wrong' });
      expect(result.message, name).toMatch(
        /^answer to (LOGIN was a1 NO|PASS was -ERR) \[(AUTHENTICATIONFAILED|AUTH)\]/,
      );
      expect(result.healthy, name).toBe(false);
    }
    const plain = { healthy: false, message: 'TLS: the server does not speak it' };
    expect(await imap({ port: dovecot.port, secure: true })).toEqual(plain);
    expect(await pop({ port: ports.pop, secure: true })).toEqual(plain);
  });

  test('an expired certificate fails imaps and pops alone', async () => {
    const others = { imaps: await freePort(), pop: await freePort(), pops: await freePort() };
    const stale = await startDovecot(others, certificates.expired);
    try {
      const expired = { healthy: false, message: 'TLS: certificate has expired' };
      expect(await imap({ port: others.imaps, secure: true })).toEqual(expired);
      expect(await pop({ port: others.pops, secure: true })).toEqual(expired);
      expect(await pop({ port: others.pop })).toMatchObject({ healthy: true });
    } finally {
      await stale.stop();
    }
  });

  test('all of them fail once it is stopped', async () => {
    await dovecot.stop();
    for (const [name, ask, target] of variants()) expect(await ask({ ...target, ...login }), name).toEqual(REFUSED);
  });
});

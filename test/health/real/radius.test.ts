/** The check of RADIUS before FreeRADIUS with one user. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CHECKERS } from '../../../src/health/checkers/index.ts';
import { asker, hasDatagramSocket } from './ask.ts';
import { describeWith, type RunningServer, startServer } from './server.ts';

const SECRET = 'shared secret';
/** Longer than one block of 16 bytes. */
const USER = { login: 'probe', password: 'a password of more than sixteen bytes' };
/** For what is met with silence. */
const SHORT_MS = 1_500;

describeWith('freeradius', { programs: ['freeradius'] }, () => {
  let server: RunningServer;
  beforeAll(async () => {
    server = await startServer({
      program: 'freeradius',
      arguments: ({ folder }) => ['-f', '-l', 'stdout', '-d', folder, '-n', 'c'],
      files: ({ folder, port }) => ({ 'c.conf': configuration(folder, port), users: USERS, dictionary: '' }),
      isReady: hasDatagramSocket,
    });
  });
  afterAll(() => server?.stop());

  const ask = asker(CHECKERS.radius, () => server, { ...USER, secret: SECRET });

  test('the right password is accepted', async () => {
    expect(await ask()).toEqual({ healthy: true, message: 'Access-Accept: hello' });
  });

  test('IPv6 reaches it too', async () => {
    expect(await ask({ address: '::1' })).toMatchObject({ healthy: true });
  });

  test('a wrong password and a wrong name are rejected', async () => {
    expect(await ask({ password: 'wrong' })).toEqual({ healthy: false, message: 'Access-Reject: hello' });
    expect(await ask({ login: 'nobody' })).toEqual({ healthy: false, message: 'Access-Reject' });
  });

  test('a wrong secret is met with silence, and the reason says why that may be', async () => {
    expect(await ask({ secret: 'another', timeoutMs: SHORT_MS })).toEqual({
      healthy: false,
      message:
        'no answer within 1.5 s; a server is also silent when it does not know this client, or not by this secret',
    });
  });

  test('after it was stopped its port is closed', async () => {
    await server.stop();
    expect(await ask()).toEqual({ healthy: false, message: 'connection refused' });
  });
});

const USERS = `${USER.login} Cleartext-Password := "${USER.password}"
\tReply-Message := "hello"
`;

function configuration(folder: string, port: number): string {
  const listen = (address: string) => `listen {\n    type = auth\n    ${address}\n    port = ${port}\n  }`;
  const client = (name: string, address: string) => `client ${name} {\n  ${address}\n  secret = "${SECRET}"\n}`;
  return `name = uipvs
run_dir = ${folder}
logdir = ${folder}
raddbdir = ${folder}
libdir = /usr/lib/freeradius
security {
  reject_delay = 0
}
modules {
  pap {
  }
  files {
    filename = ${folder}/users
  }
}
${client('four', 'ipaddr = 127.0.0.1')}
${client('six', 'ipv6addr = ::1')}
server default {
  ${listen('ipaddr = 127.0.0.1')}
  ${listen('ipv6addr = ::1')}
  authorize {
    files
    pap
  }
  authenticate {
    pap
  }
}
`;
}

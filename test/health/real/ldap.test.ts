/** The check of LDAP, plain and over TLS, before slapd with a directory of one person. */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CHECKERS } from '../../../src/health/checkers/index.ts';
import { type Certificates, createCertificates } from '../certificates.ts';
import { asker, receive } from './ask.ts';
import { describeWith, findProgram, freePort, type RunningServer, startServer } from './server.ts';

const ADMINISTRATOR = { login: 'cn=admin,dc=uipvs,dc=test', password: 'se"cr\\et ü' };
const ENTRY = 'cn=probe,dc=uipvs,dc=test';

describeWith('slapd', { programs: ['slapd', 'openssl', 'bash'] }, () => {
  let server: RunningServer;
  let certificates: Certificates;
  let securePort: number;
  beforeAll(async () => {
    certificates = createCertificates();
    securePort = await freePort();
    server = await startServer({
      program: 'sh',
      // A copy, because a profile of AppArmor would keep the program at its usual path from this configuration.
      arguments: ({ folder, port }) => [
        '-c',
        'cp "$0" copy && exec ./copy "$@"',
        findProgram('slapd') ?? 'slapd',
        ...['-d', '0', '-f', `${folder}/c`],
        ...['-h', `ldap://127.0.0.1:${port}/ ldap://[::1]:${port}/ ldaps://127.0.0.1:${securePort}/`],
      ],
      files: ({ folder }) => ({ c: configuration(folder, certificates), data: DATA }),
      prepare({ folder }) {
        mkdirSync(join(folder, 'db'));
        // The same program; by this name it fills the directory.
        const words = ['-c', 'cp "$0" copy && exec -a slapadd ./copy "$@"', findProgram('slapd') ?? '', '-q'];
        execFileSync('bash', [...words, '-f', `${folder}/c`, '-l', `${folder}/data`], { cwd: folder, stdio: 'pipe' });
      },
    });
  });
  afterAll(async () => {
    await server?.stop();
    certificates.remove();
  });

  const plain = asker(CHECKERS.ldap, () => server, { request: ENTRY });
  const secure = asker(CHECKERS.ldap, () => ({ port: securePort }), { request: ENTRY, secure: true });

  for (const [name, ask] of Object.entries({ ldap: plain, ldaps: secure })) {
    test(`${name}: the entry is found, anonymously and by name`, async () => {
      expect(await ask()).toEqual({ healthy: true, message: ENTRY });
      expect(await ask(ADMINISTRATOR)).toEqual({ healthy: true, message: ENTRY });
      expect(await ask({ ...ADMINISTRATOR, ...receive('^cn=probe,') })).toEqual({ healthy: true, message: ENTRY });
    });

    test(`${name}: without a base the root entry is found`, async () => {
      expect(await ask({ request: '' })).toMatchObject({ healthy: true });
    });

    test(`${name}: a wrong password is refused`, async () => {
      expect(await ask({ ...ADMINISTRATOR, password: 'wrong' })).toEqual({
        healthy: false,
        message: 'bind refused: invalid credentials (49)',
      });
    });

    test(`${name}: a wrong base and a wrong name are said`, async () => {
      expect(await ask({ request: 'cn=nobody,dc=uipvs,dc=test' })).toEqual({
        healthy: false,
        message: 'search at "cn=nobody,dc=uipvs,dc=test" refused: no such object (32)',
      });
      expect(await ask({ request: 'nonsense' })).toEqual({
        healthy: false,
        message: 'search at "nonsense" refused: invalid DN syntax (34): invalid DN',
      });
      expect(await ask(receive('^cn=other'))).toEqual({
        healthy: false,
        message: `the entry is "${ENTRY}", which does not match`,
      });
    });
  }

  test('IPv6 reaches it too', async () => {
    expect(await plain({ address: '::1' })).toEqual({ healthy: true, message: ENTRY });
  });

  test('TLS and no TLS do not understand each other', async () => {
    const mixed = await plain({ secure: true });
    expect(mixed.healthy).toBe(false);
    expect(mixed.message).toMatch(/TLS/);
  });

  test('after it was stopped its ports are closed', async () => {
    await server.stop();
    for (const ask of [plain, secure]) expect(await ask()).toEqual({ healthy: false, message: 'connection refused' });
  });
});

function configuration(folder: string, { valid }: Certificates): string {
  return `include /etc/ldap/schema/core.schema
pidfile ${folder}/pid
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCertificateFile ${valid.certPath}
TLSCertificateKeyFile ${valid.keyPath}
database mdb
maxsize 10485760
suffix "dc=uipvs,dc=test"
rootdn "${ADMINISTRATOR.login}"
rootpw "${ADMINISTRATOR.password.replace(/["\\]/g, '\\$&')}"
directory ${folder}/db
`;
}

const DATA = `dn: dc=uipvs,dc=test
objectClass: dcObject
objectClass: organization
dc: uipvs
o: test

dn: ${ENTRY}
objectClass: device
cn: probe
`;

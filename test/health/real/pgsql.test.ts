/** The check of PostgreSQL before a server that offers TLS and knows three ways to log in. */
import { execFileSync } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CHECKERS } from '../../../src/health/checkers/index.ts';
import { type Certificates, createCertificates } from '../certificates.ts';
import { asker } from './ask.ts';
import { describeWith, type RunningServer, startServer } from './server.ts';

const PASSWORD = 'se"cr\\et ü';
/** Making a cluster takes a busy machine a while. */
const START_MS = 120_000;
const VERSIONS = '/usr/lib/postgresql';
const [version = ''] = existsSync(VERSIONS) ? readdirSync(VERSIONS).sort((a, b) => Number(b) - Number(a)) : [];
const program = (name: string): string => join(VERSIONS, version, 'bin', name);
/** PostgreSQL does not run as root; its package brings a user for it. */
const isRoot = process.getuid?.() === 0;
const asUser = isRoot ? ['setpriv', '--reuid=postgres', '--regid=postgres', '--clear-groups'] : ['env'];

describeWith('postgres', { programs: [program('postgres'), program('initdb'), asUser[0], 'openssl'] }, () => {
  let server: RunningServer;
  let plain: RunningServer;
  let certificates: Certificates;
  beforeAll(async () => {
    certificates = createCertificates();
    server = await startPostgres(certificates, 'on');
    plain = await startPostgres(certificates, 'off');
  }, START_MS);
  afterAll(async () => {
    await server?.stop();
    await plain?.stop();
    certificates.remove();
  });

  const target = { login: 'probe', password: PASSWORD, database: 'shop', request: 'SELECT 1 FROM directors' };
  const ask = asker(CHECKERS.pgsql, () => server, target);

  test('a row is healthy, whatever the way to log in', async () => {
    for (const login of ['probe', 'md5user', 'clearuser', 'trusted', 'tlsuser']) {
      expect([login, await ask({ login })]).toEqual([login, { healthy: true, message: 'a row came back' }]);
    }
    expect(await ask({ login: 'trusted', password: undefined })).toMatchObject({ healthy: true });
    expect(await ask({ login: 'shop', database: undefined })).toMatchObject({ healthy: true });
  });

  test('without TLS it works too, except for who has to use it', async () => {
    const askPlain = asker(CHECKERS.pgsql, () => plain, target);
    for (const login of ['probe', 'md5user', 'clearuser', 'trusted']) {
      expect([login, await askPlain({ login })]).toEqual([login, { healthy: true, message: 'a row came back' }]);
    }
    expect((await askPlain({ login: 'tlsuser' })).message).toMatch(/^login refused: no pg_hba\.conf entry for host/);
  });

  test('of an answer without end the first row is enough', async () => {
    const request = "SELECT repeat('x', 100000), generate_series(1, 1000000000)";
    expect(await ask({ request })).toEqual({ healthy: true, message: 'a row came back' });
  });

  test('IPv6 reaches it too', async () => {
    expect(await ask({ address: '::1' })).toMatchObject({ healthy: true });
  });

  test('no row is not healthy', async () => {
    for (const request of [
      'SELECT 1 FROM directors WHERE false',
      'SET work_mem = 1024',
      ';',
      'COPY directors TO STDOUT',
    ]) {
      const result = await ask({ request });
      expect([request, result.healthy]).toEqual([request, false]);
      expect(result.message).toMatch(/^no row came back/);
    }
  });

  test('wrong password, name, database, table and statement are said', async () => {
    const reasons = [];
    for (const changes of [
      { password: 'wrong' },
      { login: 'md5user', password: 'wrong' },
      { login: 'nobody' },
      { database: 'nowhere' },
      { request: 'SELECT * FROM nothing' },
      { request: 'HELLO' },
      { password: undefined },
    ]) {
      reasons.push((await ask(changes)).message);
    }
    expect(reasons).toEqual([
      'login refused: password authentication failed for user "probe" (28P01)',
      'login refused: password authentication failed for user "md5user" (28P01)',
      'login refused: password authentication failed for user "nobody" (28P01)',
      'login refused: database "nowhere" does not exist (3D000)',
      'statement refused: relation "nothing" does not exist (42P01)',
      'statement refused: syntax error at or near "HELLO" (42601)',
      'the server asks for a password, and none is configured',
    ]);
  });

  test('a statement that takes too long is given up', async () => {
    expect(await ask({ request: 'SELECT pg_sleep(3)', timeoutMs: 1_000 })).toEqual({
      healthy: false,
      message: 'no answer to the statement within 1 s',
    });
  });

  test('after it was stopped its port is closed', async () => {
    await server.stop();
    expect(await ask()).toEqual({ healthy: false, message: 'connection refused' });
  });
});

function startPostgres({ valid }: Certificates, ssl: 'on' | 'off'): Promise<RunningServer> {
  return startServer({
    program: asUser[0],
    arguments: ({ folder, port }) => [
      ...asUser.slice(1),
      program('postgres'),
      ...['-D', `${folder}/data`, '-p', String(port), '-h', '127.0.0.1,::1', '-k', `${folder}/data`, '-F'],
      ...['-c', `ssl=${ssl}`, '-c', 'shared_buffers=8MB', '-c', `hba_file=${folder}/hba`],
      ...['-c', 'ssl_cert_file=server.crt', '-c', 'ssl_key_file=server.key'],
    ],
    files: () => ({ hba: RULES }),
    prepare({ folder }) {
      const data = join(folder, 'data');
      mkdirSync(data, { mode: 0o700 });
      if (isRoot) {
        const id = (option: string): number => Number(execFileSync('id', [option, 'postgres']));
        chownSync(data, id('-u'), id('-g'));
      }
      const [command, ...words] = asUser;
      const run = (name: string, options: string[], input = '', ...database: string[]): void => {
        execFileSync(command, [...words, program(name), ...options, '-D', data, ...database], {
          cwd: data,
          input,
          stdio: 'pipe',
        });
      };
      run('initdb', ['-A', 'trust', '-U', 'postgres', '-N', '--locale=C', '-E', 'UTF8']);
      run('postgres', ['--single', '-F', '-j'], SETUP, 'postgres');
      run('postgres', ['--single', '-F', '-j'], TABLE, 'shop');
      // Its owner alone may read the key.
      const keep = (name: string, input: string): void => {
        execFileSync(command, [...words, 'sh', '-c', 'umask 077; cat > "$0"', join(data, name)], { cwd: data, input });
      };
      keep('server.crt', valid.cert);
      keep('server.key', valid.key);
    },
  });
}

const RULES = `hostssl all tlsuser all scram-sha-256
host all probe,nobody all scram-sha-256
host all md5user all md5
host all clearuser all password
host all trusted,shop all trust
`;

const ROLES = ['probe', 'clearuser', 'trusted', 'shop', 'tlsuser'];
const role = (name: string): string => `CREATE ROLE ${name} LOGIN SUPERUSER PASSWORD '${PASSWORD}'`;
/** Statements of the single-user mode end with an empty line. */
const SETUP = [...ROLES.map(role), "SET password_encryption = 'md5'", role('md5user'), 'CREATE DATABASE shop']
  .map((statement) => `${statement};\n\n`)
  .join('');
const TABLE = "CREATE TABLE directors (name text);\n\nINSERT INTO directors VALUES ('one'), ('two');\n\n";

/** The check of MySQL before MariaDB: one that takes plain connections, and one that insists on TLS. */
import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CHECKERS } from '../../../src/health/checkers/index.ts';
import { type Certificates, createCertificates } from '../certificates.ts';
import { asker } from './ask.ts';
import { describeWith, findProgram, type RunningServer, startServer } from './server.ts';

const USER = { login: 'probe', password: 'se"cr\\et ü', database: 'shop' };
/** Making a database takes a busy machine a while. */
const START_MS = 120_000;

describeWith('mariadbd', { programs: ['mariadbd', 'mariadb-install-db', 'my_print_defaults', 'openssl'] }, () => {
  let plain: RunningServer;
  let strict: RunningServer;
  let certificates: Certificates;
  beforeAll(async () => {
    certificates = createCertificates();
    const { certPath, keyPath } = certificates.valid;
    plain = await startMariadb([]);
    strict = await startMariadb([`--ssl-cert=${certPath}`, `--ssl-key=${keyPath}`, '--require-secure-transport=ON']);
  }, START_MS);
  afterAll(async () => {
    await plain?.stop();
    await strict?.stop();
    certificates.remove();
  });

  const ask = asker(CHECKERS.mysql, () => plain, { ...USER, request: 'SELECT * FROM directors WHERE enabled' });

  test('a row is healthy', async () => {
    expect(await ask()).toEqual({ healthy: true, message: 'a row came back' });
    expect(await ask({ database: undefined, request: 'SELECT 1' })).toMatchObject({ healthy: true });
    expect(await ask({ request: 'SHOW STATUS' })).toMatchObject({ healthy: true });
    expect(await ask({ login: 'open', password: undefined })).toMatchObject({ healthy: true });
  });

  test('of an answer without end the first row is enough', async () => {
    const request = 'SELECT seq, repeat("x", 100000) FROM seq_1_to_100000000';
    expect(await ask({ request })).toEqual({ healthy: true, message: 'a row came back' });
  });

  test('IPv6 reaches it too', async () => {
    expect(await ask({ address: '::1' })).toMatchObject({ healthy: true });
  });

  test('no row is not healthy', async () => {
    expect(await ask({ request: 'SELECT * FROM directors WHERE NOT enabled' })).toEqual({
      healthy: false,
      message: 'no row came back',
    });
    expect(await ask({ request: 'SET @a = 1' })).toEqual({
      healthy: false,
      message: 'no row came back: the statement is not one that answers with rows',
    });
  });

  test('wrong password, database, table and statement are said', async () => {
    const reasons = await Promise.all(
      [{ password: 'wrong' }, { database: 'nowhere' }, { request: 'SELECT * FROM nothing' }, { request: 'HELLO' }].map(
        async (changes) => (await ask(changes)).message,
      ),
    );
    expect(reasons).toEqual([
      expect.stringMatching(/^login refused: Access denied for user 'probe'@'.+' \(using password: YES\) \(1045\)$/),
      expect.stringMatching(/^login refused: Access denied for user .+ to database 'nowhere' \(1044\)$/),
      "statement refused: Table 'shop.nothing' doesn't exist (1146)",
      expect.stringMatching(/^statement refused: You have an error in your SQL syntax/),
    ]);
  });

  test('a statement that takes too long is given up', async () => {
    expect(await ask({ request: 'SELECT SLEEP(3)', timeoutMs: 1_000 })).toEqual({
      healthy: false,
      message: 'no answer to the statement within 1 s',
    });
  });

  test('where the server insists on TLS it gets it', async () => {
    const askStrict = asker(CHECKERS.mysql, () => strict, { ...USER, request: 'SELECT 1' });
    expect(await askStrict()).toEqual({ healthy: true, message: 'a row came back' });
    expect((await askStrict({ password: 'wrong' })).message).toMatch(/^login refused: Access denied/);
  });

  test('after it was stopped its port is closed', async () => {
    await plain.stop();
    expect(await ask()).toEqual({ healthy: false, message: 'connection refused' });
  });
});

function startMariadb(options: readonly string[]): Promise<RunningServer> {
  const asRoot = process.getuid?.() === 0 ? ['--user=root'] : [];
  return startServer({
    program: 'mariadbd',
    arguments: ({ folder, port }) => [
      '--no-defaults',
      ...asRoot,
      `--datadir=${folder}/data`,
      `--socket=${folder}/socket`,
      `--pid-file=${folder}/pid`,
      `--port=${port}`,
      '--bind-address=127.0.0.1,::1',
      '--innodb-buffer-pool-size=8M',
      '--innodb-fast-shutdown=2',
      `--init-file=${folder}/init.sql`,
      ...options,
    ],
    files: () => ({ 'init.sql': SETUP }),
    prepare({ folder }) {
      const words = ['--no-defaults', ...asRoot, `--datadir=${folder}/data`, '--skip-test-db'];
      const normal = '--auth-root-authentication-method=normal';
      execFileSync(findProgram('mariadb-install-db') ?? '', [...words, normal], { stdio: 'pipe' });
    },
  });
}

const SETUP = `CREATE DATABASE shop;
CREATE TABLE shop.directors (name VARCHAR(20), enabled BOOLEAN);
INSERT INTO shop.directors VALUES ('one', TRUE), ('two', TRUE);
CREATE USER probe IDENTIFIED BY '${USER.password.replace(/[\\']/g, '\\$&')}';
CREATE USER open;
GRANT SELECT ON shop.* TO probe, open;
`;

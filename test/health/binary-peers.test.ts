/** The checks in counted bytes over TCP, before a good server and all the bad ones. */
import { generateKeyPairSync, privateDecrypt } from 'node:crypto';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import type { CheckResult, CheckTarget } from '../../src/health/checker.ts';
import { CHECKERS } from '../../src/health/checkers/index.ts';
import { berElement, berInteger, berText, ENUMERATED, SEQUENCE } from '../../src/health/protocol/ber.ts';
import { packet } from '../../src/health/protocol/mysql.ts';
import { describeBadPeers, LATE, type Subject } from './bad-peers.ts';
import { bytesOf, LDAP, MYSQL, POSTGRES } from './protocol-recordings.ts';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const NONE = Buffer.alloc(0);

/** The answer of a DNS server to a question over TCP: with its address, changed by `change`. */
function dnsAnswer(heard: Buffer, change: (answer: Buffer) => void = () => {}): Buffer {
  if (heard.length < 14) return NONE;
  const question = heard.subarray(14);
  const header = Buffer.concat([heard.subarray(2, 4), hex('8180 0001 0001 0000 0000')]);
  const answer = Buffer.concat([header, question, hex('c00c 0001 0001 0000003c 0004 c0000207')]);
  change(answer);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(answer.length);
  return Buffer.concat([length, answer]);
}

describeBadPeers({
  name: 'dns over tcp',
  kind: CHECKERS.dns,
  target: () => ({ request: 'www.uipvs.test', protocol: 'tcp' }),
  good: () => ({ answer: (heard) => dnsAnswer(heard) }),
  decisiveBytes: 2 + 12 + 20 + 16,
  wrong: [
    [hex('0000'), /^answered something that is not DNS$/],
    [hex('0003 123456'), /^answered something that is not DNS$/],
    [
      function anotherNumber(heard) {
        return dnsAnswer(heard, (answer) => {
          answer[0] ^= 1;
        });
      },
      /^answered with another number than the question$/,
    ],
    [
      function theQuestion(heard) {
        return heard;
      },
      /^answered with a question$/,
    ],
    [
      function aFailure(heard) {
        return dnsAnswer(heard, (answer) => {
          answer[3] = 0x82;
        });
      },
      /^answered SERVFAIL for www\.uipvs\.test$/,
    ],
    [
      function anotherName(heard) {
        return dnsAnswer(heard, (answer) => answer.write('x', 13));
      },
      /^answered another question$/,
    ],
    [
      function aPointerToItself(heard) {
        return dnsAnswer(heard, (answer) => answer.writeUInt16BE(0xc020, 32));
      },
      /^answered something that is not DNS: .+$/,
    ],
    [
      function moreRecordsThanThereAre(heard) {
        return dnsAnswer(heard, (answer) => answer.writeUInt16BE(0xffff, 6));
      },
      /^answered something that is not DNS: .+$/,
    ],
  ],
  expected: {
    'talks noise': LATE,
    'talks noise without end': { reason: /^answered .+$/ },
  },
});

const LDAP_BOUND = bytesOf(LDAP[1]);
const LDAP_FOUND = bytesOf(LDAP[3]);
const ENTRY = LDAP_FOUND.subarray(0, LDAP_FOUND.length - LDAP_BOUND.length);
const DONE = LDAP_FOUND.subarray(ENTRY.length);
const ldapResult = (id: number, tag: number, code: number, text: string): Buffer =>
  berElement(SEQUENCE, berInteger(id), berElement(tag, berInteger(code, ENUMERATED), berText(''), berText(text)));
const NOT_LDAP = { reason: /^the answer to the (bind|search) is not LDAP$/ };
const ldap: Subject = {
  name: 'ldap',
  kind: CHECKERS.ldap,
  target: () => ({ login: 'cn=admin', password: 'secret', request: 'cn=probe,dc=uipvs,dc=test' }),
  good: () => ({
    // The search is the message with number 2.
    answer: (heard) => (heard.length === 0 || heard[4] === 1 ? LDAP_BOUND : LDAP_FOUND),
  }),
  decisiveBytes: LDAP_BOUND.length + LDAP_FOUND.length,
  wrong: [
    [ldapResult(1, 0x61, 49, ''), /^bind refused: invalid credentials \(49\)$/],
    [ldapResult(1, 0x61, 53, 'not now'), /^bind refused: unwilling to perform \(53\): not now$/],
    [ldapResult(1, 0x61, 4711, '\n'), /^bind refused: result 4711:$/],
    [ldapResult(2, 0x61, 0, ''), /^the answer to the bind has number 2 instead of 1$/],
    [ldapResult(0, 0x78, 52, 'going down'), /^disconnects: unavailable \(52\): going down$/],
    [ldapResult(1, 0x65, 0, ''), /^answered the bind with something else$/],
    [Buffer.concat([LDAP_BOUND, DONE]), /^found 0 entries at "cn=probe,dc=uipvs,dc=test" instead of one$/],
    [Buffer.concat([LDAP_BOUND, ENTRY, ENTRY, DONE]), /^found 2 entries at .+ instead of one$/],
    [Buffer.concat([LDAP_BOUND, ldapResult(2, 0x65, 32, '')]), /^search at ".+" refused: no such object \(32\)$/],
    [
      Buffer.concat([LDAP_BOUND, ...Array<Buffer>(200).fill(ENTRY)]),
      /^the answer to the search has more than \d+ mess/,
    ],
    [hex('30 84 7fffffff'), /^the answer to the bind claims 2147483647 bytes$/],
    [hex('30 84 ffffffff'), /^the answer to the bind claims 4294967295 bytes$/],
    [hex('30 80 0201 01'), NOT_LDAP.reason],
    [hex('30 00'), NOT_LDAP.reason],
    [hex('30 03 0201 01'), NOT_LDAP.reason],
    ['HTTP/1.1 400 Bad Request\r\n\r\n', NOT_LDAP.reason],
  ],
  endless: LDAP_BOUND,
  expected: {
    'talks noise': NOT_LDAP,
    'talks noise without end': NOT_LDAP,
    'repeats itself without end': { reason: /^the answer to the search has number 1 instead of 2$/ },
  },
};
describeBadPeers(ldap);
describeBadPeers({
  ...ldap,
  name: 'ldaps',
  secure: true,
  expired: 'unhealthy',
  target: (port) => ({ ...ldap.target(port), secure: true }),
});

const [MYSQL_GREETING, , MYSQL_OK, , MYSQL_ROWS] = MYSQL.map(bytesOf);
const isQuery = (heard: Buffer): boolean => heard[4] === 3;
const afterLogin = (...payloads: Buffer[]): Buffer =>
  Buffer.concat([MYSQL_GREETING, ...payloads.map((payload, index) => packet(2 + index, payload))]);
const afterQuery = (...payloads: Buffer[]): Buffer =>
  Buffer.concat([MYSQL_GREETING, MYSQL_OK, ...payloads.map((payload, index) => packet(1 + index, payload))]);
const mysqlError = (code: number, text: string): Buffer =>
  Buffer.concat([Buffer.of(0xff, code & 0xff, code >> 8), Buffer.from(text)]);
const COLUMN = MYSQL_ROWS.subarray(9, 9 + 23);
const END = hex('fe 0000 0200');
const WRONG_NUMBER = { reason: /^the .+ has number \d+ instead of \d+$/ };
const SQL: Partial<CheckTarget> = { login: 'probe', password: 'x', database: 'shop', request: 'SELECT 1' };
describeBadPeers({
  name: 'mysql',
  kind: CHECKERS.mysql,
  target: () => SQL,
  good: () => ({ greeting: MYSQL_GREETING, answer: (heard) => (isQuery(heard) ? MYSQL_ROWS : MYSQL_OK) }),
  // Up to the first byte of the first row.
  decisiveBytes: MYSQL_GREETING.length + MYSQL_OK.length + 5 + 27 + 9 + 5,
  wrong: [
    [packet(0, mysqlError(1129, "Host '10.0.0.1' is blocked")), /^refuses: Host '10\.0\.0\.1' is blocked \(1129\)$/],
    [packet(0, hex('09 352e30 00')), /^the greeting is not that of MySQL$/],
    [packet(0, MYSQL_GREETING.subarray(4, 40)), /^the greeting is not that of MySQL$/],
    [hex('ffffff 00'), /^the greeting claims 16777215 bytes$/],
    [hex('000000 00'), /^the greeting claims 0 bytes$/],
    [afterLogin(mysqlError(1045, '#28000Access denied')), /^login refused: Access denied \(1045\)$/],
    [afterLogin(hex('ff')), /^login refused: an error without a number$/],
    [afterLogin(hex('fe')), /^the server wants a login older than MySQL 4\.1$/],
    [afterLogin(Buffer.from('\xfeclient_ed25519\0nonce\0', 'latin1')), /^the server wants client_ed25519 to log this /],
    [afterLogin(Buffer.from('\xfemysql_clear_password\0', 'latin1')), /^the server wants mysql_clear_password to log /],
    [afterLogin(hex('01 04')), /^the answer to the login is not that of MySQL$/],
    [
      afterLogin(
        ...Array.from({ length: 9 }, (_, index) =>
          packet(2 + 2 * index, Buffer.from('\xfemysql_native_password\0x\0', 'latin1')).subarray(4),
        ),
      ),
      WRONG_NUMBER.reason,
    ],
    [afterLogin(Buffer.from('\xfecaching_sha2_password\0nonce\0', 'latin1'), hex('00')), WRONG_NUMBER.reason],
    [afterQuery(mysqlError(1064, '#42000You have an error')), /^statement refused: You have an error \(1064\)$/],
    [afterQuery(hex('00 00 00 0200 0000')), /^no row came back: the statement is not one that answers with rows$/],
    [afterQuery(Buffer.from('\xfb/etc/passwd', 'latin1')), /^no row came back: the statement asks for a file$/],
    [afterQuery(hex('fe ffffffffffffffff')), /^the answer to the statement is not that of MySQL$/],
    [afterQuery(hex('fc ffff')), /^the answer to the statement is not that of MySQL$/],
    [afterQuery(hex('01'), COLUMN, END, END), /^no row came back$/],
    [
      afterQuery(hex('01'), COLUMN, END, mysqlError(1317, '#70100interrupted')),
      /^statement refused: interrupted \(1317\)$/,
    ],
    [Buffer.concat([afterQuery(hex('01')), hex('ffffff 02')]), /^the columns of the answer claim 16777215 bytes$/],
  ],
  endless: MYSQL_GREETING,
  expected: {
    'talks noise': WRONG_NUMBER,
    'talks noise without end': WRONG_NUMBER,
    'repeats itself without end': WRONG_NUMBER,
  },
});

const [, PG_NO_TLS, , , , , , , , PG_ROWS] = POSTGRES.map(bytesOf);
const PG_IN = hex('52 00000008 00000000 4b 0000000c 00001b90 aca1f3be 5a 00000005 49');
const pgMessage = (type: string, body: Buffer | string): Buffer => {
  const length = Buffer.alloc(4);
  length.writeInt32BE(4 + Buffer.byteLength(body));
  return Buffer.concat([Buffer.from(type), length, Buffer.from(body)]);
};
const pgError = (text: string): Buffer => pgMessage('E', `SFATAL\0C28P01\0M${text}\0\0`);
const untilLogin = (...messages: Buffer[]): Buffer => Buffer.concat([PG_NO_TLS, ...messages]);
const NOT_POSTGRES = { reason: /^the server does not speak as PostgreSQL does$/ };
describeBadPeers({
  name: 'pgsql',
  kind: CHECKERS.pgsql,
  target: () => SQL,
  good: () => ({
    answer(heard) {
      if (heard.length <= 8) return PG_NO_TLS;
      return heard[0] === 0x51 ? PG_ROWS : PG_IN;
    },
  }),
  // Up to the header of the first row.
  decisiveBytes: PG_NO_TLS.length + PG_IN.length + 34 + 5,
  wrong: [
    ['HTTP/1.1 400 Bad Request\r\n\r\n', NOT_POSTGRES.reason],
    [
      untilLogin(pgError('password authentication failed')),
      /^login refused: password authentication failed \(28P01\)$/,
    ],
    [untilLogin(pgMessage('E', '')), /^login refused: an error without a text$/],
    [untilLogin(hex('45 7fffffff')), /^the answer to the login claims 2147483643 bytes$/],
    [untilLogin(hex('53 7fffffff')), /^the answer to the login claims 2147483643 bytes$/],
    [untilLogin(hex('52 00000003')), NOT_POSTGRES.reason],
    [untilLogin(hex('52 ffffffff')), NOT_POSTGRES.reason],
    [untilLogin(pgMessage('R', '')), NOT_POSTGRES.reason],
    [untilLogin(pgMessage('R', hex('00000005'))), NOT_POSTGRES.reason],
    [untilLogin(pgMessage('R', hex('00000007'))), /^the server wants GSSAPI to log this user in/],
    [untilLogin(pgMessage('R', hex('00000063'))), /^the server wants method 99 to log this user in/],
    [untilLogin(pgMessage('R', hex('0000000b'))), NOT_POSTGRES.reason],
    [
      untilLogin(pgMessage('R', Buffer.from('\0\0\0\x0aSCRAM-SHA-1\0\0'))),
      /^the server wants one of SCRAM-SHA-1, which/,
    ],
    [
      untilLogin(
        pgMessage('R', Buffer.from('\0\0\0\x0aSCRAM-SHA-256\0\0')),
        pgMessage('R', Buffer.from('\0\0\0\x0br=stolen,s=AAAA,i=1')),
      ),
      /^the SCRAM nonce of the server is not ours$/,
    ],
    [untilLogin(pgMessage('R', Buffer.from('\0\0\0\x0aSCRAM-SHA-256\0\0')), PG_IN), NOT_POSTGRES.reason],
    [untilLogin(PG_IN, pgError('syntax error')), /^statement refused: syntax error \(28P01\)$/],
    [untilLogin(PG_IN, pgMessage('C', 'SELECT 0\0'), hex('5a 00000005 49')), /^no row came back$/],
    [untilLogin(PG_IN, pgMessage('H', '')), /^no row came back: the statement copies a file$/],
    [untilLogin(PG_IN, pgMessage('?', '')), NOT_POSTGRES.reason],
    [
      untilLogin(...Array<Buffer>(1_001).fill(pgMessage('N', ''))),
      /^more than 1000 messages before the answer to the /,
    ],
    [untilLogin(PG_IN, ...Array<Buffer>(1_001).fill(pgMessage('N', ''))), /^more than 1000 messages before a row$/],
  ],
  endless: PG_NO_TLS,
  expected: {
    'talks noise': NOT_POSTGRES,
    'talks noise without end': NOT_POSTGRES,
    'repeats itself without end': { reason: /^the answer to the login claims \d+ bytes$/ },
  },
});

/** One check before a server that does one thing after the other with its connections. */
async function checkBefore(
  kind: 'mysql' | 'pgsql',
  target: Partial<CheckTarget>,
  ...behaviours: ((socket: Socket) => void)[]
): Promise<CheckResult> {
  let connections = 0;
  const server = createServer((socket) => {
    socket.on('error', () => {});
    behaviours[Math.min(connections++, behaviours.length - 1)](socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const checker = CHECKERS[kind].create();
  const full = { address: '127.0.0.1', port, timeoutMs: 15_000, ...SQL, ...target };
  const result = await checker.check(full, new AbortController().signal);
  expect(connections).toBe(behaviours.length);
  await new Promise((resolve) => server.close(resolve));
  return result;
}

describe('a server whose TLS nobody speaks any more is asked without it', () => {
  test('mysql', async () => {
    const offering = Buffer.from(MYSQL_GREETING);
    const capabilitiesAt = MYSQL_GREETING.indexOf(hex('fef7'));
    offering.writeUInt16LE(offering.readUInt16LE(capabilitiesAt) | 0x800, capabilitiesAt);
    const result = await checkBefore(
      'mysql',
      {},
      (socket) => {
        socket.write(offering);
        socket.once('data', () => socket.end('no TLS here'));
      },
      (socket) => {
        socket.write(offering);
        socket.on('data', (heard) => socket.write(isQuery(heard) ? MYSQL_ROWS : MYSQL_OK));
      },
    );
    expect(result).toEqual({ healthy: true, message: 'a row came back' });
  });

  test('pgsql', async () => {
    const result = await checkBefore(
      'pgsql',
      {},
      (socket) => {
        socket.once('data', () => {
          socket.write('S');
          socket.once('data', () => socket.end('no TLS here'));
        });
      },
      (socket) => socket.on('data', (heard) => socket.write(heard[0] === 0x51 ? PG_ROWS : PG_IN)),
    );
    expect(result).toEqual({ healthy: true, message: 'a row came back' });
  });
});

describe('caching_sha2_password of MySQL', () => {
  const method = 'caching_sha2_password';
  const greeting = packet(
    0,
    Buffer.concat([MYSQL_GREETING.subarray(4, MYSQL_GREETING.indexOf('mysql_native')), Buffer.from(`${method}\0`)]),
  );
  const nonce = hex('604829315b56213e556e4a684b21604267623625');

  test('a password that the server remembers is accepted at once', async () => {
    const result = await checkBefore('mysql', {}, (socket) => {
      socket.write(greeting);
      socket.on('data', (heard) =>
        socket.write(isQuery(heard) ? MYSQL_ROWS : Buffer.concat([packet(2, hex('01 03')), packet(3, hex('00'))])),
      );
    });
    expect(result).toEqual({ healthy: true, message: 'a row came back' });
  });

  test('another one is sent hidden by the key of the server', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const pem = publicKey.export({ type: 'spki', format: 'pem' });
    const passwords: string[] = [];
    const result = await checkBefore('mysql', { password: 'geheim' }, (socket) => {
      socket.write(greeting);
      socket.on('data', (heard) => {
        if (isQuery(heard)) socket.write(MYSQL_ROWS);
        else if (heard[3] === 1) socket.write(packet(2, hex('01 04')));
        else if (heard[3] === 3) socket.write(packet(4, Buffer.concat([hex('01'), Buffer.from(pem)])));
        else if (heard[3] === 5) {
          const clear = privateDecrypt(privateKey, heard.subarray(4)).map((byte, index) => byte ^ nonce[index % 20]);
          passwords.push(Buffer.from(clear).toString());
          socket.write(packet(6, hex('00')));
        }
      });
    });
    expect(result).toEqual({ healthy: true, message: 'a row came back' });
    expect(passwords).toEqual(['geheim\0']);
  });

  test('without a key it is not sent', async () => {
    const result = await checkBefore('mysql', {}, (socket) => {
      socket.write(greeting);
      socket.on('data', (heard) => socket.write(heard[3] === 1 ? packet(2, hex('01 04')) : packet(4, hex('01 00'))));
    });
    expect(result.message).toBe('the server sent no public key to hide the password with');
  });
});

test.each(['mysql', 'pgsql'] as const)('%s asks nobody without a login or a statement', async (kind) => {
  const checker = CHECKERS[kind].create();
  const target = { address: '127.0.0.1', port: 9, timeoutMs: 1_000 };
  const { signal } = new AbortController();
  expect(await checker.check({ ...target, request: 'SELECT 1' }, signal)).toEqual({
    healthy: false,
    message: 'no login is configured',
  });
  expect(await checker.check({ ...target, login: 'x' }, signal)).toEqual({
    healthy: false,
    message: 'no statement is configured',
  });
});

/** The bytes of each protocol: recorded ones, those of the standards, and any others. */
import { createHash, createHmac, generateKeyPairSync, privateDecrypt } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as ber from '../../src/health/protocol/ber.ts';
import * as dns from '../../src/health/protocol/dns.ts';
import * as ldap from '../../src/health/protocol/ldap.ts';
import * as mysql from '../../src/health/protocol/mysql.ts';
import * as login from '../../src/health/protocol/mysql-login.ts';
import * as postgres from '../../src/health/protocol/postgres.ts';
import * as radius from '../../src/health/protocol/radius.ts';
import * as scram from '../../src/health/protocol/scram.ts';
import { bytesOf, LDAP, MYSQL, PASSWORD, POSTGRES } from './protocol-recordings.ts';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const RUNS = { numRuns: 500 };

/** Any bytes, and bytes that were good until some of them were changed, left out or doubled. */
function mutated(...good: readonly Buffer[]): fc.Arbitrary<Buffer> {
  const change = fc.record({ at: fc.nat(), byte: fc.nat(255), what: fc.constantFrom('set', 'cut', 'double') });
  const changed = fc.tuple(fc.constantFrom(...good), fc.array(change, { maxLength: 6 })).map(([from, changes]) => {
    let bytes = Buffer.from(from);
    for (const { at, byte, what } of changes) {
      const place = bytes.length === 0 ? 0 : at % bytes.length;
      if (what === 'cut') bytes = bytes.subarray(0, place);
      else if (what === 'double') bytes = Buffer.concat([bytes, bytes.subarray(place)]);
      else if (bytes.length > 0) bytes[place] = byte;
    }
    return bytes;
  });
  const any = fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes));
  return fc.oneof(any, changed);
}

describe('dns', () => {
  const question = { name: 'www.uipvs.test', type: 'A' } as const;
  const asked = hex('1234 0100 0001 0000 0000 0000 03777777 057569707673 0474657374 00 0001 0001');
  // The same question; the answer points back to its name.
  const tail = '0001 0000 0000 03777777 057569707673 0474657374 00 0001 0001 c00c 0001 0001 0000003c 0004 c0000207';
  const answered = hex(`1234 8580 0001 ${tail}`);

  test('a question has the bytes of RFC 1035', () => {
    expect(dns.encodeQuestion(0x1234, question)).toEqual(asked);
  });

  test('an answer with its address is read', () => {
    const answer = { kind: 'answer', code: 'NOERROR', isTruncated: false, values: ['192.0.2.7'] };
    expect(dns.decodeAnswer(answered, 0x1234, question)).toEqual(answer);
    const cut = Buffer.from(answered);
    cut[2] |= 0x02;
    expect(dns.decodeAnswer(cut, 0x1234, question)).toMatchObject({ isTruncated: true });
  });

  test('who answers something else is told apart', () => {
    expect(dns.decodeAnswer(answered, 0x1235, question)).toEqual({ kind: 'stranger' });
    expect(dns.decodeAnswer(asked, 0x1234, question)).toEqual({ kind: 'bad', problem: 'with a question' });
    expect(dns.decodeAnswer(answered, 0x1234, { ...question, name: 'other.test' })).toMatchObject({ kind: 'bad' });
    expect(dns.decodeAnswer(answered, 0x1234, { ...question, type: 'AAAA' })).toMatchObject({ kind: 'bad' });
    const refused = hex('1234 8005 0000 0000 0000 0000');
    expect(dns.decodeAnswer(refused, 0x1234, question)).toMatchObject({ kind: 'answer', code: 'REFUSED' });
  });

  test('names are asked for both families, addresses backwards', () => {
    expect(dns.questionsAbout('www.uipvs.test.')?.map(({ type }) => type)).toEqual(['A', 'AAAA']);
    expect(dns.questionsAbout('bücher.test')?.[0].name).toBe('xn--bcher-kva.test');
    expect(dns.questionsAbout('192.0.2.7')).toEqual([{ name: '7.2.0.192.in-addr.arpa', type: 'PTR' }]);
    const nibbles = '7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa';
    expect(dns.questionsAbout('[2001:db8::7]')).toEqual([{ name: nibbles, type: 'PTR' }]);
    expect(dns.questionsAbout('::ffff:192.0.2.7')?.[0].name).toMatch(/^7\.0\.2\.0\.0\.0\.0\.c\.f\.f\.f\.f\.0\./);
    for (const wrong of ['', 'a..b', `${'x'.repeat(64)}.test`, 'x.'.repeat(130)]) {
      expect([wrong, dns.questionsAbout(wrong)]).toEqual([wrong, null]);
    }
  });

  test('no bytes are an accident', () => {
    fc.assert(
      fc.property(mutated(answered, asked), (bytes) => {
        const withId = Buffer.concat([hex('1234'), bytes.subarray(2)]);
        expect(['answer', 'bad']).toContain(dns.decodeAnswer(withId, 0x1234, question).kind);
      }),
      RUNS,
    );
  });

  test('a name that is asked about is one that comes back', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 80, unit: 'binary' }), (text) => {
        for (const { name, type } of dns.questionsAbout(text) ?? []) {
          const bytes = dns.encodeQuestion(7, { name, type });
          bytes[2] |= 0x80;
          expect(dns.decodeAnswer(bytes, 7, { name, type })).toMatchObject({ kind: 'answer', code: 'NOERROR' });
        }
      }),
      { numRuns: 100 },
    );
  });
});

describe('ldap', () => {
  const body = (index: number): Buffer => ber.readElements(bytesOf(LDAP[index]))?.[0].value ?? Buffer.alloc(0);

  test('the recorded conversation is said again', () => {
    expect(ldap.bindRequest(1, 'cn=admin,dc=uipvs,dc=test', PASSWORD)).toEqual(bytesOf(LDAP[0]));
    expect(ldap.baseSearchRequest(2, 'cn=probe,dc=uipvs,dc=test')).toEqual(bytesOf(LDAP[2]));
    expect(ldap.unbindRequest(3)).toEqual(bytesOf(LDAP[4]));
  });

  test('the recorded answers are understood', () => {
    expect(ldap.decodeMessage(body(1))).toEqual({ kind: 'bind', id: 1, code: 0, diagnostic: '' });
    const [entry, done] = ber.readElements(bytesOf(LDAP[3])) ?? [];
    expect(ldap.decodeMessage(entry.value)).toEqual({ kind: 'entry', id: 2, name: 'cn=probe,dc=uipvs,dc=test' });
    expect(ldap.decodeMessage(done.value)).toEqual({ kind: 'done', id: 2, code: 0, diagnostic: '' });
  });

  test('numbers and lengths are written as they are read', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(70_000), (number, length) => {
        const bytes = Buffer.concat([ber.berInteger(number), ber.berElement(ber.SEQUENCE, Buffer.alloc(length))]);
        const [first, second] = ber.readElements(bytes) ?? [];
        expect(ber.readInteger(first)).toBe(number);
        expect(second.value.length).toBe(length);
      }),
      { numRuns: 100 },
    );
  });

  test('no bytes are an accident', () => {
    fc.assert(
      fc.property(mutated(bytesOf(LDAP[1]), bytesOf(LDAP[3]), body(1), body(3)), (bytes) => {
        for (const { value } of ber.readElements(bytes) ?? []) {
          expect(value.length).toBeLessThan(bytes.length);
          ldap.decodeMessage(value);
        }
        ldap.decodeMessage(bytes);
        const header = ber.readHeader(bytes, 0);
        expect(header === null || header.length >= 0).toBe(true);
      }),
      RUNS,
    );
  });
});

describe('radius', () => {
  /** RFC 2865, section 7.1. */
  const request: radius.AccessRequest = {
    id: 0,
    authenticator: hex('0f403f9473978057bd83d5cb98f4227a'),
    login: 'nemo',
    password: 'arctangent',
    secret: 'xyzzy5461',
    ownAddress: '192.168.1.16',
  };
  const accepted = hex('02000026 86fe220e7624ba2a1005f6bf9b55e0b2 0606 00000001 0f06 00000000 0e06 c0a80103');

  test('the password is hidden as in RFC 2865, and the packet has a Message-Authenticator', () => {
    const packet = radius.encodeAccessRequest(request);
    expect(packet.readUInt16BE(2)).toBe(packet.length);
    expect(packet.includes(hex('01066e656d6f 0212 0dbe708d93d413ce3196e43f782a0aee 0406 c0a80110'))).toBe(true);
    expect(packet.subarray(20, 22)).toEqual(hex('5012'));
    const zeroed = Buffer.from(packet).fill(0, 22, 38);
    expect(packet.subarray(22, 38)).toEqual(createHmac('md5', request.secret).update(zeroed).digest());
  });

  test('the answer of RFC 2865 is accepted, and by nobody else', () => {
    expect(radius.decodeAccessReply(accepted, request)).toEqual({ kind: 'accept', text: '' });
    const wrong = {
      kind: 'bad',
      problem: 'the response authenticator is wrong: is the secret the same on both sides?',
    };
    expect(radius.decodeAccessReply(accepted, { ...request, secret: 'other' })).toEqual(wrong);
    expect(radius.decodeAccessReply(accepted, { ...request, id: 1 })).toEqual({ kind: 'stranger' });
  });

  test('a long password is hidden block by block', () => {
    const password = 'of more than sixteen bytes';
    const packet = radius.encodeAccessRequest({ ...request, password });
    const at = packet.indexOf(hex('0222'));
    const hidden = packet.subarray(at + 2, at + 34);
    let before = request.authenticator;
    let clear = '';
    for (const block of [hidden.subarray(0, 16), hidden.subarray(16)]) {
      const pad = createHash('md5').update(request.secret).update(before).digest();
      clear += Buffer.from(block.map((byte, index) => byte ^ pad[index])).toString();
      before = block;
    }
    expect(clear.replace(/\0+$/, '')).toBe(password);
  });

  test('a wrong Message-Authenticator is found although the packet is authentic', () => {
    const packet = hex(`03 00 0026 ${'00'.repeat(16)} 5012 ${'11'.repeat(16)}`);
    radius.responseAuthenticator(packet, request.authenticator, request.secret).copy(packet, 4);
    expect(radius.decodeAccessReply(packet, request)).toEqual({
      kind: 'bad',
      problem: 'the Message-Authenticator of the answer is wrong',
    });
    const asHashed = Buffer.from(packet).fill(0, 22, 38);
    request.authenticator.copy(asHashed, 4);
    radius.messageAuthenticator(asHashed, request.secret).copy(packet, 22);
    radius.responseAuthenticator(packet, request.authenticator, request.secret).copy(packet, 4);
    expect(radius.decodeAccessReply(packet, request)).toEqual({ kind: 'reject', text: '' });
  });

  test('no bytes are an accident, and none but the good ones are accepted', () => {
    fc.assert(
      fc.property(mutated(accepted), (bytes) => {
        const reply = radius.decodeAccessReply(bytes, request);
        // Behind the length anything may stand.
        const isGood = bytes.subarray(0, accepted.length).equals(accepted);
        expect(reply.kind === 'accept').toBe(isGood);
      }),
      RUNS,
    );
  });
});

describe('mysql', () => {
  const greetingBytes = bytesOf(MYSQL[0]).subarray(4);
  const greeting = mysql.decodeGreeting(greetingBytes);

  test('the recorded greeting is understood', () => {
    expect(greeting).toEqual({
      version: '5.5.5-10.11.19-MariaDB-0+deb12u1',
      nonce: hex('604829315b56213e556e4a684b21604267623625'),
      method: 'mysql_native_password',
      offersTls: false,
    });
  });

  test('the recorded login and statement are said again', () => {
    if (greeting === null) throw new Error('no greeting');
    const { method, nonce } = greeting;
    const proof = login.passwordProof(method, PASSWORD, nonce, false) ?? Buffer.alloc(0);
    const words = { login: 'probe', database: 'shop', method, proof };
    expect(mysql.packet(1, mysql.encodeLogin(words, false))).toEqual(bytesOf(MYSQL[1]));
    expect(mysql.packet(0, mysql.encodeQuery('SELECT 1'))).toEqual(bytesOf(MYSQL[3]));
    expect(mysql.packet(0, mysql.encodeQuit())).toEqual(bytesOf(MYSQL[5]));
  });

  test('a server that knows the digest of the digest accepts the proof of caching_sha2_password', () => {
    const sha256 = (...parts: Uint8Array[]) => createHash('sha256').update(Buffer.concat(parts)).digest();
    const kept = sha256(sha256(Buffer.from(PASSWORD)));
    const nonce = Buffer.alloc(20, 7);
    const proof = login.passwordProof(login.CACHING_SHA2, PASSWORD, nonce, false) ?? Buffer.alloc(0);
    const pad = sha256(kept, nonce);
    expect(sha256(proof.map((byte, index) => byte ^ pad[index]))).toEqual(kept);
  });

  test('the owner of the key reads the password that was hidden with it', () => {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const nonce = Buffer.from('01234567890123456789');
    const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
    const hidden = login.encryptedPassword(PASSWORD, nonce, pem) ?? Buffer.alloc(0);
    const clear = privateDecrypt(privateKey, hidden).map((byte, index) => byte ^ nonce[index % nonce.length]);
    expect(Buffer.from(clear).toString()).toBe(`${PASSWORD}\0`);
    expect(login.encryptedPassword(PASSWORD, nonce, 'no key')).toBeNull();
  });

  test('the clear password goes over TLS alone, an empty one proves itself by nothing', () => {
    expect(login.passwordProof(login.CLEAR_PASSWORD, 'x', Buffer.alloc(0), false)).toBeNull();
    expect(login.passwordProof(login.CLEAR_PASSWORD, 'x', Buffer.alloc(0), true)).toEqual(Buffer.from('x\0'));
    expect(login.passwordProof('mysql_native_password', '', Buffer.alloc(20), false)).toHaveLength(0);
    expect(login.passwordProof('client_ed25519', 'x', Buffer.alloc(20), true)).toBeNull();
  });

  test('no bytes are an accident', () => {
    const error = Buffer.concat([hex('ff 1504'), Buffer.from('#28000Access denied')]);
    expect(mysql.decodeError(error)).toBe('Access denied (1045)');
    const methodSwitch = Buffer.from('\xfecaching_sha2_password\x0001234567890123456789\0', 'latin1');
    fc.assert(
      fc.property(mutated(greetingBytes, error, methodSwitch, hex('fc0001')), (bytes) => {
        const read = mysql.decodeGreeting(bytes);
        expect(read === null || read.nonce.length === 20).toBe(true);
        expect(mysql.decodeError(bytes)).toMatch(/./);
        mysql.decodeMethodSwitch(bytes);
        const columns = mysql.decodeColumnCount(bytes) ?? 0;
        expect(columns >= 0 && columns <= 0xffff).toBe(true);
        login.encryptedPassword('x', bytes, bytes.toString('latin1'));
      }),
      RUNS,
    );
  });
});

describe('postgres', () => {
  const said = (index: number): Buffer => bytesOf(POSTGRES[index]);
  /** The messages in what a server said at once. */
  const messages = (bytes: Buffer): [string, Buffer][] => {
    const found: [string, Buffer][] = [];
    for (let at = 0; at < bytes.length; ) {
      const header = postgres.readMessageHeader(bytes.subarray(at, at + 5));
      if (header === null) throw new Error('no message');
      found.push([header.type, bytes.subarray(at + 5, at + 5 + header.bytes)]);
      at += 5 + header.bytes;
    }
    return found;
  };
  const NONCE = 'JAEL6UL5LrAnmohT3TkosjI9';

  test('the recorded conversation is said again, with the same proof', async () => {
    expect(postgres.encodeTlsRequest()).toEqual(said(0));
    expect(postgres.encodeStartup('probe', 'shop')).toEqual(said(2));
    expect(postgres.encodeSaslStart(scram.SCRAM_SHA_256, scram.scramFirst(NONCE))).toEqual(said(4));
    const challenge = postgres.decodeDemand(messages(said(5))[0][1]);
    if (challenge?.kind !== 'sasl-continue') throw new Error('no challenge');
    const proof = await scram.proveScram(NONCE, PASSWORD, challenge.text);
    if (typeof proof === 'string') throw new Error(proof);
    expect(postgres.encodeSaslAnswer(proof.text)).toEqual(said(6));
    const final = postgres.decodeDemand(messages(said(7))[0][1]);
    if (final?.kind !== 'sasl-final') throw new Error('no end');
    expect(proof.isConfirmedBy(final.text)).toBe(true);
    expect(proof.isConfirmedBy(final.text.replace('I', 'J'))).toBe(false);
    expect(proof.isConfirmedBy('e=other-error')).toBe(false);
    expect(postgres.encodeQuery('SELECT 1 FROM directors')).toEqual(said(8));
    expect(postgres.encodeTerminate()).toEqual(said(10));
  });

  test('the recorded answers are told apart', () => {
    expect(postgres.decodeDemand(messages(said(3))[0][1])).toEqual({ kind: 'sasl', mechanisms: ['SCRAM-SHA-256'] });
    expect(messages(said(7)).map(([type]) => type)).toEqual(['R', 'R', 'S', 'K', 'Z']);
    expect(messages(said(9)).map(([type]) => type)).toEqual(['T', 'D', 'D', 'C', 'Z']);
  });

  test('the digest of a password is that of the documentation', () => {
    const inner = createHash('md5').update('secretprobe').digest('hex');
    const outer = createHash('md5')
      .update(Buffer.concat([Buffer.from(inner), hex('01020304')]))
      .digest('hex');
    expect(postgres.encodeMd5Password('probe', 'secret', hex('01020304')).toString()).toContain(`md5${outer}\0`);
  });

  test('a challenge that is none is refused with its reason', async () => {
    const challenge = (text: string) => scram.proveScram('abc', 'x', text);
    expect(await challenge('r=xyz,s=AAAA,i=1')).toMatch(/nonce of the server is not ours/);
    expect(await challenge('r=abc,s=AAAA,i=1')).toMatch(/nonce of the server is not ours/);
    expect(await challenge('r=abcd,s=AAAA,i=999999999999')).toMatch(/asks for 999999999999 rounds/);
    expect(await challenge('r=abcd,s=AAAA,i=0')).toMatch(/asks for 0 rounds/);
    expect(await challenge('hello')).toMatch(/cannot be understood/);
  });

  test('no bytes are an accident', async () => {
    const bodies = [...messages(said(3)), ...messages(said(5)), ...messages(said(7))].map(([, body]) => body);
    const error = Buffer.from('SFATAL\0C28P01\0Mno\0\0');
    expect(postgres.decodeError(error)).toBe('no (28P01)');
    await fc.assert(
      fc.asyncProperty(mutated(...bodies, error), async (bytes) => {
        const demand = postgres.decodeDemand(bytes);
        expect(postgres.decodeError(bytes)).toMatch(/./s);
        const header = bytes.length >= 5 ? postgres.readMessageHeader(bytes) : null;
        expect(header === null || header.bytes >= 0).toBe(true);
        const text = demand !== null && 'text' in demand ? demand.text.replace(/i=\d+/, 'i=2') : '';
        const proof = await scram.proveScram(NONCE, 'x', text);
        if (typeof proof !== 'string') expect(proof.isConfirmedBy(text)).toBe(false);
      }),
      RUNS,
    );
  });
});

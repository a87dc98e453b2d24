import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EngineData } from '../../../src/balance/persistence-engines/engine.ts';
import { findPersistenceEngine } from '../../../src/balance/persistence-engines/index.ts';
import { sip } from '../../../src/balance/persistence-engines/sip.ts';
import { fromHex, readVectorFile } from '../../support/vectors.ts';

const into = new EngineData();

function callId(payload: Uint8Array, at = 0, end = payload.length): string | null {
  if (!sip.find(payload, at, end, into)) return null;
  return Buffer.from(payload).toString('latin1', into.at, into.at + into.byteCount);
}

const callIdIn = (text: string) => callId(Buffer.from(text, 'latin1'));

test('the registry knows sip and nothing that objects are born with', () => {
  expect(findPersistenceEngine('sip')).toBe(sip);
  expect(findPersistenceEngine('toString')).toBeNull();
});

test('recorded packets: those without a Call-ID were dropped, the others made a template with theirs', () => {
  interface Recorded {
    readonly packet: string;
    readonly forwarded: boolean;
    readonly templateDataOfClient: readonly string[];
  }
  const { packets } = readVectorFile<{ packets: Recorded[] }>(import.meta.url, 'recorded-sip.json');
  expect(packets).toHaveLength(8);
  for (const { packet, forwarded, templateDataOfClient } of packets) {
    const found = callId(fromHex(packet), 28);
    expect(found !== null).toBe(forwarded);
    if (found !== null) expect(templateDataOfClient).toContain(found);
  }
});

describe('the header is found', () => {
  const request = (header: string) => `OPTIONS sip:x SIP/2.0\r\n${header}\r\nCSeq: 1\r\n\r\n`;
  for (const [header, found] of [
    ['Call-ID: abc@192.0.2.1', 'abc@192.0.2.1'],
    ['CALL-id:abc', 'abc'],
    ['Call-ID  :  abc', 'abc'],
    ['i: abc', 'abc'],
    ['I:abc@h', 'abc@h'],
    ['Call-ID\r\n :abc', 'abc'],
    ['Call-ID:\r\n\t abc', 'abc'],
    [`Call-ID: Aa0!"%'()*+-./:<>?[\\]_\`{}~`, `Aa0!"%'()*+-./:<>?[\\]_\`{}~`],
    [`Call-ID: ${'x'.repeat(255)}`, 'x'.repeat(255)],
    ['Via: x\r\n Call-ID: folded\r\nCall-ID: real', 'real'],
    // A malformed value is passed over.
    ['Call-ID: @x\r\nCall-ID: second', 'second'],
    ['Call-ID: abc@\r\ni: third', 'third'],
    ['info: x\r\ni: fourth', 'fourth'],
  ] as const) {
    test(JSON.stringify(header), () => expect(callIdIn(request(header))).toBe(found));
  }

  test('whatever ends the lines', () => {
    expect(callIdIn('OPTIONS sip:x SIP/2.0\nCall-ID: abc\nCSeq: 1\n\n')).toBe('abc');
    expect(callIdIn('OPTIONS sip:x SIP/2.0\rCall-ID: abc\rCSeq: 1\r\r')).toBe('abc');
  });
});

describe('a packet is refused', () => {
  for (const [why, text] of [
    ['without the header', 'OPTIONS sip:x SIP/2.0\r\nCSeq: 1\r\n\r\n'],
    ['when the header is in the first line', 'Call-ID: abc\r\n'],
    ['when the value ends the datagram', 'x\r\nCall-ID: abc'],
    ['when the value is followed by something else', 'x\r\nCall-ID: abc def\r\n'],
    ['when the value has two at signs', 'x\r\nCall-ID: a@b@c\r\n'],
    ['when the value is empty', 'x\r\nCall-ID: \r\n\r\n'],
    ['when the value is longer than 255 bytes', `x\r\nCall-ID: ${'x'.repeat(256)}\r\n`],
    ['when the colon is missing', 'x\r\nCall-ID abc\r\n'],
    ['when it is empty', ''],
    ['when it ends in the name', 'x\r\nCall-I'],
    ['when it ends with the colon', 'x\r\nCall-ID:'],
    ['when a fold ends it', 'x\r\nCall-ID:\r\n '],
  ] as const) {
    test(why, () => expect(callIdIn(text)).toBeNull());
  }
});

test('a line end behind the datagram does not end the value', () => {
  const bytes = Buffer.from('x\r\nCall-ID: abc\r\n');
  expect(callId(bytes, 0, bytes.length)).toBe('abc');
  expect(callId(bytes, 0, bytes.length - 2)).toBeNull();
});

describe('hostile payloads', () => {
  const pieces = fc.constantFrom(
    '\r',
    '\n',
    '\r\n',
    ' ',
    '\t',
    ':',
    '@',
    'i',
    'I',
    'Call-ID',
    'call-id',
    'abc',
    'x',
    '\xe9',
  );
  const payload = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.array(pieces, { maxLength: 40 }).map((parts) => Uint8Array.from(Buffer.from(parts.join(''), 'latin1'))),
  );

  test('are never read outside, and what is found lies inside', () => {
    fc.assert(
      fc.property(payload, fc.nat(20), fc.nat(20), (bytes, start, cut) => {
        const at = Math.min(start, bytes.length);
        const end = Math.max(at, bytes.length - cut);
        const found = callId(bytes, at, end);
        if (found !== null) {
          expect(found).toMatch(/^[^\s@]+(@[^\s@]+)?$/);
          expect(into.at).toBeGreaterThan(at);
          expect(into.at + into.byteCount).toBeLessThan(end);
        }
        const other = bytes.map((byte, i) => (i >= at && i < end ? byte : ~byte));
        expect(callId(other, at, end)).toBe(found);
      }),
      { numRuns: 2000 },
    );
  });
});

import { isIPv4, isIPv6 } from 'node:net';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  formatAddress,
  formatIpv4,
  formatIpv6,
  formatMac,
  formatWords,
  parseAddress,
  parseIpv4,
  parseIpv6,
  parseMac,
  parsePrefix,
  prefixMaskWord,
  prefixMatches,
} from '../../src/wire/address.ts';

const word = fc.oneof(fc.constant(0), fc.constant(0xffff), fc.integer());
const words = fc.tuple(word, word, word, word);

/** The four words of an IPv6 address in hexadecimal, or `null`. */
function ipv6Words(text: string): string | null {
  const into = new Int32Array(4);
  if (!parseIpv6(text, into, 0)) return null;
  return Array.from(into, (it) => (it >>> 0).toString(16).padStart(8, '0')).join(' ');
}

describe('IPv4', () => {
  test('a dotted quad is a signed word', () => {
    expect(parseIpv4('192.0.2.1')).toBe(0xc0000201 | 0);
    expect(parseIpv4('0.0.0.0')).toBe(0);
    expect(parseIpv4('255.255.255.255')).toBe(-1);
    expect(formatIpv4(-1)).toBe('255.255.255.255');
  });

  test.each([
    '',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.256',
    '01.2.3.4',
    '1.2.3.4 ',
    ' 1.2.3.4',
    '1.2.3.',
    '1.2.3.-4',
    '0x1.2.3.4',
    '1e1.2.3.4',
  ])('refuses %j', (text) => {
    expect(parseIpv4(text)).toBeNull();
  });

  test('text and words go round', () => {
    fc.assert(fc.property(fc.integer(), (value) => parseIpv4(formatIpv4(value)) === value));
    fc.assert(fc.property(fc.ipV4(), (text) => formatIpv4(parseIpv4(text) as number) === text));
  });
});

describe('IPv6', () => {
  test.each([
    ['::', '00000000 00000000 00000000 00000000'],
    ['::1', '00000000 00000000 00000000 00000001'],
    ['1::', '00010000 00000000 00000000 00000000'],
    ['2001:DB8::1', '20010db8 00000000 00000000 00000001'],
    ['1:2:3:4:5:6:7:8', '00010002 00030004 00050006 00070008'],
    ['1:2:3:4:5:6:7::', '00010002 00030004 00050006 00070000'],
    ['::2:3:4:5:6:7:8', '00000002 00030004 00050006 00070008'],
    ['::ffff:192.0.2.1', '00000000 00000000 0000ffff c0000201'],
    ['1:2:3:4:5:6:192.0.2.1', '00010002 00030004 00050006 c0000201'],
    ['64:ff9b::192.0.2.1', '0064ff9b 00000000 00000000 c0000201'],
  ])('%s is read', (text, expected) => {
    expect(ipv6Words(text)).toBe(expected);
  });

  test.each([
    '',
    ':',
    ':::',
    '1',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7:8::',
    '::1:2:3:4:5:6:7:8',
    '12345::',
    'g::',
    ':1::',
    '1::2:',
    'fe80::1%eth0',
    '::1.2.3',
    '::1.2.3.256',
    '1.2.3.4::',
    '::1.2.3.4:5',
    '1:2:3:4:5:6:7:1.2.3.4',
    '192.0.2.1',
    '::1 ',
  ])('refuses %j and leaves the words alone', (text) => {
    const into = Int32Array.of(9, 9, 9, 9, 9);
    expect(parseIpv6(text, into, 1)).toBe(false);
    expect([...into]).toEqual([9, 9, 9, 9, 9]);
  });

  // RFC 5952, section 4 and 5.
  test.each([
    ['2001:0db8::0001', '2001:db8::1'],
    ['2001:db8:0:0:0:0:2:1', '2001:db8::2:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:DB8::AAAA', '2001:db8::aaaa'],
    ['0:0:0:0:0:ffff:c000:201', '::ffff:192.0.2.1'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['1:0:0:0:0:0:0:0', '1::'],
    ['::102:304', '::102:304'],
  ])('%s is written %s', (text, expected) => {
    const address = parseAddress(text);
    expect(address).not.toBeNull();
    expect(formatAddress('ipv6', address!.words)).toBe(expected);
  });

  test('words and text go round', () => {
    fc.assert(
      fc.property(words, (value) => {
        const text = formatIpv6(...value);
        const into = new Int32Array(4);
        expect(isIPv6(text), text).toBe(true);
        expect(parseIpv6(text, into, 0), text).toBe(true);
        expect([...into]).toEqual(value);
      }),
    );
  });

  test('reads whatever Node reads, and writes it the way URLs do', () => {
    fc.assert(
      fc.property(fc.ipV6(), (text) => {
        const address = parseAddress(text);
        expect(address, text).not.toBeNull();
        const written = formatAddress('ipv6', address!.words);
        // URLs write IPv4-mapped addresses in hexadecimal.
        if (!written.includes('.')) expect(new URL(`http://[${text}]/`).hostname).toBe(`[${written}]`);
      }),
    );
  });

  test('refuses and reads the same texts as Node', () => {
    const piece = fc.constantFrom(':', '::', '0', '1', 'ffff', '12345', 'G', '.', '1.2.3.4', '%', '-');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 17 }), (pieces) => {
        const text = pieces.join('');
        const valid = (isIPv6(text) && !text.includes('%')) || isIPv4(text);
        expect(parseAddress(text) !== null, text).toBe(valid);
      }),
      { numRuns: 2000 },
    );
  });
});

test('an IPv4 address sits in the last word, with the family beside it', () => {
  const address = parseAddress('10.0.0.1');
  expect(address?.family).toBe('ipv4');
  expect([...address!.words]).toEqual([0, 0, 0, 0x0a000001]);
  expect(formatWords(false, 0, 0, 0, 0x0a000001)).toBe('10.0.0.1');
  expect(formatWords(true, 0, 0, 0, 0x0a000001)).toBe('::a00:1');
  expect(parseAddress('example.org')).toBeNull();
});

describe('prefixes', () => {
  test('match the addresses of their network and no others', () => {
    const ten = parsePrefix('10.0.0.0/8')!;
    expect(prefixMatches(ten, false, 0, 0, 0, parseIpv4('10.255.0.1')!)).toBe(true);
    expect(prefixMatches(ten, false, 0, 0, 0, parseIpv4('11.0.0.1')!)).toBe(false);
    expect(prefixMatches(ten, true, 0, 0, 0, parseIpv4('10.255.0.1')!)).toBe(false);
    const documentation = parsePrefix('2001:db8::/33')!;
    const at = (text: string) => [...parseAddress(text)!.words] as [number, number, number, number];
    expect(prefixMatches(documentation, true, ...at('2001:db8:7fff::1'))).toBe(true);
    expect(prefixMatches(documentation, true, ...at('2001:db8:8000::1'))).toBe(false);
  });

  test('of length 0 match everything of their family', () => {
    fc.assert(
      fc.property(words, (value) => {
        expect(prefixMatches(parsePrefix('::/0')!, true, ...value)).toBe(true);
        expect(prefixMatches(parsePrefix('0.0.0.0/0')!, false, 0, 0, 0, value[3])).toBe(true);
      }),
    );
  });

  test('lose the bits behind their length', () => {
    expect(formatAddress('ipv4', parsePrefix('10.1.2.3/16')!.words)).toBe('10.1.0.0');
    expect(formatAddress('ipv6', parsePrefix('2001:db8:1:2:3::/48')!.words)).toBe('2001:db8:1::');
    expect(parsePrefix('10.1.2.3/32')).toMatchObject({ family: 'ipv4', length: 32 });
  });

  test('compare exactly the first bits', () => {
    fc.assert(
      fc.property(words, fc.integer({ min: 0, max: 127 }), (value, bit) => {
        const flipped = [...value] as [number, number, number, number];
        flipped[bit >> 5] = (flipped[bit >> 5] as number) ^ (1 << (31 - (bit & 31)));
        for (const length of [bit, bit + 1]) {
          const prefix = parsePrefix(`${formatIpv6(...value)}/${length}`)!;
          expect(prefixMatches(prefix, true, ...value)).toBe(true);
          expect(prefixMatches(prefix, true, ...flipped)).toBe(length <= bit);
        }
      }),
    );
  });

  test.each(['10.0.0.0', '10.0.0.0/', '10.0.0.0/33', '::/129', '10.0.0.0/08', '10.0.0.0/-1', 'x/8', '/8'])(
    'refuse %j',
    (text) => {
      expect(parsePrefix(text)).toBeNull();
    },
  );

  test('make masks of any length', () => {
    expect(formatIpv4(prefixMaskWord(false, 24, 3))).toBe('255.255.255.0');
    expect(prefixMaskWord(false, 24, 0)).toBe(0);
    expect([0, 1, 2, 3].map((index) => prefixMaskWord(true, 65, index))).toEqual([-1, -1, -(2 ** 31), 0]);
  });
});

describe('MAC addresses', () => {
  test('text and bytes go round', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), fc.nat(9), (bytes, at) => {
        const padded = new Uint8Array(at + 6);
        padded.set(bytes, at);
        expect(parseMac(formatMac(padded, at))).toEqual(bytes);
      }),
    );
    expect(formatMac(parseMac('02:AB:00:00:00:0f')!, 0)).toBe('02:ab:00:00:00:0f');
  });

  test.each(['', '02:00:00:00:00', '02:00:00:00:00:01:02', '2:0:0:0:0:1', '02-00-00-00-00-01', '02:00:00:00:00:0g'])(
    'refuse %j',
    (text) => {
      expect(parseMac(text)).toBeNull();
    },
  );
});

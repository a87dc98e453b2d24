/** Bytes of netlink as libnl and the kernel write them, and bytes as nobody should. */
import { describe, expect, test } from 'vitest';
import {
  attribute,
  joinAttributes,
  NetlinkFormatError,
  nestedAttribute,
  networkUint16Attribute,
  readAttributes,
  readErrno,
  readMessages,
  readNetworkUint16,
  readText,
  readUint,
  requireAttribute,
  textAttribute,
  uint8Attribute,
  uint16Attribute,
  uint32Attribute,
  writeMessage,
} from '../../src/wire/netlink.ts';
import { Random } from '../support/random.ts';

const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
const hex = (value: Uint8Array) => Buffer.from(value).toString('hex');

describe('written', () => {
  test('a request for the family IPVS is the one that every program sends', () => {
    const payload = joinAttributes([Uint8Array.of(3, 1, 0, 0), textAttribute(2, 'IPVS')]);
    const message = writeMessage({ type: 0x10, flags: 5, sequence: 7, payload });
    expect(hex(message)).toBe(hex(bytes('20000000 1000 0500 07000000 00000000 03010000 0900 0200 4950565300 000000')));
  });

  test('numbers are in the order of the machine, ports in that of the network', () => {
    expect(hex(uint8Attribute(1, 200))).toBe('05000100c8000000');
    expect(hex(uint16Attribute(2, 0x1234))).toBe('0600020034120000');
    expect(hex(networkUint16Attribute(2, 0x1234))).toBe('0600020012340000');
    expect(hex(uint32Attribute(3, 0x12345678))).toBe('0800030078563412');
    expect(hex(uint32Attribute(3, -1))).toBe('08000300ffffffff');
  });

  test('an attribute that holds others says so, and is read without that', () => {
    const outer = nestedAttribute(1, [uint16Attribute(2, 6)]);
    expect(hex(outer)).toBe('0c00018006000200' + '06000000');
    expect([...readAttributes(outer).keys()]).toEqual([1]);
  });

  test('an attribute has at most 65531 bytes', () => {
    expect(attribute(1, new Uint8Array(65_531)).length).toBe(65_536);
    expect(() => attribute(1, new Uint8Array(65_532))).toThrow(RangeError);
  });
});

describe('read', () => {
  test('numbers by their length', () => {
    expect(readUint(Uint8Array.of(255))).toBe(255);
    expect(readUint(bytes('3412'))).toBe(0x1234);
    expect(readUint(bytes('ffffffff'))).toBe(0xffff_ffff);
    expect(readUint(bytes('0000000001000000'))).toBe(0x1_0000_0000);
    expect(readNetworkUint16(bytes('0050'))).toBe(80);
    expect(() => readUint(new Uint8Array(3))).toThrow(NetlinkFormatError);
    expect(() => readNetworkUint16(new Uint8Array(4))).toThrow(NetlinkFormatError);
  });

  test('text ends at its zero byte, or without one at its end', () => {
    expect(readText(bytes('777272 00 ff'))).toBe('wrr');
    expect(readText(bytes('777272'))).toBe('wrr');
    expect(readText(new Uint8Array(0))).toBe('');
  });

  test('of two attributes with one type the last counts', () => {
    const twice = joinAttributes([uint8Attribute(1, 1), uint8Attribute(1, 2)]);
    expect(readAttributes(twice).get(1)).toEqual(Uint8Array.of(2));
  });

  test('the last attribute may leave its filling out', () => {
    expect(readAttributes(bytes('05000100c8')).get(1)).toEqual(Uint8Array.of(200));
  });

  test('an error message says what failed, or that nothing did', () => {
    expect(readErrno(bytes('00000000'))).toBe(0);
    expect(readErrno(bytes('feffffff'))).toBe(2);
    expect(() => readErrno(bytes('02000000'))).toThrow(/error number 2/);
    expect(() => readErrno(bytes('0000'))).toThrow(NetlinkFormatError);
  });

  test('what is missing or too short is named', () => {
    const some = readAttributes(uint8Attribute(1, 1));
    expect(() => requireAttribute(some, 2, 1, 'port')).toThrow('there is no attribute 2 (port)');
    expect(() => requireAttribute(some, 1, 4, 'mark')).toThrow('attribute 1 (mark) has 1 bytes');
  });
});

describe('refused', () => {
  test.each([
    ['a header that is cut short', '1400000002'],
    ['a message shorter than its header', '0f000000 0200 0000 01000000 00000000'],
    ['a message longer than the datagram', '15000000 0200 0000 01000000 00000000 00000000'],
    ['a length of nothing', '00000000 0200 0000 01000000 00000000'],
    ['a second message that is cut short', '10000000 0300 0000 01000000 00000000 1400'],
  ])('%s', (_, text) => {
    expect(() => readMessages(bytes(text))).toThrow(NetlinkFormatError);
  });

  test.each([
    ['a header that is cut short', '0800'],
    ['an attribute shorter than its header', '03000100'],
    ['an attribute longer than what holds it', '0900010000000000'],
    ['a length of nothing', '00000100'],
  ])('attributes with %s', (_, text) => {
    expect(() => readAttributes(bytes(text))).toThrow(NetlinkFormatError);
  });

  test('anything at all, without ever reading outside or going on for ever', () => {
    const random = new Random(20_261_129);
    let read = 0;
    for (let round = 0; round < 20_000; round++) {
      const length = random.below(64);
      const noise = Uint8Array.from({ length }, () => (random.below(3) === 0 ? random.below(256) : random.below(12)));
      for (const reader of [readMessages, readAttributes] as const) {
        try {
          reader(noise);
          read++;
        } catch (error) {
          if (!(error instanceof NetlinkFormatError)) throw error;
        }
      }
    }
    expect(read).toBeGreaterThan(100);
  });
});

import { describe, expect, test } from 'vitest';
import { differingFields, packetFields } from '../../src/conform/packet-fields.ts';

const TCP = '45000028100140003f065f64c00002090a01000b4e200050000003e8000000005002faf096ae0000';
const GUE =
  '4500005c000040003f1127840a0100010a01000b8d0515b300487dcd000400004500003c100140003f06f6b0c63364730a000064e6af0050000003e800000000a002faf02d1c0000020405b40402080a000000010000000001030307';
const ERROR = `45c000384335000040016785${'0a000064c00002df'}0b01c2ce00000000${'450002d4777920004011135dc00002df0a00006498390035'}`;

const changed = (hex: string, at: number, byte: string): Buffer =>
  Buffer.from(`${hex.slice(0, at * 2)}${byte}${hex.slice(at * 2 + 2)}`, 'hex');

describe('two packets differ', () => {
  test.each([
    [TCP, 8, '40', 'IPv4 time to live: came 64, the kernel sent 63'],
    [TCP, 16, '0b', 'IPv4 destination: came 11.1.0.11, the kernel sent 10.1.0.11'],
    [TCP, 33, '12', 'TCP flags: came SYN+ACK, the kernel sent SYN'],
    [TCP, 23, '51', 'TCP destination port: came 81, the kernel sent 80'],
    [GUE, 21, '06', 'UDP source port: came 36102, the kernel sent 36101'],
    [GUE, 40, '40', 'inner IPv4 time to live: came 64, the kernel sent 63'],
    [ERROR, 20, '03', 'ICMP type: came 3, the kernel sent 11'],
    [ERROR, 36, '3f', 'quoted IPv4 time to live: came 63, the kernel sent 64'],
  ])('%#: by one field', (hex, at, byte, line) => {
    expect(differingFields(Buffer.from(hex, 'hex'), changed(hex, at, byte))).toEqual([line]);
  });

  test('by a header that only one has', () => {
    const lines = differingFields(Buffer.from(GUE, 'hex'), Buffer.from(TCP, 'hex'));
    expect(lines.at(-1)).toBe('UDP source port: came a packet with "TCP source port" here');
  });

  test('by data, from some byte on', () => {
    const long = `${TCP}${'42'.repeat(60)}`;
    expect(differingFields(Buffer.from(long, 'hex'), changed(long, 70, '43'))).toEqual([
      'data: differs from byte 30 on: came 4342424242424242..., the kernel sent 4242424242424242...',
    ]);
  });
});

test('no packet, however short or wild, is too much', () => {
  for (const hex of [TCP, GUE, ERROR]) {
    for (let bytes = 0; bytes <= hex.length / 2; bytes++) {
      expect(packetFields(Buffer.from(hex.slice(0, bytes * 2), 'hex')).length).toBeGreaterThan(0);
    }
  }
});

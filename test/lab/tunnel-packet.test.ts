import { describe, expect, test } from 'vitest';
import { innerPacketAt } from '../../src/lab/tunnel-packet.ts';

const IPV4 = [0x45, ...new Array<number>(27).fill(0)];
const IPV6 = [0x60, ...new Array<number>(47).fill(0)];
/** An outer IPv4 header, with and without options, as raw sockets hand it over. */
const OUTER = [0x45, ...new Array<number>(19).fill(0)];
const OUTER_WITH_OPTIONS = [0x46, ...new Array<number>(23).fill(0)];
const inner = (form: 'ip' | 'gue' | 'gre', rawIpv4: boolean, ...bytes: number[]) =>
  innerPacketAt(Uint8Array.from(bytes), form, rawIpv4);

describe('the packet inside', () => {
  test('of IP in IP begins after the outer header, of which IPv6 hands over nothing', () => {
    expect(inner('ip', true, ...OUTER, ...IPV4)).toBe(20);
    expect(inner('ip', true, ...OUTER_WITH_OPTIONS, ...IPV6)).toBe(24);
    expect(inner('ip', false, ...IPV4)).toBe(0);
  });

  test('of GUE begins after a header whose length it tells, or at once in version 1', () => {
    expect(inner('gue', true, 0, 4, 0, 0, ...IPV4)).toBe(4);
    expect(inner('gue', true, 2, 41, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ...IPV6)).toBe(12);
    expect(inner('gue', false, ...IPV6)).toBe(0);
  });

  test('of GRE begins after the fields that its flags name', () => {
    expect(inner('gre', true, ...OUTER, 0, 0, 0x08, 0, ...IPV4)).toBe(24);
    expect(inner('gre', true, ...OUTER, 0x80, 0, 0x86, 0xdd, 0, 0, 0, 0, ...IPV6)).toBe(28);
    expect(inner('gre', false, 0xb0, 0, 0x08, 0, ...new Array<number>(12).fill(0), ...IPV4)).toBe(16);
  });

  test('is none where the header is cut short, unknown, or says something else', () => {
    expect(inner('ip', true, 0x45, 0)).toBeNull();
    expect(inner('ip', true, ...OUTER)).toBeNull();
    expect(inner('ip', true, ...OUTER, 0x45, 0, 0)).toBeNull();
    expect(inner('ip', true, ...OUTER, 0x20, ...IPV4)).toBeNull();
    // A control message, another protocol, another version.
    expect(inner('gue', true, 0x20, 4, 0, 0, ...IPV4)).toBeNull();
    expect(inner('gue', true, 0, 6, 0, 0, ...IPV4)).toBeNull();
    expect(inner('gue', true, 0x80, 4, 0, 0, ...IPV4)).toBeNull();
    expect(inner('gue', true, 31, 4, 0, 0, ...IPV4)).toBeNull();
    // Version 1 (PPTP), routing, another protocol.
    expect(inner('gre', true, ...OUTER, 0, 1, 0x08, 0, ...IPV4)).toBeNull();
    expect(inner('gre', true, ...OUTER, 0x40, 0, 0x08, 0, ...IPV4)).toBeNull();
    expect(inner('gre', true, ...OUTER, 0, 0, 0x65, 0x58, ...IPV4)).toBeNull();
    expect(inner('gre', true, ...OUTER, 0, 0)).toBeNull();
  });
});

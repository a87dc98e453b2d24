import { describe, expect, test } from 'vitest';
import { formatIpv4 } from '../../src/wire/address.ts';
import {
  ARP_BYTES,
  ARP_REPLY,
  ARP_REQUEST,
  answerArp,
  arpOperation,
  arpSenderAddress,
  arpTargetAddress,
  copyArpSenderMac,
  isArp,
  writeArpRequest,
} from '../../src/wire/arp.ts';
import { readInt32 } from '../../src/wire/bytes.ts';
import {
  copyEthernetSource,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  etherType,
  isGroupAddressed,
  isSentTo,
  setEthernetAddresses,
  setEtherType,
} from '../../src/wire/ethernet.ts';
import { ipBytes, macBytes } from '../support/addresses.ts';
import { arp, ethernet, expectFrame } from '../support/expect-frame.ts';
import { frame } from '../support/frames.ts';

const CLIENT = '10.0.0.5';
const VIP = '192.168.1.120';
const CLIENT_MAC = '02:00:00:00:00:01';
const OUR_MAC = '02:00:00:00:00:02';
const AT = 7;

/** The frame with other bytes before and behind, to see that nothing else is touched. */
function inArena(bytes: Uint8Array): Uint8Array {
  const arena = new Uint8Array(AT + bytes.length + 9).fill(0xee);
  arena.set(bytes, AT);
  return arena;
}

const arenaIsClean = (arena: Uint8Array) =>
  arena.subarray(0, AT).every((byte) => byte === 0xee) && arena.subarray(-9).every((byte) => byte === 0xee);

describe('an Ethernet header', () => {
  test('says what is inside and for whom it is', () => {
    const arena = inArena(frame().ethernet({ to: OUR_MAC, from: CLIENT_MAC }).ipv4(CLIENT, VIP).tcp(1, 2));
    expect(etherType(arena, AT)).toBe(ETHERTYPE_IPV4);
    expect(etherType(frame().ipv6('fd00::1', 'fd00::2').tcp(1, 2), 0)).toBe(ETHERTYPE_IPV6);
    expect(isSentTo(arena, AT, macBytes(OUR_MAC))).toBe(true);
    expect(isGroupAddressed(arena, AT)).toBe(false);
    const source = new Uint8Array(6);
    copyEthernetSource(arena, AT, source);
    expect(source).toEqual(macBytes(CLIENT_MAC));
  });

  test('is for another when any byte of the address differs', () => {
    const mine = macBytes(OUR_MAC);
    for (let i = 0; i < 6; i++) {
      const other = mine.slice();
      other[i] = (other[i] as number) ^ 1;
      const bytes = new Uint8Array([...other, 0, 0, 0, 0, 0, 0, 0, 0]);
      expect(isSentTo(bytes, 0, mine), `byte ${i}`).toBe(false);
    }
  });

  test.each([
    ['ff:ff:ff:ff:ff:ff', true],
    ['01:00:5e:00:00:01', true],
    ['33:33:00:00:00:01', true],
    ['02:00:00:00:00:01', false],
  ])('to %s is for a group: %s', (to, isGroup) => {
    expect(isGroupAddressed(frame().ethernet({ to }).ipv4(CLIENT, VIP).udp(1, 2), 0)).toBe(isGroup);
  });

  test('gets new addresses and a new type, and nothing else changes', () => {
    const before = frame().ethernet({ to: OUR_MAC, from: CLIENT_MAC }).ipv4(CLIENT, VIP).udp(1, 2, { payload: 'x' });
    const arena = inArena(before);
    setEthernetAddresses(arena, AT, macBytes('02:00:00:00:00:0b'), macBytes(OUR_MAC));
    setEtherType(arena, AT, 0x88b5);
    const after = arena.slice(AT, AT + before.length);
    expectFrame(after, ethernet({ to: '02:00:00:00:00:0b', from: OUR_MAC, type: 0x88b5 }));
    expect(after.subarray(14)).toEqual(before.subarray(14));
    expect(arenaIsClean(arena)).toBe(true);
  });
});

describe('an ARP message', () => {
  const request = frame()
    .ethernet({ to: 'ff:ff:ff:ff:ff:ff', from: CLIENT_MAC, padTo: 60 })
    .arp({ operation: 'request', senderMac: CLIENT_MAC, senderIp: CLIENT, targetIp: VIP });

  test('is read field by field', () => {
    const arena = inArena(request);
    const at = AT + 14;
    expect(etherType(arena, AT)).toBe(ETHERTYPE_ARP);
    expect(isArp(arena, at, AT + request.length)).toBe(true);
    expect(arpOperation(arena, at)).toBe(ARP_REQUEST);
    expect(formatIpv4(arpSenderAddress(arena, at))).toBe(CLIENT);
    expect(formatIpv4(arpTargetAddress(arena, at))).toBe(VIP);
    const sender = new Uint8Array(6);
    copyArpSenderMac(arena, at, sender);
    expect(sender).toEqual(macBytes(CLIENT_MAC));
  });

  test('must be whole and about IPv4 over Ethernet', () => {
    expect(isArp(request, 14, 14 + ARP_BYTES)).toBe(true);
    expect(isArp(request, 14, 14 + ARP_BYTES - 1)).toBe(false);
    for (const at of [14, 15, 16, 17, 18, 19]) {
      const other = request.slice();
      other[at] = (other[at] as number) ^ 4;
      expect(isArp(other, 14, other.length), `byte ${at}`).toBe(false);
    }
  });

  test('that asks is turned into the answer, in place', () => {
    const arena = inArena(request);
    answerArp(arena, AT, macBytes(OUR_MAC));
    expect(arpOperation(arena, AT + 14)).toBe(ARP_REPLY);
    expectFrame(
      arena.slice(AT, AT + request.length),
      ethernet({ to: CLIENT_MAC, from: OUR_MAC, type: ETHERTYPE_ARP }),
      arp({ operation: 'reply', senderMac: OUR_MAC, senderIp: VIP, targetMac: CLIENT_MAC, targetIp: CLIENT }),
    );
    expect(arenaIsClean(arena)).toBe(true);
  });

  test('that asks is written whole, whatever lay there before', () => {
    const arena = inArena(new Uint8Array(42).fill(0xaa));
    const bytes = writeArpRequest(
      arena,
      AT,
      macBytes(OUR_MAC),
      readInt32(ipBytes(VIP), 0),
      readInt32(ipBytes(CLIENT), 0),
    );
    expect(arena.slice(AT, AT + bytes)).toEqual(
      frame()
        .ethernet({ to: 'ff:ff:ff:ff:ff:ff', from: OUR_MAC })
        .arp({ operation: 'request', senderMac: OUR_MAC, senderIp: VIP, targetIp: CLIENT }),
    );
    expect(arenaIsClean(arena)).toBe(true);
  });
});

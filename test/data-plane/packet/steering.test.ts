import { expect, test } from 'vitest';
import {
  linkRules,
  outRules,
  type SteeredLink,
  takeRules,
  wholeLinkRules,
} from '../../../src/data-plane/packet/steering.ts';

const e0: SteeredLink = { index: 7, name: 'e0', mac: '52:54:00:00:00:01', loopback: false };
const lo: SteeredLink = { index: 1, name: 'lo', mac: '00:00:00:00:00:00', loopback: true };
const down: SteeredLink = { index: 9, name: 'e1', mac: null, loopback: false };

test('what is held back goes to the tap with the mark of its link, and what comes by no known link is dropped', () => {
  expect(takeRules([e0])).toEqual(['iif "e0" @ll,0,16 set 0x0207 fwd to "uipvs-near"', 'drop']);
});

test('what the engine itself has sent on the loopback link does not come back', () => {
  expect(takeRules([lo])[0]).toBe('iif "lo" @ll,48,48 0x027569707673 drop');
});

test('what the engine sends leaves by the link of its mark, with that link’s address again', () => {
  expect(outRules([e0, lo, down])).toEqual([
    '@ll,48,16 0x0207 @ll,48,16 set 0x5254 fwd to "e0"',
    '@ll,48,16 0x0201 @ll,48,16 set 0x0275 meta pkttype set host fwd to "lo"',
    'drop',
  ]);
});

test('both hear of neighbours: the stack gets the address back that the mark had replaced', () => {
  const rules = linkRules(e0);
  expect(rules).toContain(
    'ether type arp meta pkttype broadcast @ll,0,16 set 0x0607 dup to "uipvs-near" @ll,0,16 set 0xffff',
  );
  expect(rules).toContain(
    'ether type arp meta pkttype host @ll,0,16 set 0x0207 dup to "uipvs-near" @ll,0,16 set 0x5254',
  );
  expect(rules.every((rule) => rule.includes(' dup to ') && !rule.includes(' fwd to '))).toBe(true);
});

test('of a link that is down only what is not addressed to it can be heard, since its address is not known', () => {
  expect(linkRules(down).some((rule) => rule.includes('pkttype host'))).toBe(false);
});

test('the engine’s end of the host link is the engine’s alone', () => {
  const hostLink = { ...e0, name: 'uipvs-io' };
  expect(linkRules(hostLink)).toEqual(wholeLinkRules(hostLink));
  expect(wholeLinkRules(hostLink).every((rule) => rule.endsWith(' fwd to "uipvs-near"'))).toBe(true);
});

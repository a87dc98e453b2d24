import fc from 'fast-check';
import { expect, test } from 'vitest';
import { orderOf } from '../../bench/peers/order.ts';

const PEERS = ['a', 'b', 'c', 'd', 'e'];

test('everybody has a turn in every round, and each is first once in as many rounds as there are peers', () => {
  const firsts = PEERS.map((_, round) => {
    const order = orderOf(PEERS, round);
    expect(order.toSorted()).toEqual(PEERS);
    return order[0];
  });
  expect(firsts.toSorted()).toEqual(PEERS);
});

test('who comes after whom changes from one round to the next', () => {
  const followers = (round: number) =>
    orderOf(PEERS, round).map((name, i, all) => `${name}${all[(i + 1) % all.length]}`);
  const before = new Set(followers(0));
  expect(followers(1).filter((pair) => before.has(pair))).toEqual([]);
});

test('nobody is lost or doubled, however many there are', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.integer()), fc.nat(1000), (all, round) => {
      expect(orderOf(all, round).toSorted()).toEqual(all.toSorted());
    }),
  );
});

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EndpointIndex } from '../../src/balance/endpoint-index.ts';

test('the index answers as a plain map does', () => {
  // Few different keys, so that they meet; some beyond 31 bits.
  const word = fc.constantFrom(0, 1, -1, 0x0a000001);
  const key = fc.tuple(fc.nat(3), word, word, word, word, fc.constantFrom(0, 21, 80, 65535));
  const operation = fc.record({ kind: fc.constantFrom('set', 'set', 'delete'), key, value: fc.nat() });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 300 }), fc.array(key, { maxLength: 20 }), (operations, others) => {
      const index = new EndpointIndex<number>();
      const map = new Map<string, number>();
      for (const { kind, key, value } of operations) {
        if (kind === 'set') {
          index.set(...key, value);
          map.set(key.join(), value);
        } else {
          index.delete(...key);
          map.delete(key.join());
        }
      }
      expect(index.size).toBe(map.size);
      for (const key of [...operations.map((it) => it.key), ...others]) {
        expect(index.find(...key)).toBe(map.get(key.join()) ?? null);
      }
    }),
    { numRuns: 300 },
  );
});

test('the index grows to many keys and shrinks back to none', () => {
  const index = new EndpointIndex<number>();
  for (let i = 0; i < 20_000; i++) index.set(1, 0, 0, 0, i * 256, i & 0xffff, i);
  for (let i = 0; i < 20_000; i++) expect(index.find(1, 0, 0, 0, i * 256, i & 0xffff)).toBe(i);
  for (let i = 0; i < 20_000; i++) index.delete(1, 0, 0, 0, i * 256, i & 0xffff);
  expect(index.size).toBe(0);
  expect(index.find(1, 0, 0, 0, 256, 1)).toBeNull();
});

import { expect, test } from 'vitest';
import { foldAddress, hash32, sipHash13 } from '../../../src/balance/schedulers/hashing.ts';
import { serviceBucket } from '../../../src/balance/service-index.ts';
import { readVectors, wordsOf } from '../support.ts';

const vectors = readVectors<{
  hsiphash_1_3_u32: { value: number; key: number; hash: number }[];
  hash_32: { value: number; bits: number; hash: number }[];
  addr_fold: { addr: string; fold: string }[];
  sh_bucket: { addr: string; port: number; bucket: number }[];
  dh_bucket: { addr: string; bucket: number; lblc_bucket: number }[];
  mh_slot: { addr: string; port: number; hash: number; slot: number }[];
  svc_bucket: { proto: number; addr: string; port: number; bucket: number }[];
}>('hash');
const fold = (address: string): number => foldAddress(...wordsOf(address));

test('SipHash-1-3 of a word gives the known values', () => {
  expect(vectors.hsiphash_1_3_u32.length).toBeGreaterThan(10);
  for (const { value, key, hash } of vectors.hsiphash_1_3_u32) {
    expect(sipHash13(value, key)).toBe(hash);
    // Words are signed on the packet path.
    expect(sipHash13(value | 0, key)).toBe(hash);
  }
});

test('addresses are folded and hashed to the known values', () => {
  for (const { value, bits, hash } of vectors.hash_32) expect(hash32(value, bits)).toBe(hash);
  for (const { addr, fold: expected } of vectors.addr_fold) {
    expect((fold(addr) >>> 0).toString(16).padStart(8, '0')).toBe(expected);
  }
});

test('clients and virtual addresses fall into the known buckets', () => {
  for (const { addr, port, bucket } of vectors.sh_bucket) expect(hash32(port + fold(addr), 8)).toBe(bucket);
  for (const { addr, bucket, lblc_bucket } of vectors.dh_bucket) {
    expect(hash32(fold(addr), 8)).toBe(bucket);
    expect(hash32(fold(addr), 10)).toBe(lblc_bucket);
  }
  for (const { addr, port, hash, slot } of vectors.mh_slot) {
    expect(sipHash13(port + fold(addr), 2654435761)).toBe(hash);
    expect(hash % 4093).toBe(slot);
  }
});

test('services fall into the known buckets', () => {
  for (const { proto, addr, port, bucket } of vectors.svc_bucket) {
    expect(serviceBucket(proto, ...wordsOf(addr), port)).toBe(bucket);
  }
});

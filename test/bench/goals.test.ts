import { describe, expect, test } from 'vitest';
import { evaluateGoals, goalLine } from '../../bench/peers/goals.ts';
import { formatReport } from '../../bench/peers/report.ts';
import { type BenchResults, nftOnItsOwnCore, type PeerResult } from '../../bench/peers/results.ts';
import { type Summary, summarize } from '../../bench/statistics.ts';
import { tableGoals } from '../../bench/table/goals.ts';
import type { TableFigures } from '../../bench/table/measure.ts';

function peer(name: string, figures: Record<string, number[]>, more: Partial<PeerResult> = {}): PeerResult {
  const summaries = Object.entries(figures).map(([figure, values]) => [figure, summarize(values) as Summary]);
  const group = name === 'nft' ? 'kernel' : 'proxy';
  return { name, summary: name, group, absent: null, figures: Object.fromEntries(summaries), failures: {}, ...more };
}

/** The figures of the machine that the method comes from: 524 thousand alone, 221 with nft inline. */
const STRAIGHT = peer('straight', { 'packets-1': [524] });
const NFT = peer('nft', { 'packets-1': [221], 'ab-20': [6000], 'echo-p50': [30], 'echo-p99': [200] });

describe('nft on a core of its own', () => {
  test('is what is left of its time when that of the generator is taken away', () => {
    expect(nftOnItsOwnCore([STRAIGHT, NFT])).toBeCloseTo(382.2, 1);
  });

  test('cannot be told without both, or when the generator alone was not faster', () => {
    expect(nftOnItsOwnCore([NFT])).toBeNull();
    expect(nftOnItsOwnCore([STRAIGHT])).toBeNull();
    expect(nftOnItsOwnCore([peer('straight', { 'packets-1': [200] }), NFT])).toBeNull();
  });
});

describe('goals', () => {
  const line = (peers: readonly PeerResult[], begin: string) =>
    evaluateGoals(peers, 'ring')
      .map(goalLine)
      .find((each) => each.startsWith(begin));

  test('are met by ratios of medians within one run', () => {
    const ring = peer('ring', {
      'ab-20': [9000, 6100, 5000],
      'packets-1': [331.5],
      'echo-p50': [61],
      'echo-p99': [600],
    });
    const all = [STRAIGHT, NFT, peer('haproxy', { 'ab-20': [4000] }), ring];
    expect(line(all, 'ab, 20 at once: at least 1.5 x haproxy')).toContain(': met, ring has 1.52 x');
    expect(line(all, 'ab, 20 at once: at least 1.0 x nft')).toContain(': met, ring has 1.02 x');
    expect(line(all, 'small packets: at least 1.5 x nft')).toContain(': met, ring has 1.50 x');
    expect(line(all, 'small packets: at least 0.8 x nft on its own core')).toContain(': met, ring has 0.87 x');
    expect(line(all, 'UDP echo, p50')).toContain(': NOT met, ring has 2.03 x');
    expect(line(all, 'UDP echo, p99')).toContain(': met, ring has 3.00 x');
  });

  test('of small packets are also those of the back end that is there for them, where it was measured', () => {
    const all = [STRAIGHT, NFT, peer('ring', { 'packets-1': [300] }), peer('xdp', { 'packets-1': [400] })];
    const lines = evaluateGoals(all, 'ring').map(goalLine);
    expect(lines.filter((each) => each.startsWith('small packets: at least 1.5 x nft:'))).toEqual([
      'small packets: at least 1.5 x nft: NOT met, ring has 1.36 x',
      'small packets: at least 1.5 x nft: met, xdp has 1.81 x',
    ]);
    expect(evaluateGoals(all, 'xdp')).toHaveLength(evaluateGoals(all.slice(0, 3), 'ring').length);
  });

  test('tell how far the rounds are apart, where there are several of both', () => {
    const rounds = [peer('nft', { 'ab-20': [4000, 5000] }), peer('ring', { 'ab-20': [6000, 5000] })];
    expect(line(rounds, 'ab, 20 at once: at least 1.0 x nft')).toContain('has 1.22 x (1.00..1.50 by round)');
    const uneven = [peer('nft', { 'ab-20': [4000, 5000] }), peer('ring', { 'ab-20': [6000] })];
    expect(line(uneven, 'ab, 20 at once: at least 1.0 x nft')).toMatch(/has 1\.33 x$/);
  });

  test('that cannot be judged say so instead of passing', () => {
    for (const each of evaluateGoals([NFT], 'ring')) {
      expect(each.met).toBeNull();
      expect(goalLine(each)).toMatch(/: not measured$/);
    }
  });
});

describe('the report', () => {
  const results = (peers: readonly PeerResult[]): BenchResults => ({
    machine: { node: 'v20', kernel: '6', processors: 2, model: 'x', memoryBytes: 1, load: 0, date: '2026-11-29' },
    conditions: ['three rounds'],
    rounds: 3,
    ours: 'ring',
    peers,
    goals: evaluateGoals(peers, 'ring'),
    profile: [{ peer: 'ring', load: 'ab', shares: { JS: 0.25, FFI: 0.75 }, processors: 0.5, source: 'Samples.' }],
  });

  test('shows median, spread and the ratios to HAProxy and to nft', () => {
    const text = formatReport(
      results([NFT, peer('haproxy', { 'ab-20': [4000] }), peer('ring', { 'ab-20': [5000, 6000, 7000] })]),
    );
    expect(text).toMatch(/\| ring +\| +6000 ±17% \(1\.50, 1\.00\) \|/);
    expect(text).toMatch(/\| haproxy +\| +4000 \(1\.00, 0\.67\) \|/);
    expect(text).toMatch(/\| ring, ab +\| +25 % \| +75 % \| +50 % \|/);
  });

  test('has the reason of everything that is missing', () => {
    const failed = peer('pen', {}, { failures: { 'ab-20': 'ab gave up: timeout' } });
    const text = formatReport(results([NFT, failed, peer('macvtap', {}, { absent: 'no /dev/net' })]));
    expect(text).toContain('- pen, ab-20: ab gave up: timeout');
    expect(text).toContain('- macvtap: no /dev/net');
    expect(text).toMatch(/\| pen +\| +failed \|/);
    expect(text).not.toMatch(/\| macvtap/);
  });
});

describe('goals of the table', () => {
  const figures = (connections: number, more: Partial<TableFigures>): TableFigures => ({
    connections,
    bytesPerConnection: 140,
    residentBytes: 2 ** 30,
    opensPerSecond: 500_000,
    findNanoseconds: 10,
    findInBatchNanoseconds: 20,
    readNanoseconds: 5,
    packetNanoseconds: 250,
    expireNanoseconds: 200,
    longestTurnMs: 1,
    turnP999Ms: 0.1,
    longestTurnAtMassExpiryMs: 1,
    longestPageMs: 1,
    ...more,
  });

  test('are judged at the size they name', () => {
    const lines = tableGoals([figures(1000, {}), figures(1_000_000, { packetNanoseconds: 700, longestTurnMs: 41 })]);
    expect(lines).toContain('3 million packets/s at 1 thousand: met (4.00 million/s)');
    expect(lines).toContain('1.5 million packets/s at 1 million: NOT met (1.43 million/s)');
    expect(lines).toContain('no pause above 10 ms with steady churn at 1 million: NOT met (41.00 ms)');
    expect(lines).toContain('10 million connections within 24 GiB: not measured');
    expect(lines).toContain(
      'a packet costs less than 3 times as much at 1 million as at 1 thousand: met (250 to 700 ns, 2.8 times)',
    );
  });
});

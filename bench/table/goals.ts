/** What the table is held to, and whether it holds. */
import type { TableFigures } from './measure.ts';

const GIBIBYTE = 2 ** 30;

type Check = (figures: ReadonlyMap<number, TableFigures>) => { readonly good: boolean; readonly seen: string } | null;

/** `null`: the sizes it needs were not measured. */
const GOALS: readonly { readonly text: string; readonly check: Check }[] = [
  {
    text: '10 million connections within 24 GiB',
    check: (of) => atSize(of, 10_000_000, (f) => f.residentBytes / GIBIBYTE, 24, 'GiB', 'most'),
  },
  {
    text: 'no pause above 10 ms with steady churn at 1 million',
    check: (of) => atSize(of, 1_000_000, (f) => f.longestTurnMs, 10, 'ms', 'most'),
  },
  {
    text: 'no pause above 10 ms when 1 million end at one moment',
    check: (of) => atSize(of, 1_000_000, (f) => f.longestTurnAtMassExpiryMs, 10, 'ms', 'most'),
  },
  {
    text: 'no pause above 10 ms by one page of a listing at 1 million',
    check: (of) => atSize(of, 1_000_000, (f) => f.longestPageMs, 10, 'ms', 'most'),
  },
  {
    text: 'a lookup as the engine makes it costs less than 3 times as much at 1 million as at 1 thousand',
    check: (of) => lookupGrowth(of, (f) => f.findInBatchNanoseconds),
  },
  {
    text: 'a packet costs less than 3 times as much at 1 million as at 1 thousand',
    check: (of) => growth(of, (f) => f.packetNanoseconds),
  },
  {
    text: 'a lookup by itself costs less than 3 times as much at 1 million as at 1 thousand',
    check: (of) => lookupGrowth(of, (f) => f.findNanoseconds),
  },
  {
    text: '3 million packets/s at 1 thousand',
    check: (of) => atSize(of, 1000, (f) => 1000 / f.packetNanoseconds, 3, 'million/s', 'least'),
  },
  {
    text: '1.5 million packets/s at 1 million',
    check: (of) => atSize(of, 1_000_000, (f) => 1000 / f.packetNanoseconds, 1.5, 'million/s', 'least'),
  },
  {
    text: '200 thousand SYNs/s, wlc over 16 destinations, at 1 million',
    check: (of) => atSize(of, 1_000_000, (f) => (f.opensPerSecond ?? 0) / 1000, 200, 'thousand/s', 'least'),
  },
];

/** One line for every goal. */
export function tableGoals(figures: readonly TableFigures[]): string[] {
  const of = new Map(figures.map((one) => [one.connections, one]));
  return GOALS.map(({ text, check }) => {
    const result = check(of);
    if (result === null) return `${text}: not measured`;
    return `${text}: ${result.good ? 'met' : 'NOT met'} (${result.seen})`;
  });
}

function atSize(
  of: ReadonlyMap<number, TableFigures>,
  size: number,
  figure: (figures: TableFigures) => number,
  bound: number,
  unit: string,
  at: 'least' | 'most',
): ReturnType<Check> {
  const figures = of.get(size);
  if (figures === undefined) return null;
  const value = figure(figures);
  return { good: at === 'least' ? value >= bound : value <= bound, seen: `${value.toFixed(2)} ${unit}` };
}

/** With the limit beside it: what the memory alone does to one read, of which a lookup needs two. */
function lookupGrowth(
  of: ReadonlyMap<number, TableFigures>,
  figure: (figures: TableFigures) => number,
): ReturnType<Check> {
  const result = growth(of, figure);
  const memory = growth(of, (f) => f.readNanoseconds);
  if (result === null || memory === null) return null;
  return { good: result.good, seen: `${result.seen}; one read of memory: ${memory.seen}` };
}

function growth(of: ReadonlyMap<number, TableFigures>, figure: (figures: TableFigures) => number): ReturnType<Check> {
  const small = of.get(1000);
  const large = of.get(1_000_000);
  if (small === undefined || large === undefined) return null;
  const [before, after] = [figure(small), figure(large)];
  return {
    good: after < 3 * before,
    seen: `${before.toFixed(0)} to ${after.toFixed(0)} ns, ${(after / before).toFixed(1)} times`,
  };
}

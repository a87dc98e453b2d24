import { describe, expect, test } from 'vitest';
import { COMPARED } from '../../src/simulate/baselines.ts';
import type { Change, Scenario } from '../../src/simulate/scenario.ts';
import { simulate } from '../../src/simulate/simulate.ts';

const server = (weight = 1, workers = 1_000_000) => ({ weight, speed: 1, workers });

const scenario = (changes: Partial<Scenario> = {}): Scenario => ({
  servers: [server(), server(), server()],
  arrivals: { kind: 'constant', perSecond: 100 },
  serviceTime: { kind: 'constant', meanSeconds: 0.01 },
  clients: 2_000,
  zipf: 0,
  seconds: 90,
  changes: [],
  lingerSeconds: 0,
  schedulerFlags: [],
  seed: 1,
  ...changes,
});

const run = (name: string, changes: Partial<Scenario> = {}) =>
  simulate(scenario(changes), COMPARED[name] as (typeof COMPARED)[string]);
const shares = async (name: string, changes: Partial<Scenario> = {}) =>
  (await run(name, changes)).servers.map(({ requests }) => requests);

describe('known results', () => {
  test('rr gives every server the same number, whatever its weight', async () => {
    const counts = await shares('rr', { servers: [server(1), server(5), server(2)], seconds: 90.005 });
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
  });

  test('wrr gives every server exactly its weight in every round', async () => {
    const counts = await shares('wrr', { servers: [server(1), server(2), server(5)], seconds: 80.005 });
    const rounds = Math.floor(counts.reduce((sum, count) => sum + count, 0) / 8);
    expect(counts[0]).toBeGreaterThanOrEqual(rounds);
    expect((counts[1] as number) / (counts[0] as number)).toBeCloseTo(2, 2);
    expect((counts[2] as number) / (counts[0] as number)).toBeCloseTo(5, 2);
  });

  test('least-connection keeps requests that never end level', async () => {
    for (const name of ['lc', 'wlc']) {
      const { servers } = await run(name, { serviceTime: { kind: 'constant', meanSeconds: 1e6 } });
      const counts = servers.map(({ requests }) => requests);
      expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
    }
  });

  const leave: Change[] = [{ kind: 'down', atSeconds: 100, server: 4 }];
  const churning = {
    servers: Array.from({ length: 10 }, () => server()),
    changes: leave,
    arrivals: { kind: 'constant' as const, perSecond: 200 },
    seconds: 200,
  };

  test('sh deals all buckets anew when a server leaves: nine clients in ten lose theirs', async () => {
    const [churn] = (await run('sh', churning)).churn;
    // Bucket b was with server b mod 10, and is with the b mod 9-th of those left: 26 of 256 buckets stay where they were
    // at least in theory, those before the server that left in each common round.
    expect((churn?.moved ?? 0) / (churn?.clients ?? 1)).toBeGreaterThan(0.8);
  });

  test('mh moves almost nobody but the clients of the server that left', async () => {
    const [churn] = (await run('mh', churning)).churn;
    expect(churn?.clients).toBeGreaterThan(1_500);
    expect((churn?.moved ?? 1) / (churn?.clients ?? 1)).toBeLessThan(0.03);
  });

  test('two choices hold the fullest of many servers far below one choice at random', async () => {
    const many = {
      servers: Array.from({ length: 64 }, () => server()),
      serviceTime: { kind: 'constant' as const, meanSeconds: 1e6 },
      arrivals: { kind: 'constant' as const, perSecond: 64 },
      seconds: 64,
    };
    const spread = async (name: string) => {
      const counts = await shares(name, many);
      const mean = counts.reduce((sum, count) => sum + count, 0) / counts.length;
      return Math.max(...counts) - mean;
    };
    // Theory for n = 64 and m = 64 n: about sqrt(2 (m/n) ln n) = 23 above the mean for one choice, and
    // ln ln n / ln 2 = 2 for two, with a constant added (Azar, Broder, Karlin, Upfal 1994; Berenbrink et al. 2000).
    expect(await spread('random')).toBeGreaterThan(12);
    expect(await spread('twos')).toBeLessThan(5);
  });

  test('a single worker with exponential work waits as long as theory says (M/M/1)', async () => {
    const { responseSeconds, servers } = await run('rr', {
      servers: [server(1, 1)],
      arrivals: { kind: 'poisson', perSecond: 50 },
      serviceTime: { kind: 'exponential', meanSeconds: 0.01 },
      seconds: 4_000,
    });
    // Half busy: the mean time in the system is twice the work.
    expect(servers[0]?.utilisation).toBeCloseTo(0.5, 1);
    expect(responseSeconds.mean).toBeGreaterThan(0.0185);
    expect(responseSeconds.mean).toBeLessThan(0.0215);
  });
});

describe('a simulation', () => {
  test.each(Object.keys(COMPARED))(
    'of %s is the same again for the same scenario and seed, and another for another',
    async (name) => {
      const busy = { arrivals: { kind: 'poisson' as const, perSecond: 300 }, seconds: 10, zipf: 0.8 };
      expect(await run(name, busy)).toEqual(await run(name, busy));
      expect(await run(name, busy)).not.toEqual(await run(name, { ...busy, seed: 2 }));
    },
  );

  test('loses no request: each is refused or served, and all responses are counted', async () => {
    const result = await run('wlc', {
      servers: [server(1, 2), server(3, 2)],
      arrivals: { kind: 'burst', perSecond: 200, size: 10 },
      serviceTime: { kind: 'pareto', meanSeconds: 0.02 },
      changes: [
        { kind: 'weight', atSeconds: 20, server: 0, weight: 0 },
        { kind: 'down', atSeconds: 40, server: 1 },
        { kind: 'up', atSeconds: 60, server: 1 },
      ],
      lingerSeconds: 5,
    });
    const served = result.servers.reduce((sum, { requests }) => sum + requests, 0);
    expect(served + result.refused).toBe(result.requests);
    // Nobody is left between 40 s and 60 s.
    expect(result.refused).toBeGreaterThan(3_000);
    expect(result.requests).toBeGreaterThan(17_000);
  });
});

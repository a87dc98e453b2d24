import { beforeEach, describe, expect, test } from 'vitest';
import { type HealthDesk, HealthReporter } from '../../src/ldirectord/health-reporter.ts';
import { IpvsError } from '../../src/model/errors.ts';
import type { HealthReport } from '../../src/model/health.ts';
import { VirtualClock } from '../health/virtual-clock.ts';

const REPORT: HealthReport = {
  program: 'uldirectord',
  pid: 1,
  configuration: 'x.cf',
  startedAt: '2026-11-23T05:00:00.000Z',
  renewSeconds: 5,
  services: [],
};

class Daemon implements HealthDesk {
  readonly clock: VirtualClock;
  readonly told: number[] = [];
  withdrawn = 0;
  connected = 0;
  problem: IpvsError | null = null;
  answerMs = 0;

  constructor(clock: VirtualClock) {
    this.clock = clock;
  }

  async reportHealth(): Promise<void> {
    this.told.push(this.clock.nowMs());
    if (this.answerMs > 0) await new Promise<void>((resolve) => this.clock.after(this.answerMs, resolve));
    if (this.problem !== null) throw this.problem;
  }

  async withdrawHealth(): Promise<void> {
    if (this.answerMs > 0) await new Promise<void>((resolve) => this.clock.after(this.answerMs, resolve));
    this.withdrawn += 1;
  }

  async close(): Promise<void> {}
}

let clock: VirtualClock;
let daemon: Daemon;
let away: boolean;
let reporter: HealthReporter;
beforeEach(() => {
  clock = new VirtualClock();
  daemon = new Daemon(clock);
  away = false;
  reporter = new HealthReporter({
    clock,
    source: 'a',
    read: () => REPORT,
    connect: async () => {
      daemon.connected += 1;
      if (away) throw new IpvsError('ENOPROTOOPT', 'nobody');
      return daemon;
    },
  });
});

describe('health is told', () => {
  test('soon after a change, changes that come together once, and again every two seconds', async () => {
    for (let count = 0; count < 50; count++) reporter.changed();
    await clock.advance(5_000);
    expect(daemon.told).toEqual([100, 2_100, 4_100]);
    reporter.changed();
    await clock.advance(200);
    expect(daemon.told.slice(3)).toEqual([5_100]);
  });

  test('the less often the longer it takes, and never twice at once', async () => {
    daemon.answerMs = 300;
    for (let passed = 0; passed < 10_000; passed += 50) {
      reporter.changed();
      await clock.advance(50);
    }
    expect(daemon.told).toEqual([100, 3_100, 6_100, 9_100]);
  });

  test('again and again while the daemon is away, and after it came back', async () => {
    away = true;
    reporter.changed();
    await clock.advance(20_000);
    expect(daemon.told).toEqual([]);
    expect(daemon.connected).toBe(4);
    away = false;
    await clock.advance(5_000);
    expect(daemon.told.length).toBeGreaterThan(0);
  });

  test('once a minute to a daemon that does not know of health', async () => {
    daemon.problem = new IpvsError('ENOENT', 'there is nothing at "/v1/health/a"');
    reporter.changed();
    await clock.advance(130_000);
    expect(daemon.told).toHaveLength(3);
  });

  test('and taken back in the end, without waiting for a daemon that does not answer', async () => {
    reporter.changed();
    await clock.advance(200);
    await reporter.stop();
    expect(daemon.withdrawn).toBe(1);
    reporter.changed();
    await clock.advance(10_000);
    expect(daemon.told).toHaveLength(1);
    expect(clock.timerCount).toBe(0);
  });

  test('a daemon that hangs does not keep the program', async () => {
    daemon.answerMs = 3_600_000;
    reporter.changed();
    await clock.advance(200);
    let stopped = false;
    void reporter.stop().then(() => {
      stopped = true;
    });
    await clock.advance(1_000);
    expect(stopped).toBe(true);
  });
});

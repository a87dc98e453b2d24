/** Watches a simulation: integrals over time, counts, response times. */
import type { Server } from './cluster.ts';
import { type ChurnResult, quantile, type SimulationResult } from './result.ts';
import { type Scenario, serverName } from './scenario.ts';

const TIMELINE_POINTS = 200;

export class Observer {
  readonly #scenario: Scenario;
  readonly #servers: readonly Server[];
  readonly #requests: Float64Array;
  /** Integrals over time: of busy workers, of waiting requests. */
  readonly #busySeconds: Float64Array;
  readonly #waitingSeconds: Float64Array;
  readonly #queueMax: Float64Array;
  readonly #timeline: { seconds: number; all: number; fullest: number }[] = [];
  #responses = new Float64Array(1_024);
  #responseCount = 0;
  #refused = 0;

  constructor(scenario: Scenario, servers: readonly Server[]) {
    this.#scenario = scenario;
    this.#servers = servers;
    this.#requests = new Float64Array(servers.length);
    this.#busySeconds = new Float64Array(servers.length);
    this.#waitingSeconds = new Float64Array(servers.length);
    this.#queueMax = new Float64Array(servers.length);
  }

  /** Nothing changes between the two times. */
  advance(fromSeconds: number, toSeconds: number): void {
    const length = toSeconds - fromSeconds;
    if (length < 0) return;
    for (const { index, busy, waiting } of this.#servers) {
      this.#busySeconds[index] += busy * length;
      this.#waitingSeconds[index] += waiting.length * length;
      if (waiting.length > (this.#queueMax[index] as number)) this.#queueMax[index] = waiting.length;
    }
    const every = this.#scenario.seconds / TIMELINE_POINTS;
    while (this.#timeline.length * every <= toSeconds && this.#timeline.length <= TIMELINE_POINTS) {
      const loads = this.#servers.map(({ busy, waiting }) => busy + waiting.length);
      const all = loads.reduce((sum, load) => sum + load, 0);
      this.#timeline.push({ seconds: this.#timeline.length * every, all, fullest: Math.max(...loads) });
    }
  }

  refuse(): void {
    this.#refused++;
  }

  take({ index }: Server): void {
    this.#requests[index]++;
  }

  finish(responseSeconds: number): void {
    if (this.#responseCount === this.#responses.length) {
      const larger = new Float64Array(2 * this.#responses.length);
      larger.set(this.#responses);
      this.#responses = larger;
    }
    this.#responses[this.#responseCount++] = responseSeconds;
  }

  result(scheduler: string, requests: number, churn: readonly ChurnResult[]): SimulationResult {
    const { seconds, servers } = this.#scenario;
    const served = requests - this.#refused;
    const responses = this.#responses.slice(0, this.#responseCount).sort();
    const mean = responses.reduce((sum, value) => sum + value, 0) / Math.max(1, responses.length);
    const loads = servers.map(({ workers, speed }, index) => {
      return ((this.#busySeconds[index] as number) + (this.#waitingSeconds[index] as number)) / (workers * speed);
    });
    const loadMean = loads.reduce((sum, load) => sum + load, 0) / loads.length;
    return {
      scheduler,
      requests,
      refused: this.#refused,
      servers: servers.map(({ weight, workers }, index) => ({
        name: serverName(index),
        weight,
        requests: this.#requests[index] as number,
        share: served === 0 ? 0 : (this.#requests[index] as number) / served,
        utilisation: (this.#busySeconds[index] as number) / (workers * seconds),
        queueMean: (this.#waitingSeconds[index] as number) / seconds,
        queueMax: this.#queueMax[index] as number,
      })),
      responseSeconds: {
        mean,
        p50: quantile(responses, 0.5),
        p95: quantile(responses, 0.95),
        p99: quantile(responses, 0.99),
      },
      imbalance: loadMean === 0 ? 1 : Math.max(...loads) / loadMean,
      churn,
      timeline: this.#timeline,
    };
  }
}

/** The lab's client: Apache's `ab`, run until every request was answered or lost. */
import { fileURLToPath } from 'node:url';
import { hasProgram, LabError } from './host.ts';
import type { Lab } from './run.ts';

/** What one run of `ab` says about itself. */
export interface AbResult {
  /** Requests that came to an end, well or badly. */
  readonly completed: number;
  /** Of these, the ones that `ab` calls failed: refused, broken off, or answered with another length or status. */
  readonly failed: number;
  /** `null` when `ab` gave up before the end. */
  readonly requestsPerSecond: number | null;
  /** Why it gave up, in its own words, or `null`. */
  readonly gaveUp: string | null;
}

/** Reads what `ab` prints, on both outputs. */
export function parseAb(stdout: string, stderr: string): AbResult {
  const number = (pattern: RegExp) => {
    const found = pattern.exec(stdout)?.[1];
    return found === undefined ? null : Number(found);
  };
  const completed = number(/^Complete requests: +(\d+)/m);
  if (completed === null) {
    const reason = stderr.split('\n').filter((line) => line !== '' && !/^(Completed|Finished) /.test(line));
    return {
      completed: number(/Total of (\d+) requests completed/m) ?? 0,
      failed: 0,
      requestsPerSecond: null,
      gaveUp: reason.at(-1)?.trim() ?? 'no reason given',
    };
  }
  const refused = number(/^Non-2xx responses: +(\d+)/m) ?? 0;
  return {
    completed,
    failed: (number(/^Failed requests: +(\d+)/m) ?? 0) + refused,
    requestsPerSecond: number(/^Requests per second: +([\d.]+)/m),
    gaveUp: null,
  };
}

export interface TrafficOptions {
  readonly url: string;
  readonly requests: number;
  readonly concurrency: number;
  /** Servers will die: `ab` gives up a stalled connection after a few seconds and is started again for the rest. */
  readonly expectLoss: boolean;
  readonly signal: AbortSignal;
  /** Told whenever `ab` gave up and is started again. */
  readonly onLoss: (lost: number, why: string) => void;
}

export interface TrafficResult {
  readonly requests: number;
  readonly failed: number;
  readonly seconds: number;
  /** `ab`'s own figure when one run of it sufficed; otherwise answered requests over all the time. */
  readonly requestsPerSecond: number;
}

/** Stands in where there is no `ab`, and says its results in the same words. */
const HTTP_CLIENT = fileURLToPath(new URL('./http-client.js', import.meta.url));
/** After so many seconds without an answer `ab` gives up, when loss is expected. */
const STALL_SECONDS = 3;
/** Runs in a row without a single answer before the rest counts as lost. */
const FRUITLESS_RUNS_MAX = 12;

/** Sends `requests` requests from the lab's client, `concurrency` at a time. */
export async function runTraffic(lab: Lab, options: TrafficOptions): Promise<TrafficResult> {
  const begunMs = performance.now();
  let left = options.requests;
  let failed = 0;
  let ownRate: number | null = null;
  let fruitless = 0;
  while (left > 0 && fruitless < FRUITLESS_RUNS_MAX) {
    const concurrency = Math.min(options.concurrency, left);
    const result = await runAb(lab, left, concurrency, options);
    if (result.gaveUp === null) {
      failed += result.failed;
      if (left === options.requests) ownRate = result.requestsPerSecond;
      left = 0;
    } else {
      // Everything that was under way is lost; the clients start again with the rest.
      const lost = Math.min(concurrency, left - result.completed);
      options.onLoss(lost, result.gaveUp);
      failed += lost;
      left -= result.completed + lost;
      fruitless = result.completed === 0 ? fruitless + 1 : 0;
    }
  }
  const seconds = (performance.now() - begunMs) / 1000;
  failed += left;
  const rate = ownRate ?? (options.requests - failed) / seconds;
  return { requests: options.requests, failed, seconds, requestsPerSecond: Math.round(rate * 100) / 100 };
}

async function runAb(lab: Lab, requests: number, concurrency: number, options: TrafficOptions): Promise<AbResult> {
  const patience = options.expectLoss ? ['-r', '-s', String(STALL_SECONDS)] : [];
  const amount = ['-n', String(requests), '-c', String(concurrency), options.url];
  const words = hasProgram('ab') ? ['ab', ...patience, ...amount] : [process.execPath, HTTP_CLIENT, ...amount];
  const { code, stdout, stderr } = await lab.run(lab.client, words, { signal: options.signal });
  const result = parseAb(stdout, stderr);
  if (code !== 0 && result.gaveUp !== null && !options.expectLoss) {
    throw new LabError(`ab gave up after ${result.completed} requests: ${result.gaveUp}`);
  }
  return result;
}

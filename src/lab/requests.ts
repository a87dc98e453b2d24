/** Requests by `ab` while servers are broken and mended at their time, shown as they go. */
import { endpoint } from './addresses.ts';
import type { PowerStep } from './options.ts';
import { planServerPower } from './plan.ts';
import { formatPassing } from './report.ts';
import type { ScenarioRun } from './scenarios/kind.ts';
import { runTraffic, type TrafficResult } from './traffic.ts';

const WATCH_INTERVAL_MS = 200;

/** Sends all requests, with the steps of the options in between. */
export async function sendRequests(run: ScenarioRun): Promise<TrafficResult> {
  const { options } = run;
  run.progress.step(`client: ab -n ${options.requests} -c ${options.concurrency} ${urlOf(run)}`);
  return watched(run, async () => {
    const parts: TrafficResult[] = [];
    let sent = 0;
    for (const step of options.steps) {
      parts.push(...(await sendPart(run, step.afterRequests - sent)));
      sent = step.afterRequests;
      await takeStep(run, step);
    }
    parts.push(...(await sendPart(run, options.requests - sent)));
    return sumUp(parts);
  });
}

function urlOf({ lab }: ScenarioRun): string {
  return `http://${endpoint(lab.topology.virtualAddress, lab.topology.virtualPort)}/`;
}

/** Sends so many requests; no result for none. */
export async function sendPart(run: ScenarioRun, requests: number): Promise<TrafficResult[]> {
  if (requests === 0) return [];
  const { lab, options, progress, signal } = run;
  const onLoss = (lost: number, why: string) =>
    progress.notice(`${lost} requests under way were lost; ab said: ${inShort(why)}`);
  const concurrency = Math.min(options.concurrency, requests);
  const expectLoss = options.steps.length > 0;
  return [await runTraffic(lab, { url: urlOf(run), requests, concurrency, expectLoss, signal, onLoss })];
}

/** While `work` goes on: how far it is, and what the health checks say. */
export async function watched<T>(run: ScenarioRun, work: () => Promise<T>): Promise<T> {
  const { director, options, progress, servers } = run;
  const tellLog = () => {
    for (const line of director.newLogLines()) progress.detail(line);
  };
  const watch = setInterval(() => {
    tellLog();
    if (progress.live) progress.passing(formatPassing(servers.soFar(), options.requests));
  }, WATCH_INTERVAL_MS);
  try {
    return await work();
  } finally {
    clearInterval(watch);
    progress.clearPassing();
    tellLog();
  }
}

async function takeStep({ lab, progress, director }: ScenarioRun, step: PowerStep): Promise<void> {
  await lab.carryOut(planServerPower(lab.topology, lab.id, step.address, step.power));
  if (step.power === 'off') {
    progress.notice(`${step.address} lost its network after ${step.afterRequests} requests`);
    return;
  }
  progress.notice(`${step.address} has its network again; waiting for the health check to notice`);
  await director.waitForServers([step.address]);
}

export function sumUp(parts: readonly TrafficResult[]): TrafficResult {
  if (parts.length === 1) return parts[0];
  const sum = (of: (part: TrafficResult) => number) => parts.reduce((total, part) => total + of(part), 0);
  const requests = sum((part) => part.requests);
  const failed = sum((part) => part.failed);
  const seconds = sum((part) => part.seconds);
  return { requests, failed, seconds, requestsPerSecond: Math.round(((requests - failed) / seconds) * 100) / 100 };
}

/** `apr_socket_recv: Connection refused (111)` without the name of the call and the number. */
function inShort(reason: string): string {
  return reason.replace(/^apr_\w+(\(\))?: /, '').replace(/ \(\d+\)$/, '');
}

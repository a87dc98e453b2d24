/** What a person types for a scenario. Every function throws an Error whose message completes "... is invalid." */
import type { Arrivals, Change, Scenario, ServiceTime, SimulatedServer } from './scenario.ts';

const SERVERS_MAX = 1_024;

/** `1,1,2`: one number for each server. `min` and above, whole numbers only when `whole`. */
export function parseNumbers(text: string, min: number, whole: boolean): number[] {
  const numbers = text.split(',').map((word) => (word.trim() === '' ? Number.NaN : Number(word)));
  const right = numbers.every(
    (number) => Number.isFinite(number) && number >= min && (!whole || Number.isInteger(number)),
  );
  if (!right || text === '' || numbers.length > SERVERS_MAX) {
    const kind = whole ? 'whole numbers' : 'numbers';
    throw new Error(`It must be ${kind} of at least ${min} with commas between, such as 1,1,2.`);
  }
  return numbers;
}

/** `poisson`, `constant`, `burst:20`. */
export function parseArrivals(text: string): { kind: Arrivals['kind']; size: number } {
  const match = /^(poisson|constant)$|^burst:([1-9]\d{0,6})$/.exec(text);
  if (match === null) throw new Error('It must be poisson, constant or burst:SIZE, such as burst:20.');
  return { kind: (match[1] ?? 'burst') as Arrivals['kind'], size: Number(match[2] ?? 1) };
}

/** `exponential:20ms`, `constant:0.5s`, `pareto:20ms`. */
export function parseServiceTime(text: string): ServiceTime {
  const match = /^(exponential|constant|pareto):(\d+(?:\.\d+)?)(ms|s)$/.exec(text);
  const meanSeconds = match === null ? 0 : Number(match[2]) / (match[3] === 'ms' ? 1_000 : 1);
  if (match === null || meanSeconds <= 0) {
    throw new Error('It must be exponential, constant or pareto with a mean, such as exponential:20ms.');
  }
  return { kind: match[1] as ServiceTime['kind'], meanSeconds };
}

/** `10s rs2 down`, `10s rs2 up`, `10s rs2 weight 0`. */
export function parseChange(text: string): Change {
  const match = /^(\d+(?:\.\d+)?)s? +rs([1-9]\d{0,3}) +(?:(down|up)|weight +(\d{1,9}))$/.exec(text.trim());
  if (match === null) {
    throw new Error('It must be a time, a server and what happens, such as "10s rs2 down" or "10s rs2 weight 0".');
  }
  const place = { atSeconds: Number(match[1]), server: Number(match[2]) - 1 };
  if (match[3] !== undefined) return { kind: match[3] as 'down' | 'up', ...place };
  return { kind: 'weight', weight: Number(match[4]), ...place };
}

/** One setting for each server; a single one is for all. */
export function serversOf(weights: readonly number[], speeds: readonly number[], workers: number): SimulatedServer[] {
  if (speeds.length !== 1 && speeds.length !== weights.length) {
    throw new Error(
      `There are ${weights.length} weights and ${speeds.length} speeds; give one speed, or one for each.`,
    );
  }
  return weights.map((weight, index) => ({
    weight,
    speed: (speeds.length === 1 ? speeds[0] : speeds[index]) as number,
    workers,
  }));
}

/** Changes in order of time. Throws when one is about a server that is not there, or not possible at its time. */
export function changesOf(changes: readonly Change[], servers: number): Change[] {
  const sorted = [...changes].sort((a, b) => a.atSeconds - b.atSeconds);
  const down = new Set<number>();
  for (const change of sorted) {
    const name = `rs${change.server + 1}`;
    if (change.server >= servers) throw new Error(`There is no ${name}; there are rs1 to rs${servers}.`);
    if (change.kind === 'down' && down.has(change.server))
      throw new Error(`${name} is down already at ${change.atSeconds}s.`);
    if (change.kind === 'up' && !down.has(change.server))
      throw new Error(`${name} is up already at ${change.atSeconds}s.`);
    if (change.kind === 'down') down.add(change.server);
    if (change.kind === 'up') down.delete(change.server);
  }
  return sorted;
}

/** How busy all servers together will be: work that comes a second over work that they can do; above 1 queues grow. */
export function offeredLoad({ arrivals, serviceTime, servers }: Scenario): number {
  const capacity = servers.reduce((sum, { speed, workers }) => sum + speed * workers, 0);
  return (arrivals.perSecond * serviceTime.meanSeconds) / capacity;
}

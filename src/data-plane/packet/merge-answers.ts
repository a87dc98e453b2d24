/**
 * Several shards answer one question: their answers become one. What counts traffic or connections is added up; what
 * says how things are set is the same everywhere, and the first shard's is taken. Pure.
 */
import type { Answer, Command, CommandName, EngineCounters, HelperStatus, LinkCounters } from '../../model/commands.ts';
import type { DestinationStatus } from '../../model/destination.ts';
import { formatEndpoint, formatServiceKey, type ServiceStatus } from '../../model/service.ts';

type Merge<N extends CommandName> = (answers: readonly Answer<N>[]) => Answer<N>;

/** The other questions have the same answer everywhere. `listServices` and `listConnections` come in pages, and merge apart. */
const MERGES: { readonly [N in CommandName]?: Merge<N> } = {
  getService: (answers) => mergeService(answers),
  getTotals: (answers) => ({
    statistics: sums(answers.map(({ statistics }) => statistics)),
    rates: sums(answers.map(({ rates }) => rates)),
  }),
  getPerCpu: (answers) => ({
    processors: answers.flatMap(({ processors }) => processors).map((each, processor) => ({ ...each, processor })),
  }),
  listHelpers: (answers) => ({ helpers: mergeHelpers(answers.map(({ helpers }) => helpers)) }),
  listSourceNatRules: (answers) => ({
    inForce: first(answers).inForce,
    rules: first(answers).rules.map((rule, index) => ({
      ...rule,
      // A shard that hears of new rules a moment later counts by its old ones.
      hits: sum(answers.map(({ rules }) => (rules[index]?.text === rule.text ? rules[index].hits : 0))),
    })),
  }),
  // Only the shard that would get the packet answers.
  rehearse: (answers) => answers.find((answer) => answer !== null) ?? first(answers),
  // Each worker counts time from its own beginning; that of the first counts.
  readTrace: (answers) => ({
    traces: answers
      .flatMap(({ traces, nowMs }) =>
        traces.map((trace) => ({ ...trace, timeMs: trace.timeMs + first(answers).nowMs - nowMs })),
      )
      .sort((a, b) => a.timeMs - b.timeMs),
    nowMs: first(answers).nowMs,
    missed: sum(answers.map(({ missed }) => missed)),
  }),
  readCapture: (answers) => ({
    records: mergeRecords(answers.map(({ records }) => Buffer.from(records, 'base64'))),
    more: answers.some(({ more }) => more),
    lost: sum(answers.map(({ lost }) => lost)),
    begun: answers.some(({ begun }) => begun),
    links: first(answers).links,
  }),
  getCounters: (answers) => mergeCounters(answers),
  getLinkCounters: (answers) => ({ links: mergeLinks(answers.map(({ links }) => links)) }),
};

export function mergeAnswers<N extends CommandName>(command: Command<N>, answers: readonly Answer<N>[]): Answer<N> {
  const merge = MERGES[(command as Command).name] as Merge<N> | undefined;
  return merge === undefined ? first(answers) : merge(answers);
}

/** The same service in every shard. Destinations are in the order of the first. */
export function mergeService(statuses: readonly ServiceStatus[]): ServiceStatus {
  const byEndpoint = new Map<string, DestinationStatus[]>();
  for (const { destinations } of statuses) {
    for (const destination of destinations) {
      const endpoint = formatEndpoint(destination.spec.address, destination.spec.port);
      const same = byEndpoint.get(endpoint);
      if (same === undefined) byEndpoint.set(endpoint, [destination]);
      else same.push(destination);
    }
  }
  return {
    spec: first(statuses).spec,
    statistics: sums(statuses.map(({ statistics }) => statistics)),
    rates: sums(statuses.map(({ rates }) => rates)),
    destinations: [...byEndpoint.values()].map((same) => ({
      spec: first(same).spec,
      activeConnections: sum(same.map(({ activeConnections }) => activeConnections)),
      inactiveConnections: sum(same.map(({ inactiveConnections }) => inactiveConnections)),
      persistentConnections: sum(same.map(({ persistentConnections }) => persistentConnections)),
      statistics: sums(same.map(({ statistics }) => statistics)),
      rates: sums(same.map(({ rates }) => rates)),
    })),
  };
}

export function serviceText({ spec }: ServiceStatus): string {
  return formatServiceKey(spec.key);
}

function mergeHelpers(lists: readonly (readonly HelperStatus[])[]): HelperStatus[] {
  return first(lists).map((helper) => ({
    ...helper,
    connections: sum(
      lists.map(
        (list) =>
          list.find(({ name, protocol, port }) => {
            return name === helper.name && protocol === helper.protocol && port === helper.port;
          })?.connections ?? 0,
      ),
    ),
  }));
}

function mergeCounters(counters: readonly EngineCounters[]): EngineCounters {
  const shards = counters.flatMap((each) => each.shards ?? []);
  const fastPaths = counters.flatMap((each) => each.fastPath ?? []);
  return {
    verdicts: sums(counters.map(({ verdicts }) => verdicts)),
    drops: sums(counters.map(({ drops }) => drops)),
    passes: sums(counters.map(({ passes }) => passes)),
    connections: sum(counters.map(({ connections }) => connections)),
    connectionsMax: sum(counters.map(({ connectionsMax }) => connectionsMax)),
    ...(fastPaths.length === 0
      ? {}
      : {
          fastPath: {
            connections: sum(fastPaths.map(({ connections }) => connections)),
            packets: sum(fastPaths.map(({ packets }) => packets)),
            bytes: sum(fastPaths.map(({ bytes }) => bytes)),
          },
        }),
    ...(shards.length === 0 ? {} : { shards }),
  };
}

/** Records of captures, by their time. */
function mergeRecords(captures: readonly Buffer[]): string {
  const records = captures.flatMap((bytes) => {
    const found: { timeUs: number; record: Buffer }[] = [];
    for (let at = 0; at < bytes.length; ) {
      const recordBytes = bytes.readUInt32LE(at);
      found.push({ timeUs: bytes.readDoubleLE(at + 4), record: bytes.subarray(at, at + recordBytes) });
      at += recordBytes;
    }
    return found;
  });
  records.sort((a, b) => a.timeUs - b.timeUs);
  return Buffer.concat(records.map(({ record }) => record)).toString('base64');
}

/** Every shard has a ring of its own on every link: the slots add up. */
function mergeLinks(lists: readonly (readonly LinkCounters[])[]): LinkCounters[] {
  const byName = new Map<string, LinkCounters[]>();
  for (const counters of lists.flat()) {
    const same = byName.get(counters.link);
    if (same === undefined) byName.set(counters.link, [counters]);
    else same.push(counters);
  }
  return [...byName].map(([link, same]) => {
    const rings = same.flatMap(({ ring }) => (ring === null ? [] : [ring]));
    return {
      link,
      received: sum(same.map(({ received }) => received)),
      transmitted: sum(same.map(({ transmitted }) => transmitted)),
      receiveDrops: sum(same.map(({ receiveDrops }) => receiveDrops)),
      transmitErrors: sums(same.map(({ transmitErrors }) => transmitErrors)),
      ring: rings.length === 0 ? null : sums(rings),
    };
  });
}

function first<T>(list: readonly T[]): T {
  return list[0] as T;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}

/** Adds up what has the same name; of what some lack, those that have it. */
function sums<T extends object>(parts: readonly T[]): T {
  const total: Record<string, number> = {};
  for (const part of parts) {
    for (const [name, value] of Object.entries(part)) total[name] = (total[name] ?? 0) + (value as number);
  }
  return total as T;
}

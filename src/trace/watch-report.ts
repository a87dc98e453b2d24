/** What happened at the balancer while something ran: figures, and a verdict in words. */
import type { ServiceStatus } from '../model/service.ts';
import { formatEndpoint } from '../model/service.ts';
import type { Conversation, Conversations } from './conversations.ts';

const SLOWEST_MAX = 5;
/** A share of segments sent again that a healthy local network does not have. */
const SENT_AGAIN_SHARE = 0.01;
/** So much slower than the others together, and by more than that, is told. */
const SLOW_FACTOR = 3;
const SLOW_MS_MIN = 20;
/** Shares may differ so much from what the weights say before it is told, in percent of all connections. */
const UNEVEN_PERCENT = 10;
const FEW_CONNECTIONS = 30;

export interface ServerFigures {
  readonly server: string;
  readonly connections: number;
  /** Percent of all. */
  readonly share: number;
  /** The server did not answer the first packet. */
  readonly unanswered: number;
  /** The server answered, the client did not go on. */
  readonly halfOpen: number;
  readonly refused: number;
  readonly resetByServer: number;
  readonly resetByClient: number;
  readonly sentAgain: number;
  /** From the request to the first bytes of the answer, in milliseconds; `null`: none was seen. */
  readonly medianMs: number | null;
  readonly p99Ms: number | null;
  /** Answers do not pass the balancer. */
  readonly oneWay: boolean;
}

export interface SlowAnswer {
  readonly client: string;
  readonly server: string | null;
  readonly ms: number;
}

export interface WatchReport {
  readonly command: readonly string[];
  readonly exitCode: number;
  readonly seconds: number;
  readonly packets: number;
  readonly connections: number;
  readonly reusedPorts: number;
  readonly openedAgain: number;
  readonly segments: number;
  readonly sentAgain: number;
  readonly strays: number;
  readonly drops: Readonly<Record<string, number>>;
  /** Packets that were not seen, since they were not read in time; connections too many to be followed. */
  readonly lost: number;
  readonly notFollowed: number;
  readonly servers: readonly ServerFigures[];
  readonly slowest: readonly SlowAnswer[];
  readonly verdict: readonly string[];
  /** Something is not as it should be. */
  readonly findings: number;
}

export interface WatchFacts {
  readonly command: readonly string[];
  readonly exitCode: number;
  readonly seconds: number;
  readonly lost: number;
  readonly conversations: Conversations;
  readonly services: readonly ServiceStatus[];
}

export function watchReport(facts: WatchFacts): WatchReport {
  const { conversations, services } = facts;
  const { all } = conversations;
  const sum = (of: (each: Conversation) => number): number => all.reduce((total, each) => total + of(each), 0);
  const figures = {
    command: facts.command,
    exitCode: facts.exitCode,
    seconds: Number(facts.seconds.toFixed(3)),
    packets: conversations.packets,
    connections: all.length + conversations.notFollowed,
    reusedPorts: conversations.reused,
    openedAgain: sum(({ protocol, opens }) => (protocol === 'tcp' ? opens - 1 : 0)),
    segments: sum(({ segments }) => segments),
    sentAgain: sum(({ sentAgain }) => sentAgain),
    strays: conversations.strays,
    drops: Object.fromEntries(conversations.drops),
    lost: facts.lost,
    notFollowed: conversations.notFollowed,
    servers: serversOf(all),
    slowest: slowestOf(all),
  };
  const { good, bad } = judge(figures, services);
  return { ...figures, verdict: [...bad, ...good], findings: bad.length };
}

function serversOf(all: readonly Conversation[]): ServerFigures[] {
  const byServer = new Map<string, Conversation[]>();
  for (const each of all) {
    const server = each.server ?? '(none)';
    const list = byServer.get(server);
    if (list === undefined) byServer.set(server, [each]);
    else list.push(each);
  }
  return [...byServer]
    .map(([server, list]): ServerFigures => {
      const number = (is: (each: Conversation) => boolean): number => list.filter(is).length;
      const times = list.flatMap((each) => answerMs(each) ?? []).sort((a, b) => a - b);
      const oneWay = list.some((each) => each.oneWay);
      return {
        server,
        connections: list.length,
        share: Number(((100 * list.length) / all.length).toFixed(1)),
        unanswered: number((each) => !each.oneWay && !each.answered && !each.refused),
        halfOpen: number((each) => each.protocol === 'tcp' && !each.oneWay && each.answered && !each.established),
        refused: number(({ refused }) => refused),
        resetByServer: number(({ resetBy, refused }) => resetBy === 'server' && !refused),
        resetByClient: number(({ resetBy }) => resetBy === 'client'),
        sentAgain: list.reduce((total, { sentAgain }) => total + sentAgain, 0),
        medianMs: at(times, 0.5),
        p99Ms: at(times, 0.99),
        oneWay,
      };
    })
    .sort((one, other) => (one.server < other.server ? -1 : 1));
}

function answerMs({ requestUs, answerUs }: Conversation): number | null {
  return requestUs === null || answerUs === null ? null : Math.max(0, answerUs - requestUs) / 1000;
}

function at(sorted: readonly number[], share: number): number | null {
  const value = sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  return value === undefined ? null : Number(value.toFixed(3));
}

function slowestOf(all: readonly Conversation[]): SlowAnswer[] {
  return all
    .flatMap((each) => {
      const ms = answerMs(each);
      return ms === null ? [] : [{ client: each.client, server: each.server, ms: Number(ms.toFixed(3)) }];
    })
    .sort((one, other) => other.ms - one.ms)
    .slice(0, SLOWEST_MAX);
}

type Figures = Omit<WatchReport, 'verdict' | 'findings'>;

function judge(figures: Figures, services: readonly ServiceStatus[]): { good: string[]; bad: string[] } {
  const good: string[] = [];
  const bad: string[] = [];
  const { servers, connections, lost, sentAgain, segments, drops } = figures;
  if (figures.exitCode !== 0) bad.push(`The command ended with exit code ${figures.exitCode}.`);
  if (lost > 0) bad.push(`${count(lost, 'packet')} passed too quickly to be looked at: all figures are too low.`);
  if (connections === 0) {
    bad.push(
      figures.packets === 0
        ? 'Nothing came to the balancer. Does the command ask the virtual address, and does its way lead through this host?'
        : 'No connection began while the command ran.',
    );
    return { good, bad };
  }
  for (const server of servers) bad.push(...complaintsAbout(server));
  bad.push(...slowServers(servers));
  for (const [reason, packets] of Object.entries(drops)) {
    bad.push(`The balancer dropped ${count(packets, 'packet')}: ${reason}.`);
  }
  if (segments > 0 && sentAgain / segments > SENT_AGAIN_SHARE) {
    const share = ((100 * sentAgain) / segments).toFixed(1);
    bad.push(
      `${sentAgain} of ${segments} segments (${share} %) were sent again: packets are lost, or answers come late.`,
    );
  }
  if (figures.openedAgain > 0)
    bad.push(`Clients had to ask ${count(figures.openedAgain, 'time')} again for a connection (SYN).`);
  if (figures.strays > 0) {
    bad.push(
      `${count(figures.strays, 'segment')} belonged to no connection: the balancer does not know them, or no more.`,
    );
  }
  bad.push(...unevenness(figures, services));
  const unclean = servers.some(
    ({ unanswered, halfOpen, refused, resetByServer }) => unanswered + halfOpen + refused + resetByServer > 0,
  );
  const oneWay = servers.some((server) => server.oneWay);
  if (!unclean && servers.every(({ server }) => server !== '(none)')) {
    good.push(
      oneWay
        ? `${connections === 1 ? 'The one connection was' : `All ${connections} connections were`} given to a server. Answers go past the balancer, so nothing is known about them here.`
        : `All ${count(connections, 'connection')} were answered, none was reset by a server.`,
    );
  }
  if (servers.length > 1) good.push(`They were spread ${servers.map((each) => each.connections).join(' / ')}.`);
  if (figures.reusedPorts > 0) {
    good.push(`${count(figures.reusedPorts, 'connection')} came from a port that had been used before.`);
  }
  return { good, bad };
}

function complaintsAbout(server: ServerFigures): string[] {
  const { server: name, connections, unanswered, halfOpen, refused, resetByServer } = server;
  const of = (some: number): string => `${some} of ${count(connections, 'connection')}`;
  if (name === '(none)') return [`${count(connections, 'connection')} went to no server.`];
  return [
    ...(unanswered > 0
      ? [
          `${name} did not answer ${of(unanswered)}. Is it up, and do its answers come back through the balancer (its way to the client must lead there)?`,
        ]
      : []),
    ...(refused > 0 ? [`${name} refused ${of(refused)}: nothing listens there.`] : []),
    ...(halfOpen > 0 ? [`${name} answered ${of(halfOpen)} whose client did not go on (half open).`] : []),
    ...(resetByServer > 0 ? [`${name} broke off ${of(resetByServer)} (RST).`] : []),
  ];
}

function slowServers(servers: readonly ServerFigures[]): string[] {
  return servers.flatMap((server) => {
    const others = servers.flatMap((other) => (other === server || other.medianMs === null ? [] : [other.medianMs]));
    if (server.medianMs === null || others.length === 0) return [];
    const usual = others.reduce((sum, each) => sum + each, 0) / others.length;
    if (server.medianMs < SLOW_FACTOR * usual || server.medianMs - usual < SLOW_MS_MIN) return [];
    return [
      `${server.server} is slow: half of its answers took ${server.medianMs} ms or more, those of the others ${usual.toFixed(1)} ms.`,
    ];
  });
}

/** Only of schedulers that follow the weights, and when there is enough to judge by. */
function unevenness({ servers, connections }: Figures, services: readonly ServiceStatus[]): string[] {
  const used = services.filter(({ destinations }) =>
    destinations.some(({ spec }) => servers.some(({ server }) => server === formatEndpoint(spec.address, spec.port))),
  );
  const [service] = used;
  if (service === undefined || used.length > 1 || connections < FEW_CONNECTIONS) return [];
  if (!['rr', 'wrr'].includes(service.spec.scheduler) || service.spec.persistenceTimeoutSeconds !== null) return [];
  const weightOf = (weight: number): number => (service.spec.scheduler === 'rr' ? Math.min(weight, 1) : weight);
  const total = service.destinations.reduce((sum, { spec }) => sum + weightOf(spec.weight), 0);
  return service.destinations.flatMap(({ spec }) => {
    const name = formatEndpoint(spec.address, spec.port);
    const due = (100 * weightOf(spec.weight)) / total;
    const share = servers.find(({ server }) => server === name)?.share ?? 0;
    if (Math.abs(share - due) <= UNEVEN_PERCENT) return [];
    return [`${name} was given ${share} % of the connections; by its weight it should be ${due.toFixed(1)} %.`];
  });
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}

export function formatWatch(report: WatchReport): string {
  const { servers, slowest } = report;
  const cell = (value: string | number | null): string => String(value ?? '-').padStart(11);
  const titles = [
    'CONNS',
    '%',
    'NO ANSWER',
    'HALF OPEN',
    'REFUSED',
    'RST SRV',
    'RST CLI',
    'SENT AGAIN',
    'MEDIAN ms',
    'P99 ms',
  ];
  const width = Math.max(24, ...servers.map(({ server }) => server.length + 2));
  const lines = [
    `At the balancer, in ${report.seconds.toFixed(1)} s: ${count(report.packets, 'packet')}, ${count(report.connections, 'connection')}`,
    '',
    ...(servers.length === 0 ? [] : [`${'SERVER'.padEnd(width)}${titles.map(cell).join('')}`]),
    ...servers.map((each) => {
      const { connections, share, unanswered, halfOpen, refused, resetByServer, resetByClient, sentAgain } = each;
      const known = (value: number): number | null => (each.oneWay ? null : value);
      const cells = [
        known(unanswered),
        known(halfOpen),
        known(refused),
        known(resetByServer),
        resetByClient,
        sentAgain,
      ];
      return `${each.server.padEnd(width)}${[connections, share, ...cells, each.medianMs, each.p99Ms].map(cell).join('')}`;
    }),
    ...(servers.length === 0 ? [] : ['']),
    ...(slowest.length === 0
      ? []
      : ['Slowest answers', ...slowest.map(({ ms, server, client }) => `  ${ms} ms  ${server} to ${client}`), '']),
    ...report.verdict,
  ];
  return `${lines.join('\n')}\n`;
}

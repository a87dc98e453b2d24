/** Health reports as tables for people. */
import type { HealthOfServer, HealthOfService, HeldHealthReport } from '../model/health.ts';
import { formatEndpoint, formatServiceKey } from '../model/service.ts';
import { formatDuration } from './status.ts';

/** Changes below each service, unless the whole time line is asked for. */
const CHANGES_SHOWN = 5;
const NOBODY = `no program that checks real servers tells of their health
Start one, such as \`uldirectord ldirectord.cf start\`; it tells by itself.
`;

const HEADINGS = ['SERVER', 'STATE', 'SINCE', 'LATENCY', 'FAILURES', 'NEXT', 'LAST RESULT'];

export function formatHealth(reports: readonly HeldHealthReport[], wholeTimeline: boolean, nowMs: number): string {
  if (reports.length === 0) return NOBODY;
  return reports.map((held) => formatReport(held, wholeTimeline, nowMs)).join('\n');
}

function formatReport(held: HeldHealthReport, wholeTimeline: boolean, nowMs: number): string {
  const { report, receivedAt, stale } = held;
  const told = `told by ${report.program} (${report.configuration}, pid ${report.pid}) ${ago(receivedAt, nowMs)}`;
  const warning = `OUTDATED: ${report.program} has stopped telling; what is shown may not be true any more\n`;
  const services = report.services.map((service) => formatService(service, wholeTimeline, nowMs));
  const nothing = services.length === 0 ? 'its configuration has no services\n' : '';
  return `${told}\n${stale ? warning : ''}${nothing}${services.join('')}`;
}

function formatService(service: HealthOfService, wholeTimeline: boolean, nowMs: number): string {
  const { servers } = service;
  const up = servers.filter(({ state }) => state === 'up').length;
  const facts = [`${up} of ${servers.length} up`, service.check];
  if (service.fallback !== null) {
    facts.push(`fallback ${service.fallback} ${service.fallbackInUse ? 'IN USE' : 'not in use'}`);
  }
  const rows = [HEADINGS, ...servers.map((server) => cellsOf(server, nowMs))];
  const lines = [`\n${formatServiceKey(service.key)}  ${facts.join('; ')}`, ...alignRows(rows)];
  lines.push(...timelineOf(servers, wholeTimeline ? Number.POSITIVE_INFINITY : CHANGES_SHOWN, nowMs));
  return `${lines.join('\n')}\n`;
}

function cellsOf(server: HealthOfServer, nowMs: number): string[] {
  const { result } = server;
  return [
    formatEndpoint(server.address, server.port),
    server.state,
    ago(server.since, nowMs),
    result?.latencyMs == null ? '-' : formatLatency(result.latencyMs),
    `${server.failures}/${server.failuresMax}`,
    server.nextCheckAt === null ? '-' : until(server.nextCheckAt, nowMs),
    result === null ? 'not checked yet' : inOneLine(result.reason),
  ];
}

function alignRows(rows: readonly (readonly string[])[]): string[] {
  const widths = HEADINGS.map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column])).join('  ')}`.trimEnd());
}

/** The changes of all these servers, the newest first. */
function timelineOf(servers: readonly HealthOfServer[], shownMax: number, nowMs: number): string[] {
  const changes = servers
    .flatMap(({ address, port, changes: own }) =>
      own.map((change) => ({ ...change, server: formatEndpoint(address, port) })),
    )
    .sort((a, b) => b.number - a.number);
  if (changes.length === 0) return [];
  const shown = changes.slice(0, shownMax);
  const width = Math.max(...shown.map(({ server }) => server.length));
  const lines = shown.map(
    ({ at, server, state, reason }) =>
      `  ${localTime(at, nowMs)}  ${server.padEnd(width)}  ${state.padEnd(11)}  ${inOneLine(reason)}`,
  );
  const more = changes.length - shown.length;
  return ['  last changes:', ...lines, ...(more > 0 ? [`  ... and ${more} more: --timeline`] : [])];
}

/** What a server has answered is not to steer anybody's terminal. */
function inOneLine(text: string): string {
  return text.replace(/\p{Cc}+/gu, ' ');
}

function ago(time: string, nowMs: number): string {
  const seconds = Math.floor((nowMs - Date.parse(time)) / 1_000);
  return Number.isNaN(seconds) ? '?' : seconds < 1 ? 'just now' : `${formatDuration(seconds)} ago`;
}

function until(time: string, nowMs: number): string {
  const seconds = Math.ceil((Date.parse(time) - nowMs) / 1_000);
  return Number.isNaN(seconds) ? '?' : seconds < 1 ? 'now' : `in ${formatDuration(seconds)}`;
}

function formatLatency(ms: number): string {
  return ms >= 1_000 ? `${(ms / 1_000).toFixed(1)} s` : ms >= 10 ? `${Math.round(ms)} ms` : `${ms.toFixed(1)} ms`;
}

/** `14:03:07`, with the day before it when that is not today. */
function localTime(time: string, nowMs: number): string {
  const at = new Date(time);
  const two = (number: number): string => String(number).padStart(2, '0');
  const clock = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  if (at.toDateString() === new Date(nowMs).toDateString()) return clock;
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock}`;
}

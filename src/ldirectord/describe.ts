/** What a configuration means, in words for people and as data for programs: `uldirectord FILE check`. */
import { formatEndpoint, isMarkKey } from '../model/service.ts';
import { describeCheck } from './check-words.ts';
import { virtualIdentity } from './config/effective.ts';
import type { ConfigurationError } from './config/problem.ts';
import { formatExcerpt } from './config/problem.ts';
import type { Configuration, RealServer, VirtualServer } from './config/types.ts';

export interface Checked {
  readonly path: string;
  readonly text: string;
  /** One of them is `null`. */
  readonly configuration: Configuration | null;
  readonly error: ConfigurationError | null;
}

/** Keys of the JSON text of `check`. They stay; new ones may come. */
export function checkReport({ path, text, configuration, error }: Checked): Record<string, unknown> {
  return {
    configuration: path,
    valid: error === null,
    error: error === null ? null : errorReport(error, text),
    warnings: configuration?.warnings ?? [],
    globals: configuration?.globals ?? null,
    services: configuration?.virtuals.map(serviceReport) ?? [],
  };
}

function errorReport({ line, column, message, expected, nearest, remark }: ConfigurationError, text: string): unknown {
  const source = text.split('\n')[line - 1] ?? null;
  return { line, column, message: message.trim(), expected, nearest, remark, source };
}

function serviceReport(virtual: VirtualServer): unknown {
  const { key, line, scheduler, persistentSeconds, real, fallback, effective } = virtual;
  return {
    identity: virtualIdentity(key),
    key,
    line,
    scheduler,
    persistentSeconds,
    servers: real.map((server) => ({ ...server, check: checkWords(virtual, server) })),
    fallback,
    effective,
  };
}

/** Several lines, with the error or the warnings at the end. */
export function checkText({ path, text, configuration, error }: Checked): string {
  if (configuration === null) return error === null ? '' : formatExcerpt(error, text);
  const { virtuals, warnings } = configuration;
  const servers = virtuals.reduce((sum, { real }) => sum + real.length, 0);
  const lines = [
    `${path}: ${count(virtuals.length, 'virtual service')}, ${count(servers, 'real server')}, ` +
      count(warnings.length, 'warning'),
  ];
  for (const virtual of virtuals) lines.push('', ...serviceLines(virtual));
  lines.push('', ...globalLines(configuration));
  if (warnings.length > 0) lines.push('');
  for (const { line, text: warning } of [...warnings].sort((left, right) => left.line - right.line)) {
    lines.push(`warning${line > 0 ? ` at line ${line}` : ''}: ${warning}`);
  }
  return `${lines.join('\n')}\n`;
}

function serviceLines(virtual: VirtualServer): string[] {
  const { real, fallback, effective } = virtual;
  const rows = real.map((server) => serverWords(virtual, server));
  const widths = [0, 1, 2].map((column) => Math.max(0, ...rows.map((row) => row[column].length)));
  const common = new Set(real.map((server) => checkWords(virtual, server)));
  const lines = [`${headWords(virtual)}   (line ${virtual.line})`];
  real.forEach((server, index) => {
    const columns = rows[index].map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ');
    const check = common.size > 1 ? `  check: ${checkWords(virtual, server)}` : '';
    lines.push(`  ${columns}${check}`.trimEnd());
  });
  if (fallback !== null) {
    lines.push(`  ${formatEndpoint(fallback.address, fallback.port)}  ${fallback.forward}  while no server is up`);
  }
  if (common.size === 1) lines.push(`  check: ${[...common][0]}`);
  lines.push(`  down:  ${downWords(virtual)}`);
  if (effective.fallbackCommand !== null) lines.push(`  runs:  ${effective.fallbackCommand} start|stop ...`);
  const mail = mailWords(virtual);
  if (mail !== null) lines.push(`  mail:  ${mail}`);
  if (!effective.cleanStop) lines.push('  stop:  it stays in the table (cleanstop=no)');
  return lines;
}

function headWords(virtual: VirtualServer): string {
  const { key, protocol, scheduler, schedulerFlags, persistentSeconds, netmask, ops } = virtual;
  const name = isMarkKey(key)
    ? `firewall mark ${key.mark}${key.family === 'ipv6' ? ' (IPv6)' : ''}`
    : `${protocol} ${formatEndpoint(key.address, key.port)}`;
  const persistent =
    persistentSeconds === null ? '' : `, persistent ${persistentSeconds} s${netmask === null ? '' : ` by ${netmask}`}`;
  const flags = schedulerFlags === null ? '' : ` (${schedulerFlags})`;
  return `${name}, ${scheduler}${flags}${persistent}${ops && protocol === 'udp' ? ', one packet' : ''}`;
}

function serverWords({ key }: VirtualServer, server: RealServer): [string, string, string] {
  const port = isMarkKey(key) || server.forward === 'masq' ? server.port : key.port;
  const thresholds =
    server.upperThreshold > 0 ? `, ${server.lowerThreshold} to ${server.upperThreshold} connections` : '';
  return [formatEndpoint(server.address, port), server.forward, `weight ${server.weight}${thresholds}`];
}

function downWords({ effective, checkType }: VirtualServer): string {
  if (checkType === 'off' || checkType === 'on') return checkType === 'off' ? 'always' : 'never';
  const { failureCount, quiescent } = effective;
  const when = failureCount === 1 ? 'after 1 failed check' : `after ${failureCount} failed checks in a row`;
  const what = quiescent ? 'weight 0, old connections go on (quiescent=yes)' : 'out of the table (quiescent=no)';
  return `${when}: ${what}`;
}

/** What a server is asked differs from what the service asks when its line says so. */
function checkWords(virtual: VirtualServer, server: RealServer): string {
  const own = server.request === null || server.receive === null ? '' : `, asked for "${server.request}"`;
  const expected = own !== '' && server.receive !== '' ? ` expecting "${server.receive}"` : '';
  return `${describeCheck(virtual)}${own}${expected}`;
}

/** Of a service with settings of its own. */
function mailWords({ own }: VirtualServer): string | null {
  if (own.emailAlert === null && own.emailAlertSeconds === null && own.smtp === null) return null;
  const parts = [
    ...(own.emailAlert === null ? [] : [`to ${own.emailAlert}`]),
    ...(own.smtp === null ? [] : [`through ${own.smtp}`]),
    ...(own.emailAlertSeconds === null ? [] : [repeatWords(own.emailAlertSeconds)]),
  ];
  return parts.join(', ');
}

function globalLines({ globals }: Configuration): string[] {
  const { logFile, emailAlert, smtp, emailAlertSeconds, execute, callback, maintenanceDirectory } = globals;
  const lines = [`log:          ${logFile.startsWith('/') ? logFile : `syslog, facility ${logFile}`}`];
  if (emailAlert !== null) {
    const way = smtp === null ? 'through sendmail' : `through ${smtp}, port 25`;
    lines.push(`mail:         to ${emailAlert}, ${way}, ${repeatWords(emailAlertSeconds)}`);
  }
  lines.push(`changed file: ${globals.autoReload ? 'read again' : 'left alone until a reload'} (autoreload)`);
  if (callback !== null) lines.push(`              then ${callback} is run`);
  if (execute.length > 0) lines.push(`execute:      ${execute.join(', ')} start, reload and stop with this one`);
  if (maintenanceDirectory !== null) lines.push(`maintenance:  files in ${maintenanceDirectory}, named like a server`);
  if (globals.supervised) lines.push('supervised:   in the foreground, log on standard output, no pid file');
  return lines;
}

function repeatWords(seconds: number): string {
  return seconds === 0 ? 'once' : `again every ${seconds} s while a server is down`;
}

/** `1 warning`, `2 warnings` */
export function count(number: number, thing: string): string {
  return `${number} ${thing}${number === 1 ? '' : 's'}`;
}

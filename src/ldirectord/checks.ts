/** Which check a configured server gets, and the refusal of what cannot be checked yet. */
import type { CheckerKind, CheckTarget } from '../health/checker.ts';
import { CHECKERS, type CheckerName } from '../health/checkers/index.ts';
import { isMarkKey } from '../model/service.ts';
import { checkPort, checkUrl } from './config/effective.ts';
import { ConfigurationError, nearestWord } from './config/problem.ts';
import type { Configuration, RealServer, ServiceType, VirtualServer } from './config/types.ts';
import { translatePerlRegex } from './perl-regex.ts';
import { SCHEDULER_FLAG_WORDS } from './specs.ts';

/** The checker behind each service type of `negotiate`; the others come later. */
const NEGOTIATORS: Partial<Readonly<Record<ServiceType, CheckerName>>> = {
  http: 'http',
  https: 'http',
  http_proxy: 'http',
  none: 'on',
  simpletcp: 'simpletcp',
};

export interface PlannedCheck {
  readonly checker: CheckerName;
  readonly target: CheckTarget;
  /** `combined`: so many connects follow each good negotiation. */
  readonly cheap?: { readonly checker: CheckerName; readonly timeoutMs: number; readonly count: number };
  /** `combined`: the time of the negotiation; the target's own is the longer of the two. */
  readonly thoroughTimeoutMs?: number;
}

/** `null`: this server is never checked (`checktype=off`). */
export function planCheck(virtual: VirtualServer, server: RealServer): PlannedCheck | null {
  const { checkType } = virtual;
  const checkTimeoutMs = virtual.effective.checkTimeoutSeconds * 1_000;
  const target = { address: server.address, port: checkPort(virtual, server) ?? 0, timeoutMs: checkTimeoutMs };
  switch (checkType) {
    case 'off':
      return null;
    case 'on':
      // Nothing is contacted, so one check serves everybody.
      return { checker: 'on', target: { address: '', port: 0, timeoutMs: 0 } };
    case 'ping':
      return planPing(virtual, target);
    case 'connect':
      return virtual.protocol === 'udp' ? planPing(virtual, target) : { checker: 'connect', target };
    case 'external':
    case 'external-perl':
      return {
        checker: checkType,
        target: { ...target, command: virtual.checkCommand, arguments: externalArguments(virtual, server) },
      };
    case 'negotiate':
      return planNegotiate(virtual, server);
    case 'combined': {
      const thorough = planNegotiate(virtual, server);
      const timeoutMs = Math.max(thorough.target.timeoutMs, checkTimeoutMs);
      const cheap = {
        checker: 'connect',
        timeoutMs: checkTimeoutMs,
        count: virtual.connectsBetweenNegotiates,
      } as const;
      return {
        ...thorough,
        target: { ...thorough.target, ...target, timeoutMs },
        thoroughTimeoutMs: thorough.target.timeoutMs,
        cheap,
      };
    }
  }
}

/** The port plays no part, so servers that differ in it alone share their echoes. */
function planPing(virtual: VirtualServer, { address, timeoutMs }: CheckTarget): PlannedCheck {
  return { checker: 'ping', target: { address, port: 0, timeoutMs, attempts: virtual.effective.checkCount } };
}

function externalArguments({ key }: VirtualServer, server: RealServer): string[] {
  const bracketed = (address: string) => (address.includes(':') ? `[${address}]` : address);
  const service = isMarkKey(key) ? [String(key.mark), '0'] : [bracketed(key.address), String(key.port)];
  return [...service, bracketed(server.address), String(server.port)];
}

function planNegotiate(virtual: VirtualServer, server: RealServer): PlannedCheck {
  const { service, httpMethod: method, virtualHost } = virtual;
  const checker = NEGOTIATORS[service] ?? 'on';
  const timeoutMs = virtual.effective.negotiateTimeoutSeconds * 1_000;
  const target = { address: server.address, port: checkPort(virtual, server) ?? 0, timeoutMs };
  const own = server.request !== null && server.receive !== null;
  const receiveText = own ? server.receive! : virtual.receive;
  const receive = receiveText === '' ? {} : { receive: translatePerlRegex(receiveText) };
  if (checker === 'http') {
    const host = virtualHost === null || service === 'http_proxy' ? {} : { virtualHost };
    const proxy = service === 'http_proxy' ? { proxy: true } : {};
    return { checker, target: { ...target, ...receive, ...host, ...proxy, method, url: checkUrl(virtual, server) } };
  }
  if (checker === 'simpletcp') {
    const written = (own ? server.request! : virtual.request).replace(/^\//, '').replaceAll('\\n', '\n');
    const request = Buffer.from(written, 'utf8').toString('latin1');
    return { checker, target: { ...target, ...receive, request } };
  }
  return { checker: 'on', target: { address: '', port: 0, timeoutMs: 0 } };
}

/**
 * Rejects with a ConfigurationError that names the line when the file asks for something this version cannot do,
 * or this host cannot. Such a file is correct; it is refused before anything happens rather than half obeyed.
 */
export async function refuseUnsupported(configuration: Configuration): Promise<void> {
  const { virtuals } = configuration;
  const asked = new Map<CheckerName, string | null>();
  for (const virtual of virtuals) {
    refuseService(virtual);
    refuseSchedulerFlags(virtual);
    for (const server of virtual.real) await refuseCheck(virtual, server, asked);
  }
}

function refuseService(virtual: VirtualServer): void {
  const { checkType, service, protocol } = virtual;
  if (checkType !== 'negotiate' && checkType !== 'combined') return;
  const line = virtual.directiveLines['service'] ?? virtual.line;
  if (NEGOTIATORS[service] === undefined) {
    const how = virtual.directiveLines['service'] === undefined ? ', chosen by the port of the service' : '';
    throw refusal(
      line,
      `negotiate check of service ${service}${how}: not supported yet; use checktype=connect or ping`,
    );
  }
  if (service === 'simpletcp' && protocol === 'udp') {
    throw refusal(line, 'negotiate check of service simpletcp over udp: not supported yet; use checktype=ping');
  }
}

function refuseSchedulerFlags({ schedulerFlags, directiveLines, line }: VirtualServer): void {
  for (const word of schedulerFlags?.split(',') ?? []) {
    if (SCHEDULER_FLAG_WORDS.includes(word)) continue;
    throw new ConfigurationError(
      { line: directiveLines['schedflags'] ?? line, column: 1 },
      `invalid sched-flags: unknown flag "${word}"`,
      { expected: `some of ${SCHEDULER_FLAG_WORDS.join(', ')}`, nearest: nearestWord(word, SCHEDULER_FLAG_WORDS) },
    );
  }
}

/** `asked`: kinds of check whose answer is known. */
async function refuseCheck(
  virtual: VirtualServer,
  server: RealServer,
  asked: Map<CheckerName, string | null>,
): Promise<void> {
  let plan: PlannedCheck | null;
  try {
    plan = planCheck(virtual, server);
  } catch (error) {
    const own = server.receive !== null;
    const line = own ? server.line : (virtual.directiveLines['receive'] ?? virtual.line);
    throw refusal(line, `receive: ${(error as Error).message}`);
  }
  if (plan === null) return;
  const line = virtual.directiveLines['checktype'] ?? virtual.line;
  for (const checker of plan.cheap === undefined ? [plan.checker] : [plan.checker, plan.cheap.checker]) {
    if (!asked.has(checker)) asked.set(checker, (await (CHECKERS[checker] as CheckerKind).refusal?.()) ?? null);
    const sentence = asked.get(checker) ?? null;
    if (sentence !== null) throw refusal(line, sentence);
  }
}

function refusal(line: number, text: string): ConfigurationError {
  return new ConfigurationError({ line, column: 1 }, text);
}

/** Warnings of our own: what the original accepts without a word although it does not do what was meant. */
import { PERSISTENCE_TIMEOUT_SECONDS_MAX, WEIGHT_MAX } from '../../model/limits.ts';
import { formatEndpoint, isMarkKey } from '../../model/service.ts';
import { type ConfigurationWarning, nearestWord } from './problem.ts';
import type { GlobalSettings, VirtualServer } from './types.ts';

/** What the data plane can do; the original takes any word and hears from ipvsadm later that it will not do. */
export const SCHEDULER_NAMES: readonly string[] = 'rr wrr lc wlc sed nq dh sh mh lblc lblcr fo ovf twos none'.split(
  ' ',
);
const MARK_MAX = 0xffff_ffff;

/** Says something about a line of the file. */
type Warn = (line: number, text: string) => void;

export function globalTrapWarnings(
  globals: Readonly<GlobalSettings>,
  lines: Readonly<Record<string, number>>,
): ConfigurationWarning[] {
  const [warnings, warn] = collect();
  if (globals.fork) {
    warn(
      lines['fork'],
      'fork=yes: not needed here, since checks never wait for each other; its other effect, checkinterval in a block, is kept',
    );
  }
  if (globals.emailAlertSeconds > 0 && globals.emailAlert === null) {
    warn(
      lines['emailalertfreq'],
      'emailalertfreq: without a global emailalert it counts for blocks that have their own',
    );
  }
  return warnings;
}

/** Traps that are seen on a finished service; those of single lines are warned about where the line is read. */
export function trapWarnings(virtual: VirtualServer): ConfigurationWarning[] {
  const [warnings, warn] = collect();
  warnAboutService(virtual, warn);
  warnAboutCheck(virtual, warn);
  warnAboutServers(virtual, warn);
  return warnings;
}

function collect(): [ConfigurationWarning[], Warn] {
  const warnings: ConfigurationWarning[] = [];
  return [warnings, (line, text) => warnings.push({ line: line ?? 0, text, origin: 'uipvs' })];
}

function warnAboutService(virtual: VirtualServer, warn: Warn): void {
  const { key, directiveLines } = virtual;
  const at = (directive: string) => directiveLines[directive] ?? virtual.line;
  if (virtual.fallbackUnusable) {
    const text = 'the global fallback is used for this mark; the original cannot do that for firewall marks';
    warn(virtual.line, `virtual server: ${text}`);
  }
  if (isMarkKey(key) && (key.mark < 1 || key.mark > MARK_MAX)) {
    warn(
      virtual.line,
      `virtual server: a firewall mark is a number from 1 to ${MARK_MAX}; ${key.mark} is refused later`,
    );
  }
  if (!SCHEDULER_NAMES.includes(virtual.scheduler)) {
    const nearest = nearestWord(virtual.scheduler, SCHEDULER_NAMES);
    const meant = nearest === null ? '' : `; did you mean ${nearest}?`;
    warn(at('scheduler'), `scheduler=${virtual.scheduler}: there is no such scheduler${meant}`);
  }
  if (virtual.netmask !== null && virtual.persistentSeconds === null) {
    warn(at('netmask'), 'netmask: without persistent it has no effect');
  }
  if (virtual.netmask !== null && virtual.family === 'ipv4' && !isNetmask(virtual.netmask)) {
    warn(at('netmask'), `netmask: ${virtual.netmask} is no mask; what 255.255.255.0 looks like was meant`);
  }
  if ((virtual.persistentSeconds ?? 1) < 1 || (virtual.persistentSeconds ?? 1) > PERSISTENCE_TIMEOUT_SECONDS_MAX) {
    warn(at('persistent'), `persistent: the time must be 1 to ${PERSISTENCE_TIMEOUT_SECONDS_MAX} seconds`);
  }
  if (virtual.ops && virtual.protocol !== 'udp') warn(at('ops'), 'ops=yes: only udp services can do that');
}

function warnAboutCheck(virtual: VirtualServer, warn: Warn): void {
  const { key, checkType, service, directiveLines } = virtual;
  const at = (directive: string) => directiveLines[directive] ?? virtual.line;
  if (checkType === 'off') {
    warn(at('checktype'), 'checktype=off: no real server of this service is ever used, only its fallback');
  }
  if (checkType.startsWith('external') && directiveLines['checkcommand'] === undefined) {
    warn(at('checktype'), `checktype=${checkType}: without checkcommand it is /bin/true, which is always content`);
  }
  if (checkType !== 'negotiate' && checkType !== 'combined') return;
  if (service === 'none' && directiveLines['service'] === undefined) {
    const why = isMarkKey(key) ? 'a firewall mark has no port' : `port ${key.port} is that of no known service`;
    warn(
      virtual.line,
      `virtual server: nothing is checked, all servers count as up; ${why}, so say checktype or service`,
    );
  }
  if (service === 'dns' && virtual.receive === '') {
    warn(at('service'), 'service=dns: without receive the check always fails');
  }
  if (virtual.httpMethod === 'HEAD' && virtual.receive !== '' && service.startsWith('http')) {
    warn(at('httpmethod'), 'httpmethod=HEAD: the answer has no body, so receive never matches');
  }
}

function warnAboutServers(virtual: VirtualServer, warn: Warn): void {
  const { key } = virtual;
  if (virtual.real.length === 0 && virtual.fallback === null) {
    warn(virtual.line, 'virtual server: it has neither a real server nor a fallback, so it answers nobody');
  }
  const seen = new Map<string, number>();
  for (const real of virtual.real) {
    const name = formatEndpoint(real.address, real.port);
    const before = seen.get(name);
    if (before !== undefined)
      warn(real.line, `real server: ${name} is in line ${before} already; this one has no effect`);
    else seen.set(name, real.line);
    if (real.weight > WEIGHT_MAX) warn(real.line, `real server: a weight of more than ${WEIGHT_MAX} is refused later`);
    if (real.upperThreshold > 0 && real.lowerThreshold > real.upperThreshold) {
      warn(real.line, 'real server: the lower threshold is above the upper one, which is refused later');
    }
    if (isMarkKey(key) || real.forward === 'masq' || real.port === key.port) continue;
    warn(
      real.line,
      `real server: ${name} is used with port ${key.port}, that of the service: ${real.forward} cannot change ports`,
    );
  }
}

function isNetmask(text: string): boolean {
  const octets = text.split('.').map(Number);
  if (octets.some((octet) => octet > 255)) return false;
  const bits = octets.map((octet) => octet.toString(2).padStart(8, '0')).join('');
  return /^1+0*$/.test(bits);
}

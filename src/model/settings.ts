/** Timeouts and tunables, with the kernel's names, defaults and ranges (net.ipv4.vs.*). */
import { IpvsError } from './errors.ts';

/** `ipvsadm --set`: seconds. */
export interface Timeouts {
  readonly tcpSeconds: number;
  readonly tcpFinSeconds: number;
  readonly udpSeconds: number;
}

export const DEFAULT_TIMEOUTS: Timeouts = { tcpSeconds: 900, tcpFinSeconds: 120, udpSeconds: 300 };

/** 0 leaves a value alone. EINVAL for what is no whole number of seconds or too long; then nothing has changed. */
export function mergeTimeouts(current: Timeouts, wanted: Timeouts): Timeouts {
  for (const name of ['tcpSeconds', 'tcpFinSeconds', 'udpSeconds'] as const) {
    const value: unknown = wanted?.[name];
    if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= SECONDS_MAX) continue;
    throw new IpvsError('EINVAL', `timeouts.${name} must be a whole number of seconds, 0 to ${SECONDS_MAX}`);
  }
  return {
    tcpSeconds: wanted.tcpSeconds || current.tcpSeconds,
    tcpFinSeconds: wanted.tcpFinSeconds || current.tcpFinSeconds,
    udpSeconds: wanted.udpSeconds || current.udpSeconds,
  };
}

/** Kernel ticks a second (HZ) of the recorded kernel; persistence timeouts in /proc are in ticks. */
export const TICKS_PER_SECOND = 250;

const INT_MIN = -(2 ** 31);
const INT_MAX = 2 ** 31 - 1;
/** Settings in seconds are kept in ticks, in 32 bits. */
const SECONDS_MAX = Math.floor(INT_MAX / TICKS_PER_SECOND);

interface SettingRule {
  readonly default: number;
  readonly min: number;
  readonly max: number;
  readonly what: string;
}

const int = (value: number, what: string, min = INT_MIN, max = INT_MAX): SettingRule => ({
  default: value,
  min,
  max,
  what,
});
const seconds = (value: number, what: string): SettingRule => int(value, what, -SECONDS_MAX, SECONDS_MAX);

/** Every setting that is one number. Source: Documentation/networking/ipvs-sysctl.rst of the kernel. */
export const NUMBER_SETTINGS = {
  am_droprate: int(10, 'with drop_packet 3, one of so many new connections is dropped; 0: none'),
  amemthresh: int(1024, 'pages of free memory below which the automatic defences start'),
  backup_only: int(0, 'while the backup daemon runs, forward nothing'),
  cache_bypass: int(0, 'forward to the original destination when a firewall-mark service has no server'),
  conn_reuse_mode: int(1, 'what to do when a client uses the port of a closed connection again'),
  conntrack: int(0, 'keep connection tracking entries'),
  drop_entry: int(0, 'defence: drop random entries', 0, 3),
  drop_packet: int(0, 'defence: drop packets of new connections', 0, 3),
  expire_nodest_conn: int(0, 'expire connections whose destination was deleted'),
  expire_quiescent_template: int(0, 'persistence ends when a destination gets weight 0'),
  ignore_tunneled: int(0, 'never schedule packets that were unpacked from a tunnel'),
  lblc_expiration: seconds(86_400, 'seconds an unused cache entry of lblc lives'),
  lblcr_expiration: seconds(86_400, 'seconds an unused cache entry of lblcr lives'),
  nat_icmp_send: int(0, 'answer packets of NAT servers that belong to no connection'),
  pmtu_disc: int(1, 'path MTU discovery for tunnels'),
  run_estimation: int(1, 'estimate rates'),
  schedule_icmp: int(0, 'schedule ICMP errors that belong to no connection'),
  secure_tcp: int(0, 'defence: a stricter TCP state table', 0, 3),
  sloppy_sctp: int(0, 'any SCTP packet may open a connection'),
  sloppy_tcp: int(0, 'any TCP segment may open a connection'),
  snat_reroute: int(1, 'route replies by their new source'),
  sync_persist_mode: int(0, 'synchronise templates only, not their members'),
  sync_ports: int(1, 'threads of the synchronisation daemon; a power of two', 1, INT_MAX),
  sync_qlen_max: int(32_768, 'synchronisation messages that may wait', 0, INT_MAX),
  sync_refresh_period: seconds(0, 'seconds after which a connection is synchronised again'),
  sync_retries: int(0, 'repetitions of a synchronisation message', 0, 3),
  sync_sock_size: int(0, 'socket buffer of the synchronisation daemon'),
  sync_version: int(1, 'version of the messages that the master sends', 0, 1),
} as const satisfies Record<string, SettingRule>;

export type NumberSettingName = keyof typeof NUMBER_SETTINGS;
export type SettingName = NumberSettingName | 'sync_threshold';

/** All settings, as values. Changed in place by `writeSetting` only. */
export type Settings = Record<NumberSettingName, number> & {
  /** At which packet a connection is synchronised, and after how many again. */
  sync_threshold: readonly [threshold: number, period: number];
};

export const SETTING_NAMES: readonly SettingName[] = [
  ...(Object.keys(NUMBER_SETTINGS) as NumberSettingName[]),
  'sync_threshold' as const,
].sort();

export function defaultSettings(): Settings {
  const numbers = Object.fromEntries(Object.entries(NUMBER_SETTINGS).map(([name, rule]) => [name, rule.default]));
  return { ...(numbers as Record<NumberSettingName, number>), sync_threshold: [3, 50] };
}

/** ENOENT for a name that is none. */
export function requireSettingName(name: unknown): SettingName {
  if (name === 'sync_threshold') return name;
  if (typeof name === 'string' && Object.hasOwn(NUMBER_SETTINGS, name)) return name as NumberSettingName;
  throw new IpvsError('ENOENT', `there is no setting ${JSON.stringify(name) ?? 'without a name'}`);
}

/** The text that /proc/sys/net/ipv4/vs/<name> has, without the line end. */
export function readSetting(settings: Settings, name: SettingName): string {
  return name === 'sync_threshold' ? settings.sync_threshold.join('\t') : String(settings[name]);
}

/**
 * Takes `text` as the kernel does when it is written to the file. EINVAL when it is no number or out of range; then
 * nothing has changed. Empty text changes nothing.
 */
export function writeSetting(settings: Settings, name: SettingName, text: string): void {
  const words = text
    .trim()
    .split(/[ \t\n]+/)
    .filter((word) => word !== '');
  if (words.length === 0) return;
  if (name === 'sync_threshold') {
    const first = readNumber(name, words[0] as string);
    const second = words.length > 1 ? readNumber(name, words[1] as string) : settings.sync_threshold[1];
    if (first < 0 || second < 0 || (second !== 0 && first >= second)) {
      throw refused(name, text, 'a threshold below the period that follows it');
    }
    settings.sync_threshold = [first, second];
    return;
  }
  const { min, max } = NUMBER_SETTINGS[name];
  const value = readNumber(name, words[0] as string);
  if (value < min || value > max) throw refused(name, text, `between ${min} and ${max}`);
  if (name === 'sync_ports' && (value & (value - 1)) !== 0) throw refused(name, text, 'a power of two');
  settings[name] = value;
}

/** Decimal, hexadecimal with 0x, octal with 0, with a sign: as in C. */
function readNumber(name: SettingName, word: string): number {
  const match = /^(-?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9]\d*)$/.exec(word);
  if (match === null) throw refused(name, word, 'a whole number');
  const digits = match[2] as string;
  const size = /^0[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number(digits);
  const value = match[1] === '-' ? 0 - size : size;
  if (value < INT_MIN || value > INT_MAX) throw refused(name, word, 'a 32-bit number');
  return value;
}

function refused(name: SettingName, text: string, wanted: string): IpvsError {
  return new IpvsError('EINVAL', `${name} must be ${wanted}, not ${JSON.stringify(text)}`);
}

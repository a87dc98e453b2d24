/** The meaning of an ldirectord configuration file, as plain data. Seconds are whole seconds. */
import type { AddressFamily, ServiceKey } from '../../model/service.ts';
import type { ConfigurationWarning } from './problem.ts';

/** `gate` is direct routing, `ipip` a tunnel. */
export type ForwardWord = 'gate' | 'masq' | 'ipip';
export const FORWARD_WORDS: readonly ForwardWord[] = ['gate', 'masq', 'ipip'];

export type CheckType = 'connect' | 'negotiate' | 'ping' | 'off' | 'on' | 'external' | 'external-perl' | 'combined';

export type DaemonState = 'starting' | 'running' | 'stopping' | 'reloading';

/** Default port of each service type; `null`: none. */
export const SERVICE_PORTS = {
  dns: 53,
  ftp: 21,
  http: 80,
  https: 443,
  http_proxy: 3128,
  imap: 143,
  imaps: 993,
  ldap: 389,
  ldaps: 636,
  mysql: 3306,
  nntp: 119,
  none: null,
  oracle: 1521,
  pgsql: 5432,
  pop: 110,
  pops: 995,
  radius: 1812,
  simpletcp: null,
  sip: 5060,
  smtp: 25,
  submission: 587,
} as const;
export type ServiceType = keyof typeof SERVICE_PORTS;

export interface FallbackServer {
  /** Canonical, IPv6 without brackets. */
  readonly address: string;
  /** `null` in global settings: the port of the service that falls back. */
  readonly port: number | null;
  readonly forward: ForwardWord;
}

/** Settings that stand before, between or after the blocks. `null`: not set. */
export interface GlobalSettings {
  checkTimeoutSeconds: number | null;
  negotiateTimeoutSeconds: number | null;
  checkIntervalSeconds: number;
  checkCount: number;
  failureCount: number;
  autoReload: boolean;
  callback: string | null;
  fallback: FallbackServer | null;
  fallback6: FallbackServer | null;
  fallbackCommand: string | null;
  /** A path that begins with `/`, or a syslog facility. */
  logFile: string;
  emailAlert: string | null;
  emailAlertFrom: string | null;
  emailAlertSeconds: number;
  emailAlertStates: readonly DaemonState[];
  smtp: string | null;
  execute: string[];
  supervised: boolean;
  fork: boolean;
  quiescent: boolean;
  readdQuiescent: boolean;
  cleanStop: boolean;
  maintenanceDirectory: string | null;
}

export interface RealServer {
  readonly line: number;
  /** Canonical, IPv6 without brackets. */
  readonly address: string;
  /** 0 when not written. */
  readonly port: number;
  readonly forward: ForwardWord;
  readonly weight: number;
  /** 0: none. */
  readonly lowerThreshold: number;
  readonly upperThreshold: number;
  /** The server's own pair; a request alone (its receive string was lost) changes nothing. */
  readonly request: string | null;
  readonly receive: string | null;
}

/** What a block may say about itself that the global settings also say. */
export interface VirtualOverrides {
  checkTimeoutSeconds: number | null;
  negotiateTimeoutSeconds: number | null;
  checkIntervalSeconds: number | null;
  checkCount: number | null;
  failureCount: number | null;
  fallback: FallbackServer | null;
  fallbackCommand: string | null;
  quiescent: boolean | null;
  cleanStop: boolean | null;
  emailAlert: string | null;
  emailAlertSeconds: number | null;
  emailAlertStates: readonly DaemonState[] | null;
  smtp: string | null;
}

export interface EffectiveSettings {
  readonly checkTimeoutSeconds: number;
  readonly negotiateTimeoutSeconds: number;
  readonly checkIntervalSeconds: number;
  readonly checkCount: number;
  readonly failureCount: number;
  readonly quiescent: boolean;
  readonly cleanStop: boolean;
  readonly fallbackCommand: string | null;
}

export interface VirtualFallback {
  readonly address: string;
  readonly port: number;
  readonly forward: ForwardWord;
  readonly source: 'block' | 'global';
}

export interface VirtualServer {
  /** Line of `virtual=`. */
  readonly line: number;
  /** Line of each directive of the block, by name; of a repeated one the last. */
  readonly directiveLines: Readonly<Record<string, number>>;
  readonly family: AddressFamily;
  readonly key: ServiceKey;
  readonly protocol: 'tcp' | 'udp' | 'fwm';
  readonly scheduler: string;
  readonly schedulerFlags: string | null;
  readonly persistentSeconds: number | null;
  readonly netmask: string | null;
  readonly ops: boolean;
  readonly checkType: CheckType;
  /** For `combined`. */
  readonly connectsBetweenNegotiates: number;
  readonly service: ServiceType;
  readonly checkCommand: string;
  readonly checkPort: number | null;
  /** Begins with `/`. */
  readonly request: string;
  /** Perl regular expression; empty: any answer. */
  readonly receive: string;
  readonly httpMethod: 'GET' | 'HEAD';
  readonly virtualHost: string | null;
  readonly login: string;
  readonly password: string;
  readonly database: string;
  readonly secret: string;
  readonly monitorFile: string | null;
  readonly serviceName: string | null;
  readonly comment: string | null;
  readonly own: Readonly<VirtualOverrides>;
  readonly real: readonly RealServer[];
  readonly effective: EffectiveSettings;
  readonly fallback: VirtualFallback | null;
  /** The fallback of this firewall mark is the global one, which the original cannot use for marks. */
  readonly fallbackUnusable: boolean;
}

export interface Configuration {
  readonly globals: Readonly<GlobalSettings>;
  readonly globalLines: Readonly<Record<string, number>>;
  readonly virtuals: readonly VirtualServer[];
  readonly warnings: readonly ConfigurationWarning[];
}

/**
 * `emailalert`: who gets which mail. What the director says in the log about servers is mailed, and again every
 * `emailalertfreq` seconds while a server is down.
 */
import type { CheckResult } from '../health/checker.ts';
import type { Clock } from '../health/clock.ts';
import { formatEndpoint } from '../model/service.ts';
import { virtualIdentity, virtualName } from './config/effective.ts';
import type { Configuration, DaemonState, RealServer, VirtualServer } from './config/types.ts';
import { splitAddresses } from './config/values.ts';
import type { Mail } from './mail-transport.ts';

export interface MailAlertsOptions {
  readonly clock: Clock;
  readonly hostName: string;
  /** Must not block. */
  send(mail: Mail): void;
  log(text: string): void;
}

/** `Added real server: 192.0.2.11:80 (192.0.2.1:80) (Weight set to 1)` */
const WORTH_A_MAIL =
  /^(Added|Restored|Deleted|Quiescent|Readd Quiescent|Purged) (?:real|fallback) server(?: \(\w+\))?: (\S+) \((\S+)\)/;
const SAYS_DOWN = ['Deleted', 'Quiescent', 'Readd Quiescent'];
const LOOK_MS = 1_000;
/** So long after going down a server may still be mentioned in the log; after that it gets a mail of its own. */
const UNMENTIONED_MS = 5_000;

/** A message may be the whole answer of a server. */
const REASON_LENGTH_MAX = 300;

interface Watched {
  readonly virtual: VirtualServer;
  readonly server: RealServer;
  /** Failures in a row. */
  failures: number;
  /** `null`: it is not down. */
  downSinceMs: number | null;
  /** `null`: nobody was told yet that it is down. */
  toldAtMs: number | null;
  /** Why the last check failed. */
  reason: string;
}

interface AlertSettings {
  readonly to: readonly string[];
  readonly repeatSeconds: number;
  readonly states: readonly DaemonState[];
  readonly server: string | null;
}

export class MailAlerts {
  readonly #options: MailAlertsOptions;
  #configuration: Configuration;
  #state: DaemonState = 'starting';
  /** By service and server. */
  readonly #watched = new Map<string, Watched>();
  #cancel: () => void = () => {};

  constructor(configuration: Configuration, options: MailAlertsOptions) {
    this.#configuration = configuration;
    this.#options = options;
    this.#look();
  }

  /** Servers that are configured no more are forgotten. */
  configure(configuration: Configuration): void {
    this.#configuration = configuration;
    const kept = new Set(configuration.virtuals.flatMap((virtual) => virtual.real.map((real) => keyOf(virtual, real))));
    for (const key of this.#watched.keys()) if (!kept.has(key)) this.#watched.delete(key);
  }

  enter(state: DaemonState): void {
    this.#state = state;
    if (state === 'stopping') this.#cancel();
  }

  /** A line of the log. */
  hear(text: string): void {
    const [, verb, server, service] = WORTH_A_MAIL.exec(text) ?? [];
    if (verb === undefined || server === undefined) return;
    for (const virtual of this.#configuration.virtuals) {
      if (virtualName(virtual.key) !== service) continue;
      const watched = this.#watched.get(`${virtualIdentity(virtual.key)} ${server}`);
      const down = SAYS_DOWN.includes(verb) && watched !== undefined && text.includes(' real server');
      if (down) watched.toldAtMs = this.#options.clock.nowMs();
      this.#mail(virtual, text, down ? watched.reason : '');
      // A tcp and a udp service may have the same name; whose line this was cannot be seen.
      return;
    }
  }

  /** Every result of a check. */
  note(virtual: VirtualServer, server: RealServer, { healthy, message }: CheckResult): void {
    if ((virtual.own.emailAlert ?? this.#configuration.globals.emailAlert) === null) return;
    const key = keyOf(virtual, server);
    const before = this.#watched.get(key);
    const failures = healthy ? 0 : (before?.failures ?? 0) + 1;
    const isDown = failures >= virtual.effective.failureCount;
    this.#watched.set(key, {
      virtual,
      server,
      failures,
      downSinceMs: isDown ? (before?.downSinceMs ?? this.#options.clock.nowMs()) : null,
      toldAtMs: isDown ? (before?.toldAtMs ?? null) : null,
      reason: message.slice(0, REASON_LENGTH_MAX).replace(/\s+/g, ' ').trim(),
    });
  }

  #look(): void {
    const nowMs = this.#options.clock.nowMs();
    for (const watched of this.#watched.values()) this.#remind(watched, nowMs);
    this.#cancel = this.#options.clock.after(LOOK_MS, () => this.#look());
  }

  #remind(watched: Watched, nowMs: number): void {
    const { virtual, server, downSinceMs, toldAtMs, reason } = watched;
    const settings = this.#settingsOf(virtual);
    if (downSinceMs === null || settings === null) return;
    const repeatMs = settings.repeatSeconds * 1_000;
    const due =
      toldAtMs === null ? nowMs - downSinceMs >= UNMENTIONED_MS : repeatMs > 0 && nowMs - toldAtMs >= repeatMs;
    if (!due) return;
    watched.toldAtMs = nowMs;
    const name = formatEndpoint(server.address, server.port);
    this.#mail(virtual, `Inaccessible real server: ${name} (${virtualName(virtual.key)})`, reason);
  }

  #mail(virtual: VirtualServer, text: string, reason: string): void {
    const settings = this.#settingsOf(virtual);
    if (settings === null || !settings.states.includes(this.#state)) return;
    const { serviceName, comment } = virtual;
    const subject = serviceName === null ? text : `[${serviceName}] ${text}`;
    this.#options.log(`emailalert: ${subject}`);
    const lines = [
      `ldirectord host: ${this.#options.hostName}`,
      `Log-Message: ${subject}`,
      `Daemon-Status: ${this.#state}`,
      ...(reason === '' ? [] : [`Reason: ${reason}`]),
      ...(serviceName === null ? [] : [`Service name: ${serviceName}`]),
      ...(comment === null ? [] : [`Comment: ${comment}`]),
    ];
    const { emailAlertFrom: from } = this.#configuration.globals;
    this.#options.send({ to: settings.to, from, server: settings.server, subject, text: `${lines.join('\n')}\n` });
  }

  /** `null`: nobody wants mail about this service. */
  #settingsOf({ own }: VirtualServer): AlertSettings | null {
    const { globals } = this.#configuration;
    const to = splitAddresses(own.emailAlert ?? globals.emailAlert ?? '');
    if (to.length === 0) return null;
    return {
      to,
      repeatSeconds: own.emailAlertSeconds ?? globals.emailAlertSeconds,
      states: own.emailAlertStates ?? globals.emailAlertStates,
      server: own.smtp ?? globals.smtp,
    };
  }
}

/** The table, and so the log, has the service's port where the method cannot change it. */
function keyOf(virtual: VirtualServer, server: RealServer): string {
  const { key } = virtual;
  const port = 'mark' in key || server.forward === 'masq' ? server.port : key.port;
  return `${virtualIdentity(key)} ${formatEndpoint(server.address, port)}`;
}

/** A blueprint as the virtual_server part of keepalived.conf; what keepalived has no words for is told. */
import { type Application, applicationOfPort } from '../../model/applications.ts';
import {
  type Blueprint,
  type FallbackWish,
  placeOf,
  type ServerWish,
  type ServiceWish,
  type WrittenFile,
} from '../../model/blueprint.ts';
import type { FileProblem, Place } from '../../model/file-problem.ts';
import { PLAIN_TUNNEL, type TunnelSpec } from '../../model/forwarding.ts';
import { familyOfAddress, familyOfService, formatEndpoint, formatServiceKey, isMarkKey } from '../../model/service.ts';
import { portInTable } from '../addresses.ts';
import { ANY_ANSWER } from './checkers.ts';

const METHODS = { masquerade: 'NAT', direct: 'DR', tunnel: 'TUN', local: 'DR', bypass: 'DR' } as const;
const CHECKSUMS = { none: 'nocsum', full: 'csum', remote: 'remcsum' } as const;
/** What the reader of a blueprint takes where nothing is said; keepalived has 60 and 5. */
const INTERVAL_MS = 10_000;
const TIMEOUT_MS = 5_000;
const REQUEST_TIMEOUT_MS = 30_000;

export function writeKeepalived(blueprint: Blueprint): WrittenFile {
  return new Writer(blueprint).write();
}

class Writer {
  readonly #blueprint: Blueprint;
  readonly #lines: string[] = [];
  readonly #lost: FileProblem[] = [];
  #indent = '';

  constructor(blueprint: Blueprint) {
    this.#blueprint = blueprint;
  }

  write(): WrittenFile {
    this.#globals();
    for (const service of this.#blueprint.services) this.#service(service);
    this.#others();
    return { text: this.#lines.map((line) => `${line}\n`).join(''), lost: this.#lost };
  }

  #globals(): void {
    const { timeouts, watching, director } = this.#blueprint;
    const { tcpSeconds, tcpFinSeconds, udpSeconds } = timeouts;
    const words = [
      ...(tcpSeconds === undefined ? [] : ['tcp', tcpSeconds]),
      ...(tcpFinSeconds === undefined ? [] : ['tcpfin', tcpFinSeconds]),
      ...(udpSeconds === undefined ? [] : ['udp', udpSeconds]),
    ];
    const { alertTo, alertSmtp } = watching;
    if (words.length === 0 && alertTo === undefined && alertSmtp === undefined && director.alertFrom === undefined)
      return;
    this.#block('global_defs', () => {
      if (words.length > 0) this.#line(`lvs_timeouts ${words.join(' ')}`);
      if (alertTo !== undefined) {
        this.#block('notification_email', () => {
          for (const address of alertTo.split(/[\s,]+/).filter(Boolean)) this.#line(address);
        });
      }
      if (director.alertFrom !== undefined) this.#line(`notification_email_from ${director.alertFrom}`);
      if (alertSmtp !== undefined) this.#line(`smtp_server ${alertSmtp}`);
    });
  }

  #service(service: ServiceWish): void {
    const { key, persistence, scheduler, schedulerFlags } = service;
    const target = isMarkKey(key) ? `fwmark ${key.mark}` : `${key.address} ${key.port}`;
    const name = formatServiceKey(key);
    this.#block(`virtual_server ${target}`, () => {
      if (service.check.kind !== 'always-up') this.#line(`delay_loop ${seconds(this.#intervalMs(service))}`);
      this.#line(`lvs_sched ${scheduler}`);
      const owns = scheduler === 'sh' || scheduler === 'mh';
      for (const flag of schedulerFlags) {
        this.#line(owns && flag !== 3 ? `${scheduler}-${flag === 1 ? 'fallback' : 'port'}` : `flag-${flag}`);
      }
      if (service.onePacket) this.#line('ops');
      if (persistence !== null) {
        this.#line(`persistence_timeout ${persistence.timeoutSeconds}`);
        if (persistence.netmask !== null) this.#line(`persistence_granularity ${persistence.netmask}`);
        if (persistence.engine !== null) this.#line(`persistence_engine ${persistence.engine}`);
      }
      if (isMarkKey(key)) {
        if (key.family === 'ipv6') this.#line('ip_family inet6');
      } else this.#line(`protocol ${key.protocol.toUpperCase()}`);
      if (this.#blueprint.watching.alertTo !== undefined) this.#line('smtp_alert');
      const fallback = service.fallback ?? this.#blueprint.fallbacks[familyOfService(key)];
      if (fallback !== null) this.#fallback(fallback, service);
      for (const server of service.servers) this.#server(server, service);
    });
    this.#lostOf(service, name);
  }

  #fallback(fallback: FallbackWish, { key }: ServiceWish): void {
    const port = fallback.port ?? (isMarkKey(key) ? 0 : key.port);
    this.#line(`sorry_server ${fallback.address} ${portInTable(key, fallback.method, port)}`);
    this.#line(`sorry_server_lvs_method ${this.#method(fallback)}`);
  }

  #server(server: ServerWish, service: ServiceWish): void {
    const { key, watching } = service;
    const quiescent = watching.quiescent ?? this.#blueprint.watching.quiescent ?? false;
    const inTable = portInTable(key, server.method, server.port);
    this.#block(`real_server ${server.address} ${inTable}`, () => {
      this.#line(`weight ${server.weight}`);
      this.#line(`lvs_method ${this.#method(server)}`);
      if (server.upperThreshold > 0) this.#line(`uthreshold ${server.upperThreshold}`);
      if (server.lowerThreshold > 0) this.#line(`lthreshold ${server.lowerThreshold}`);
      if (quiescent) this.#line('inhibit_on_failure');
      this.#checker(server, service);
    });
  }

  #method({ method, tunnel, place }: { method: ServerWish['method']; tunnel: TunnelSpec; place: Place }): string {
    if (method === 'local' || method === 'bypass') this.#lose(place, `the method ${method} becomes DR`);
    if (method !== 'tunnel' || tunnel.type === PLAIN_TUNNEL.type) return METHODS[method];
    const port = tunnel.type === 'gue' ? ` port ${tunnel.port}` : '';
    return `TUN type ${tunnel.type}${port} ${CHECKSUMS[tunnel.checksum]}`;
  }

  #checker(server: ServerWish, service: ServiceWish): void {
    const { check, key } = service;
    const own = server.request !== null || server.receive !== null;
    const request = own ? (server.request ?? check.request) : check.request;
    const receive = own ? (server.receive ?? check.receive) || null : check.receive;
    const application = check.application ?? (isMarkKey(key) ? 'none' : applicationOfPort(key.port));
    switch (check.kind) {
      case 'always-up':
        return;
      case 'always-down':
        this.#lose(placeOf(service, 'check'), `${formatServiceKey(key)}: keepalived has no check that always fails`);
        return;
      case 'ping':
        this.#block('PING_CHECK', () => this.#times(service));
        return;
      case 'connect':
        if (!isMarkKey(key) && key.protocol === 'udp') {
          this.#block('PING_CHECK', () => this.#times(service));
          return;
        }
        this.#block('TCP_CHECK', () => this.#times(service));
        return;
      case 'external':
        this.#block('MISC_CHECK', () => {
          this.#line(`misc_path ${quote(check.command ?? '/bin/true')}`);
          this.#times(service, 'misc_timeout');
        });
        return;
      case 'external-perl':
        this.#lose(placeOf(service, 'check'), `${formatServiceKey(key)}: a check in Perl; no check is written`);
        return;
      case 'negotiate':
        this.#negotiation(application, request, receive, server, service);
        return;
    }
  }

  #negotiation(
    application: Application,
    request: string | null,
    receive: string | null,
    server: ServerWish,
    service: ServiceWish,
  ): void {
    const { check } = service;
    const name = `${formatServiceKey(service.key)} server ${formatEndpoint(server.address, server.port)}`;
    switch (application) {
      case 'http':
      case 'https':
        if (request !== null && /^\/?https?:/.test(request)) {
          this.#lose(server.place, `${name}: the whole address ${request} cannot be asked for; its path is`);
        }
        this.#block(application === 'http' ? 'HTTP_GET' : 'SSL_GET', () => {
          this.#block('url', () => {
            this.#line(`path ${quote(pathOf(request))}`);
            if (receive !== null) this.#line(`regex ${quote(receive)}`);
          });
          if (check.virtualHost !== null) this.#line(`virtualhost ${quote(check.virtualHost)}`);
          this.#times(service);
        });
        return;
      case 'smtp':
        this.#block('SMTP_CHECK', () => this.#times(service));
        return;
      case 'dns':
        if (receive !== ANY_ANSWER) this.#lose(server.place, `${name}: the expected answer; any will do`);
        this.#block('DNS_CHECK', () => {
          this.#line('type A');
          if (request !== null) this.#line(`name ${quote(request.replace(/^\//, ''))}`);
          this.#times(service);
        });
        return;
      case 'none':
        return;
      default:
        this.#lose(
          placeOf(service, 'check'),
          `${name}: keepalived does not speak ${application}; a connect is checked`,
        );
        this.#block('TCP_CHECK', () => this.#times(service));
        return;
    }
  }

  #times(service: ServiceWish, word = 'connect_timeout'): void {
    const { check, watching: own } = service;
    const all = this.#blueprint.watching;
    if (check.port !== null) {
      if (check.kind === 'ping' || check.kind === 'external')
        this.#lose(placeOf(service, 'check'), 'the port of the check');
      else this.#line(`connect_port ${check.port}`);
    }
    const short = [own.timeoutMs, own.requestTimeoutMs, all.timeoutMs, all.requestTimeoutMs, TIMEOUT_MS];
    const long = [own.requestTimeoutMs, own.timeoutMs, all.requestTimeoutMs, all.timeoutMs, REQUEST_TIMEOUT_MS];
    const timeoutMs = (check.kind === 'negotiate' ? long : short).find((each) => each !== undefined) as number;
    this.#line(`${word} ${seconds(timeoutMs)}`);
    const failures = own.failures ?? all.failures;
    if (failures !== undefined) {
      this.#line(`retry ${failures - 1}`);
      if (failures > 1) this.#line(`delay_before_retry ${seconds(this.#intervalMs(service))}`);
    }
  }

  #intervalMs({ watching }: ServiceWish): number {
    return watching.intervalMs ?? this.#blueprint.watching.intervalMs ?? INTERVAL_MS;
  }

  #lostOf(service: ServiceWish, name: string): void {
    const { check, watching, sourceNat } = service;
    const lose = (part: string, text: string) => this.#lose(placeOf(service, part), `${name}: ${text}`);
    if (sourceNat !== null && sourceNat !== 'none') lose('sourceNat', `source NAT ${sourceNat}`);
    if (service.name !== null || service.comment !== null) lose('name', 'name and comment');
    if (check.headOnly) lose('check', 'HEAD becomes GET');
    if (check.connectsBetween !== null) lose('check', 'cheap connects between two whole checks');
    if (check.login !== null || check.password !== null || check.database !== null || check.secret !== null) {
      lose('check', 'login, password, database and secret of the check');
    }
    if (service.monitorFile !== null) lose('monitorFile', 'the monitor file');
    if (watching.attempts !== undefined && watching.attempts > 1) lose('check', `${watching.attempts} pings at once`);
    if (watching.fallbackCommand !== undefined) lose('fallbackCommand', 'the command of the fallback');
    if (watching.cleanStop === false) lose('cleanStop', 'the service is removed when keepalived stops');
    const alerts = [watching.alertTo, watching.alertEverySeconds, watching.alertStates, watching.alertSmtp];
    if (alerts.some((each) => each !== undefined)) lose('alert', 'mail settings of its own');
    for (const { address, place } of service.servers) {
      if (familyOfAddress(address) === familyOfService(service.key)) continue;
      this.#lose(place, `${name} server ${address}: of another family; keepalived may refuse it`);
    }
  }

  #others(): void {
    const { settings, markRules, syncDaemons, director, watching, places } = this.#blueprint;
    const lose = (part: string, text: string) => this.#lose(places[part] ?? { line: 0, column: 0 }, text);
    if (Object.keys(settings).length > 0) lose('settings', 'settings of net.ipv4.vs; sysctl sets them');
    if (markRules.length > 0) lose('markRules', 'rules that give packets marks');
    if (syncDaemons.length > 0) lose('syncDaemons', 'synchronisation daemons: their role follows VRRP there');
    const { execute, alertFrom, ...others } = director;
    if (execute.length > 0 || Object.keys(others).length > 0) lose('director', 'settings of the director');
    if (watching.alertEverySeconds !== undefined || watching.alertStates !== undefined) {
      lose('watching', 'when mail is sent');
    }
    if (watching.fallbackCommand !== undefined) lose('watching', 'the command of the fallback');
    if (watching.attempts !== undefined && watching.attempts > 1)
      lose('watching', `${watching.attempts} pings at once`);
    if (watching.cleanStop === false) lose('watching', 'services are removed when keepalived stops');
  }

  #block(head: string, content: () => void): void {
    this.#line(`${head} {`);
    const before = this.#indent;
    this.#indent = `${before}    `;
    content();
    this.#indent = before;
    this.#line('}');
  }

  #line(text: string): void {
    this.#lines.push(`${this.#indent}${text}`);
  }

  #lose(place: Place, text: string): void {
    this.#lost.push({ place, text });
  }
}

function seconds(ms: number): string {
  return String(ms / 1_000);
}

function pathOf(request: string | null): string {
  const path = /^\/?https?:\/\/[^/]*(\/.*)?$/.exec(request ?? '/');
  if (path !== null) return path[1] ?? '/';
  return request === null ? '/' : request.startsWith('/') ? request : `/${request}`;
}

/** Words with blanks, comment marks or braces stand in quotes. */
function quote(text: string): string {
  return /^[^\s{}"!#\\$]+$/.test(text) ? text : `"${text.replace(/(["\\])/g, '\\$1')}"`;
}

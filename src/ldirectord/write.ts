/**
 * A blueprint as a file for ldirectord(8). The original reads what is written here with the same meaning; what its
 * grammar has no words for is told.
 */
import { APPLICATION_PORTS, applicationOfPort } from '../model/applications.ts';
import {
  type Blueprint,
  type CheckWish,
  type FallbackWish,
  placeOf,
  type ServerWish,
  type ServiceWish,
  type Watching,
  type WrittenFile,
} from '../model/blueprint.ts';
import type { FileProblem, Place } from '../model/file-problem.ts';
import { PLAIN_TUNNEL } from '../model/forwarding.ts';
import { familyOfAddress, familyOfService, formatEndpoint, formatServiceKey, isMarkKey } from '../model/service.ts';
import { FORWARD_OF, NO_COMMAND } from './blueprint.ts';

const FLAG_NAMES = { 1: 'fallback', 2: 'port' } as const;

export function writeConfiguration(blueprint: Blueprint): WrittenFile {
  return new Writer(blueprint).write();
}

class Writer {
  readonly #blueprint: Blueprint;
  readonly #lines: string[] = [];
  readonly #lost: FileProblem[] = [];

  constructor(blueprint: Blueprint) {
    this.#blueprint = blueprint;
  }

  write(): WrittenFile {
    this.#globals();
    for (const service of this.#blueprint.services) this.#service(service);
    this.#others();
    // A virtual line that is the last of the file is an error there.
    return { text: `${this.#lines.join('\n')}\n# end\n`, lost: this.#lost };
  }

  #globals(): void {
    const { watching, fallbacks, director, services, places } = this.#blueprint;
    const place = places['watching'] ?? { line: 0, column: 0 };
    this.#watching('', watching, place, 'all services');
    if (services.some((service) => service.watching.intervalMs !== undefined)) this.#line('fork=yes');
    if (fallbacks.ipv4 !== null) this.#line(`fallback=${this.#fallback(fallbacks.ipv4)}`);
    if (fallbacks.ipv6 !== null) this.#line(`fallback6=${this.#fallback(fallbacks.ipv6)}`);
    const at = places['director'] ?? place;
    if (director.log !== undefined) this.#value('', 'logfile', `"${director.log}"`, at);
    if (director.autoReload !== undefined) this.#line(`autoreload=${yesNo(director.autoReload)}`);
    if (director.callback !== undefined) this.#value('', 'callback', `"${director.callback}"`, at);
    if (director.readdQuiescent !== undefined) this.#line(`readdquiescent=${yesNo(director.readdQuiescent)}`);
    if (director.foreground !== undefined) this.#line(`supervised=${yesNo(director.foreground)}`);
    if (director.maintenanceDirectory !== undefined) {
      this.#value('', 'maintenancedir', director.maintenanceDirectory, at);
    }
    if (director.alertFrom !== undefined) this.#value('', 'emailalertfrom', director.alertFrom, at);
    for (const other of director.execute) this.#value('', 'execute', other, at);
  }

  #watching(indent: string, watching: Watching, place: Place, name: string): void {
    const seconds = (directive: string, ms: number | undefined): void => {
      if (ms === undefined) return;
      const whole = Math.max(1, Math.ceil(ms / 1_000));
      if (whole * 1_000 !== ms) this.#lose(place, `${name}: ${directive} of ${ms} ms becomes ${whole} s`);
      this.#line(`${indent}${directive}=${whole}`);
    };
    seconds('checkinterval', watching.intervalMs);
    seconds('checktimeout', watching.timeoutMs);
    seconds('negotiatetimeout', watching.requestTimeoutMs);
    if (watching.attempts !== undefined) this.#line(`${indent}checkcount=${watching.attempts}`);
    if (watching.failures !== undefined) this.#line(`${indent}failurecount=${watching.failures}`);
    if (watching.quiescent !== undefined) this.#line(`${indent}quiescent=${yesNo(watching.quiescent)}`);
    if (watching.cleanStop !== undefined) this.#line(`${indent}cleanstop=${yesNo(watching.cleanStop)}`);
    if (watching.fallbackCommand !== undefined) {
      this.#value(indent, 'fallbackcommand', watching.fallbackCommand, place);
    }
    if (watching.alertTo !== undefined) this.#value(indent, 'emailalert', watching.alertTo, place);
    if (watching.alertEverySeconds !== undefined) this.#line(`${indent}emailalertfreq=${watching.alertEverySeconds}`);
    if (watching.alertStates !== undefined) {
      this.#line(`${indent}emailalertstatus=${watching.alertStates.join(', ') || 'none'}`);
    }
    if (watching.alertSmtp !== undefined) this.#value(indent, 'smtp', watching.alertSmtp, place);
  }

  #service(service: ServiceWish): void {
    const { key, servers, fallback, persistence } = service;
    const name = formatServiceKey(key);
    const six = familyOfService(key) === 'ipv6' ? '6' : '';
    if (!isMarkKey(key) && key.protocol === 'sctp') {
      this.#lose(service.place, `${name}: ldirectord has no sctp; the whole service is left out`);
      return;
    }
    const target = isMarkKey(key) ? String(key.mark) : formatEndpoint(key.address, key.port);
    this.#line('', `virtual${six}=${target}`);
    for (const server of servers) this.#server(server, service, six);
    if (fallback !== null) this.#line(`\tfallback${six}=${this.#fallback(fallback)}`);
    this.#line(`\tscheduler=${service.scheduler}`);
    this.#flags(service);
    if (persistence !== null) {
      this.#line(`\tpersistent=${persistence.timeoutSeconds}`);
      if (persistence.netmask !== null) this.#line(`\tnetmask=${persistence.netmask}`);
      if (persistence.engine !== null) {
        this.#lose(placeOf(service, 'persistence'), `${name}: persistence engine ${persistence.engine}`);
      }
    }
    this.#line(`\tprotocol=${isMarkKey(key) ? 'fwm' : key.protocol}`);
    if (service.onePacket && !isMarkKey(key)) this.#line('\tops=yes');
    else if (service.onePacket) this.#lose(placeOf(service, 'onePacket'), `${name}: one-packet scheduling of a mark`);
    if (service.sourceNat !== null && service.sourceNat !== 'none') {
      this.#lose(placeOf(service, 'sourceNat'), `${name}: source NAT ${service.sourceNat}`);
    }
    this.#check(service);
    this.#watching('\t', service.watching, service.place, name);
    const at = placeOf(service, 'name');
    if (service.monitorFile !== null) this.#value('\t', 'monitorfile', service.monitorFile, service.place);
    if (service.name !== null) this.#value('\t', 'servicename', service.name, at);
    if (service.comment !== null) this.#value('\t', 'comment', service.comment, at);
  }

  #flags(service: ServiceWish): void {
    const { scheduler, schedulerFlags } = service;
    if (schedulerFlags.length === 0) return;
    const owns = scheduler === 'sh' || scheduler === 'mh';
    const words = schedulerFlags.map((flag) =>
      owns && flag !== 3 ? `${scheduler}-${FLAG_NAMES[flag]}` : `flag-${flag}`,
    );
    this.#line(`\tschedflags=${words.join(',')}`);
  }

  #server(server: ServerWish, service: ServiceWish, six: string): void {
    const name = `${formatServiceKey(service.key)} server ${formatEndpoint(server.address, server.port)}`;
    if (familyOfAddress(server.address) !== familyOfService(service.key)) {
      this.#lose(server.place, `${name}: of another family than its service; the server is left out`);
      return;
    }
    this.#forwarding(server, name);
    const words = [endpoint(server.address, server.port), FORWARD_OF[server.method], String(server.weight)];
    if (server.request !== null || server.receive !== null) {
      const request = (server.request ?? service.check.request ?? '/').replace(/^\//, '');
      const receive = server.receive ?? service.check.receive ?? '';
      if (request.startsWith('/') || /["#\n\t]/.test(request + receive)) {
        this.#lose(server.place, `${name}: its own request ${JSON.stringify(request)} cannot be written there`);
      } else words.push(`"${request}","${receive}"`);
    }
    if (server.lowerThreshold > 0) words.push(`l:${server.lowerThreshold}`);
    if (server.upperThreshold > 0) words.push(`u:${server.upperThreshold}`);
    this.#line(`\treal${six}=${words.join(' ')}`);
  }

  #fallback(fallback: FallbackWish): string {
    this.#forwarding(fallback, `fallback ${fallback.address}`);
    return `${endpoint(fallback.address, fallback.port ?? 0)} ${FORWARD_OF[fallback.method]}`;
  }

  #forwarding({ method, tunnel, place }: Pick<ServerWish, 'method' | 'tunnel' | 'place'>, name: string): void {
    if (tunnel.type !== PLAIN_TUNNEL.type) this.#lose(place, `${name}: a tunnel of ${tunnel.type} becomes ipip`);
    if (method === 'local' || method === 'bypass') this.#lose(place, `${name}: the method ${method} becomes gate`);
  }

  #check(service: ServiceWish): void {
    const { check, key } = service;
    const at = placeOf(service, 'check');
    const name = formatServiceKey(key);
    this.#line(`\tchecktype=${checkTypeWord(check)}`);
    const usual = isMarkKey(key) ? 'none' : applicationOfPort(key.port);
    if (check.application !== null) this.#line(`\tservice=${check.application}`);
    const application = check.application ?? usual;
    if (check.port !== null) this.#line(`\tcheckport=${check.port}`);
    else if (APPLICATION_PORTS[application] === null && service.servers.some(({ port }) => port === 0)) {
      if (check.kind === 'connect' || check.kind === 'negotiate') {
        this.#lose(at, `${name}: a check of servers without a port needs checkport there`);
      }
    }
    if (check.request !== null) this.#quoted('request', check.request, at, name);
    if (check.receive !== null) this.#quoted('receive', check.receive, at, name);
    if (check.headOnly) this.#line('\thttpmethod=HEAD');
    if (check.virtualHost !== null) this.#quoted('virtualhost', check.virtualHost, at, name);
    if (check.login !== null) this.#quoted('login', check.login, at, name);
    if (check.password !== null) this.#quoted('passwd', check.password, at, name);
    if (check.database !== null) this.#quoted('database', check.database, at, name);
    if (check.secret !== null) this.#quoted('secret', check.secret, at, name);
    if (check.command !== null && check.command !== NO_COMMAND) {
      this.#value('\t', 'checkcommand', check.command, at);
    }
  }

  #quoted(directive: string, value: string, place: Place, name: string): void {
    if (/[#\n\t]/.test(value) || (directive === 'virtualhost' && value.includes('"'))) {
      this.#lose(place, `${name}: ${directive} ${JSON.stringify(value)} cannot be written there`);
    } else this.#line(`\t${directive}="${value}"`);
  }

  /** A value that goes to the end of its line. */
  #value(indent: string, directive: string, value: string, place: Place): void {
    if (/\n|^\s|\s$/.test(value) || (indent !== '' && /[#\t]/.test(value))) {
      this.#lose(place, `${directive} ${JSON.stringify(value)} cannot be written there`);
    } else this.#line(`${indent}${directive}=${value}`);
  }

  #others(): void {
    const { timeouts, settings, markRules, syncDaemons, places } = this.#blueprint;
    const at = (part: string): Place => places[part] ?? { line: 0, column: 0 };
    if (Object.keys(timeouts).length > 0) this.#lose(at('timeouts'), 'timeouts; `ipvsadm --set` sets them');
    if (Object.keys(settings).length > 0) this.#lose(at('settings'), 'settings of net.ipv4.vs; sysctl sets them');
    if (markRules.length > 0) this.#lose(at('markRules'), 'rules that give packets marks');
    if (syncDaemons.length > 0) this.#lose(at('syncDaemons'), 'synchronisation daemons');
  }

  #line(...lines: string[]): void {
    this.#lines.push(...lines);
  }

  #lose(place: Place, text: string): void {
    this.#lost.push({ place, text });
  }
}

function checkTypeWord({ kind, connectsBetween }: CheckWish): string {
  if (kind === 'always-up') return 'on';
  if (kind === 'always-down') return 'off';
  return kind === 'negotiate' && connectsBetween !== null ? String(connectsBetween) : kind;
}

/** Without the port 0, which there means "none". */
function endpoint(address: string, port: number): string {
  if (port > 0) return formatEndpoint(address, port);
  return address.includes(':') ? `[${address}]` : address;
}

function yesNo(value: boolean): string {
  return value ? 'yes' : 'no';
}

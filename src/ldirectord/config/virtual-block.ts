/** A `virtual=` line and the indented lines after it. */
import { isIPv6 } from 'node:net';
import type { AddressFamily, ServiceKey } from '../../model/service.ts';
import { BLOCK_DIRECTIVES, refuseOtherFamily, type VirtualDraft } from './block-directives.ts';
import type { ParseEnvironment } from './environment.ts';
import { unresolvedFallback } from './global-directives.ts';
import { ConfigurationError, nearestWord, type Place } from './problem.ts';
import { parseReal } from './real-line.ts';
import { type FallbackServer, type RealServer, SERVICE_PORTS, type ServiceType } from './types.ts';
import { resolvePort, type Written, withoutBrackets } from './values.ts';

/** A block whose names are resolved; global settings are still to come. */
export interface ResolvedBlock {
  readonly draft: VirtualDraft;
  readonly key: ServiceKey;
  readonly service: ServiceType;
  readonly fallback: (FallbackServer & { readonly port: number }) | null;
  readonly real: readonly RealServer[];
  readonly directiveLines: Readonly<Record<string, number>>;
}

interface Endpoint {
  readonly host: string;
  /** Number or service name, as written. */
  readonly port: string;
}

export class VirtualBlock {
  readonly #draft: VirtualDraft;
  readonly #endpoint: Endpoint | null;
  readonly #mark: number;
  readonly #place: Place;
  readonly #environment: ParseEnvironment;
  readonly #real: Written[] = [];
  readonly #directiveLines: Record<string, number> = {};

  constructor(head: Written, family: AddressFamily) {
    const { value, place } = head;
    const target = parseTarget(head, family);
    this.#environment = head.environment;
    this.#place = place;
    this.#endpoint = typeof target === 'number' ? null : target;
    this.#mark = typeof target === 'number' ? target : 0;
    this.#draft = emptyDraft(place.line, family, this.#endpoint);
    if (this.#endpoint === null && /^\d+\.\d+/.test(value)) {
      head.warn(
        `virtual server: ${value.trim()} has no port and is therefore read as firewall mark ${this.#mark}, ` +
          'not as an address',
      );
    } else {
      const rest = value.slice(VIRTUAL_TARGET.exec(value)?.[0].length ?? value.length).trim();
      if (rest !== '') head.warn(`virtual server: "${rest}" has no effect here`);
    }
  }

  /** One directive. `command` begins at its name; `written` says where it stands and how to complain. */
  accept(command: string, raw: string, written: Omit<Written, 'value'>): void {
    const parts = /^([a-z0-9]+)\s*=\s*(.*)$/s.exec(command);
    const name = parts?.[1] ?? '';
    const value = parts?.[2] ?? '';
    if (name === 'real' || name === 'real6') {
      refuseOtherFamily(written, 'real', name === 'real6' ? 'ipv6' : 'ipv4', this.#draft.family);
      this.#real.push({ ...written, value });
      return;
    }
    const directive = Object.hasOwn(BLOCK_DIRECTIVES, name) ? BLOCK_DIRECTIVES[name] : undefined;
    const inner = /^"(.*)"/s.exec(value);
    if (directive === undefined || (directive.form === 'quoted' && inner === null)) {
      throw unknownCommand(`Unknown command "${raw}"`, written.place, command, directive !== undefined);
    }
    this.#directiveLines[name] = written.place.line;
    const effective = directive.form !== 'plain' && inner !== null ? inner[1] : value;
    directive.apply(this.#draft, { ...written, value: effective });
  }

  /** The block has ended: names are looked up now that the protocol is known. */
  async resolve(): Promise<ResolvedBlock> {
    const draft = this.#draft;
    const fallback = await this.#resolveFallback();
    const key = await this.#resolveKey();
    const real: RealServer[] = [];
    for (const line of this.#real) real.push(...(await parseReal(line, draft.family)));
    const service = draft.service ?? ('mark' in key ? 'none' : serviceOfPort(key.port));
    return { draft, key, service, fallback, real, directiveLines: this.#directiveLines };
  }

  async #resolveFallback(): Promise<ResolvedBlock['fallback']> {
    const { fallback, family, protocol } = this.#draft;
    if (fallback === null) return null;
    const address = await this.#environment.resolveHost(withoutBrackets(fallback.host), family);
    if (address === null) throw unresolvedFallback(fallback, family, fallback.host);
    const portText = fallback.port ?? this.#endpoint?.port ?? '0';
    const port = resolvePort(portText, protocol, this.#environment);
    if (port === null || (port === 0 && fallback.port !== null)) {
      throw new ConfigurationError(fallback.place, 'invalid port for fallback server', {
        expected: 'a number from 1 to 65535 or a service name',
      });
    }
    return { address, port, forward: fallback.forward };
  }

  async #resolveKey(): Promise<ServiceKey> {
    const { family, protocol } = this.#draft;
    if (this.#endpoint === null || protocol === 'fwm') return { mark: this.#mark, family };
    const address = await this.#environment.resolveHost(withoutBrackets(this.#endpoint.host), family);
    const port = resolvePort(this.#endpoint.port, protocol, this.#environment);
    if (address === null || port === null) {
      throw new ConfigurationError(this.#place, 'invalid address for virtual service', {
        expected: address === null ? 'an address or a name that can be resolved' : `a port of ${protocol}`,
      });
    }
    return { protocol, address, port };
  }
}

/** What is looked at of the value; whatever follows is not. */
const VIRTUAL_TARGET = /^([0-9A-Za-z._+-]+:[0-9A-Za-z_-]+|\d+|\[[0-9A-Fa-f:]+\]:[0-9A-Za-z_-]+)/;

/** Only the beginning of the value is looked at. A number is a firewall mark. */
function parseTarget({ value, place }: Written, family: AddressFamily): Endpoint | number {
  const named = /^([0-9A-Za-z._+-]+):([0-9A-Za-z_-]+)/.exec(value);
  if (named !== null) return { host: named[1], port: named[2] };
  const mark = /^\d+/.exec(value);
  if (mark !== null) return Number(mark[0]);
  const bracketed = /^\[([0-9A-Fa-f:]+)\]:([0-9A-Za-z_-]+)/.exec(value);
  if (bracketed === null) {
    throw new ConfigurationError(place, 'invalid address for virtual server', {
      expected: family === 'ipv4' ? 'ADDRESS:PORT, NAME:PORT or a firewall mark' : '[ADDRESS]:PORT or a firewall mark',
    });
  }
  if (family === 'ipv4') {
    const text = 'cannot specify an IPv6 address here. please use "virtual6" instead.';
    throw new ConfigurationError(place, text, { expected: 'virtual6' });
  }
  if (!isIPv6(bracketed[1])) throw new ConfigurationError(place, 'invalid ipv6 address for virtual server');
  return { host: bracketed[1], port: bracketed[2] };
}

function emptyDraft(line: number, family: AddressFamily, endpoint: Endpoint | null): VirtualDraft {
  const port = endpoint?.port;
  return {
    line,
    family,
    protocol: endpoint === null ? 'fwm' : port === '53' || port === 'domain' ? 'udp' : 'tcp',
    service: endpoint === null ? 'none' : null,
    scheduler: 'wrr',
    schedulerFlags: null,
    persistentSeconds: null,
    netmask: null,
    ops: false,
    checkType: 'negotiate',
    connectsBetweenNegotiates: 0,
    checkCommand: '/bin/true',
    checkPort: null,
    request: '/',
    receive: '',
    httpMethod: 'GET',
    virtualHost: null,
    login: '',
    password: '',
    database: '',
    secret: '',
    monitorFile: null,
    serviceName: null,
    comment: null,
    fallback: null,
    own: {
      checkTimeoutSeconds: null,
      negotiateTimeoutSeconds: null,
      checkIntervalSeconds: null,
      checkCount: null,
      failureCount: null,
      fallback: null,
      fallbackCommand: null,
      quiescent: null,
      cleanStop: null,
      emailAlert: null,
      emailAlertSeconds: null,
      emailAlertStates: null,
      smtp: null,
    },
  };
}

function serviceOfPort(port: number): ServiceType {
  for (const [service, servicePort] of Object.entries(SERVICE_PORTS)) {
    if (servicePort === port) return service as ServiceType;
  }
  return 'none';
}

/** `known`: the directive exists, but its value has to stand in double quotes. */
export function unknownCommand(text: string, place: Place, command: string, known: boolean): ConfigurationError {
  const name = /^[A-Za-z0-9_-]*/.exec(command.trim())![0];
  const names = [...Object.keys(BLOCK_DIRECTIVES), 'real', 'real6'];
  if (known) return new ConfigurationError(place, text, { expected: `${name}="..." with double quotes` });
  if (names.includes(name)) return new ConfigurationError(place, text, { expected: `${name}=VALUE` });
  return new ConfigurationError(place, text, { expected: 'a directive of a block', nearest: nearestWord(name, names) });
}

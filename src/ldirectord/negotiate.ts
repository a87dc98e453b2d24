/** What `negotiate` asks a server, by service type: one entry each. */
import type { CheckTarget } from '../health/checker.ts';
import type { CheckerName } from '../health/checkers/index.ts';
import { checkPort, checkUrl } from './config/effective.ts';
import type { RealServer, ServiceType, VirtualServer } from './config/types.ts';
import { translatePerlRegex } from './perl-regex.ts';

/** What every entry starts from. */
export interface Negotiation {
  readonly virtual: VirtualServer;
  readonly server: RealServer;
  /** Address, port and the time of a negotiation. */
  readonly base: Pick<CheckTarget, 'address' | 'port' | 'timeoutMs'>;
  /** The server's own request, else the service's; begins with `/`. */
  readonly request: string;
  /** `receive`, or nothing when any answer will do. */
  readonly expected: Pick<CheckTarget, 'receive'>;
}

export interface Negotiator {
  readonly checker: CheckerName;
  target(negotiation: Negotiation): CheckTarget;
}

/** Types that are checked by a program of the operator alone. */
export type ForeignServiceType = 'oracle';

export const NEGOTIATORS: Readonly<Record<Exclude<ServiceType, ForeignServiceType>, Negotiator>> = {
  dns: { checker: 'dns', target: dnsTarget },
  ftp: { checker: 'ftp', target: fileTarget },
  http: { checker: 'http', target: webTarget },
  https: { checker: 'http', target: webTarget },
  http_proxy: { checker: 'http', target: proxyTarget },
  imap: { checker: 'imap', target: mailboxTarget },
  imaps: { checker: 'imap', target: secureMailboxTarget },
  ldap: { checker: 'ldap', target: directoryTarget },
  ldaps: { checker: 'ldap', target: (negotiation) => ({ ...directoryTarget(negotiation), secure: true }) },
  mysql: { checker: 'mysql', target: databaseTarget },
  nntp: { checker: 'nntp', target: ({ base }) => base },
  none: { checker: 'on', target: () => ({ address: '', port: 0, timeoutMs: 0 }) },
  pgsql: { checker: 'pgsql', target: databaseTarget },
  pop: { checker: 'pop', target: mailboxTarget },
  pops: { checker: 'pop', target: secureMailboxTarget },
  radius: { checker: 'radius', target: radiusTarget },
  simpletcp: { checker: 'simpletcp', target: simpleTarget },
  sip: { checker: 'sip', target: ({ virtual, base }) => ({ ...base, ...transport(virtual), ...credentials(virtual) }) },
  smtp: { checker: 'smtp', target: ({ base }) => base },
  submission: { checker: 'smtp', target: ({ base }) => base },
};

/** The entry's target for one server. Throws when the pattern of `receive` cannot be understood. */
export function negotiateTarget(negotiator: Negotiator, virtual: VirtualServer, server: RealServer): CheckTarget {
  // A request alone (its receive string was lost) changes nothing.
  const own = server.request !== null && server.receive !== null;
  const receive = own ? server.receive! : virtual.receive;
  return negotiator.target({
    virtual,
    server,
    base: {
      address: server.address,
      port: checkPort(virtual, server) ?? 0,
      timeoutMs: virtual.effective.negotiateTimeoutSeconds * 1_000,
    },
    request: own ? server.request! : virtual.request,
    expected: receive === '' ? {} : { receive: translatePerlRegex(receive) },
  });
}

function webTarget({ virtual, server, base, expected }: Negotiation): CheckTarget {
  const { httpMethod: method, virtualHost } = virtual;
  const host = virtualHost === null ? {} : { virtualHost };
  return { ...base, ...expected, ...host, method, url: checkUrl(virtual, server) };
}

function proxyTarget({ virtual, server, base, expected }: Negotiation): CheckTarget {
  return { ...base, ...expected, proxy: true, method: virtual.httpMethod, url: checkUrl(virtual, server) };
}

/** The request nobody has changed asks for no file. */
function fileTarget({ virtual, base, request, expected }: Negotiation): CheckTarget {
  const file = request === '/' ? {} : { request };
  return { ...base, ...expected, ...credentials(virtual), ...file };
}

function mailboxTarget({ virtual, base }: Negotiation): CheckTarget {
  return { ...base, ...credentials(virtual) };
}

function secureMailboxTarget(negotiation: Negotiation): CheckTarget {
  return { ...mailboxTarget(negotiation), secure: true };
}

function simpleTarget({ virtual, base, request, expected }: Negotiation): CheckTarget {
  const written = withoutSlash(request).replaceAll('\\n', '\n');
  const bytes = Buffer.from(written, 'utf8').toString('latin1');
  return { ...base, ...expected, ...transport(virtual), request: bytes };
}

function dnsTarget({ virtual, base, request, expected }: Negotiation): CheckTarget {
  return { ...base, ...expected, ...transport(virtual), request: withoutSlash(request) };
}

function directoryTarget({ virtual, base, request, expected }: Negotiation): CheckTarget {
  return { ...inCheckTime(virtual, base), ...expected, ...credentials(virtual), request: withoutSlash(request) };
}

function radiusTarget({ virtual, base }: Negotiation): CheckTarget {
  return { ...inCheckTime(virtual, base), ...credentials(virtual), secret: virtual.secret };
}

function databaseTarget({ virtual, base, request }: Negotiation): CheckTarget {
  const statement = withoutSlash(request);
  const database = virtual.database === '' ? {} : { database: virtual.database };
  return { ...base, ...credentials(virtual), ...database, ...(statement === '' ? {} : { request: statement }) };
}

/** ldap and radius have `checktimeout` for the whole, not `negotiatetimeout`. */
function inCheckTime(virtual: VirtualServer, base: Negotiation['base']): Negotiation['base'] {
  return { ...base, timeoutMs: virtual.effective.checkTimeoutSeconds * 1_000 };
}

function withoutSlash(request: string): string {
  return request.replace(/^\//, '');
}

/** A firewall mark says nothing about the protocol of what is behind it; TCP is what it mostly is. */
function transport({ protocol }: VirtualServer): Pick<CheckTarget, 'protocol'> {
  return { protocol: protocol === 'udp' ? 'udp' : 'tcp' };
}

/** Empty ones count as not given. */
function credentials({ login, password }: VirtualServer): Pick<CheckTarget, 'login' | 'password'> {
  return { ...(login === '' ? {} : { login }), ...(password === '' ? {} : { password }) };
}

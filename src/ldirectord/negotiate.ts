/** What `negotiate` asks a server, by service type: one entry each. A type without an entry is refused. */
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

export const NEGOTIATORS: Readonly<Partial<Record<ServiceType, Negotiator>>> = {
  http: { checker: 'http', target: webTarget },
  https: { checker: 'http', target: webTarget },
  http_proxy: { checker: 'http', target: proxyTarget },
  none: { checker: 'on', target: () => ({ address: '', port: 0, timeoutMs: 0 }) },
  simpletcp: { checker: 'simpletcp', target: simpleTarget },
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

function simpleTarget({ base, request, expected }: Negotiation): CheckTarget {
  const written = request.replace(/^\//, '').replaceAll('\\n', '\n');
  return { ...base, ...expected, request: Buffer.from(written, 'utf8').toString('latin1') };
}

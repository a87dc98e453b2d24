/** One TCP connection from this host to each server, closed as soon as it stands: is the server there at all? */
import { connect } from 'node:net';
import { isMarkKey, type ServiceStatus } from '../../model/service.ts';

export interface ConnectProbe {
  readonly address: string;
  readonly port: number;
  readonly outcome: 'connected' | 'refused' | 'silent' | 'unreachable' | 'denied';
  /** errno name behind `unreachable` and `denied`. */
  readonly error: string | null;
  readonly tookMs: number;
}

const TIMEOUT_MS = 2_500;
/** A table may have hundreds of servers. */
const AT_ONCE = 32;
export const CONNECT_PROBES_MAX = 512;

export function connectToServers(services: readonly ServiceStatus[]): Promise<readonly ConnectProbe[]> {
  return connectTo(serversToAsk(services));
}

/**
 * Asks those once more that gave no answer although their host is there: it may have been cut off a moment ago.
 * @param there addresses of hosts that answered since
 */
export async function connectAgain(
  probes: readonly ConnectProbe[],
  there: ReadonlySet<string>,
): Promise<readonly ConnectProbe[]> {
  const isMute = ({ address, outcome }: ConnectProbe) =>
    (outcome === 'silent' || outcome === 'unreachable') && there.has(address);
  const again = await connectTo(probes.filter(isMute).map(({ address, port }) => [address, port]));
  return [...probes.filter((each) => !isMute(each)), ...again];
}

async function connectTo(open: [address: string, port: number][]): Promise<readonly ConnectProbe[]> {
  const probes: ConnectProbe[] = [];
  const worker = async (): Promise<void> => {
    for (let next = open.shift(); next !== undefined; next = open.shift()) probes.push(await probe(...next));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return probes;
}

/** Each address and port once; a server that takes any port is asked at the service's. */
export function serversToAsk(services: readonly ServiceStatus[]): [address: string, port: number][] {
  const places = new Map<string, [string, number]>();
  for (const { spec, destinations } of services) {
    if (isMarkKey(spec.key) || spec.key.protocol !== 'tcp') continue;
    for (const { spec: destination } of destinations) {
      const port = destination.port || spec.key.port;
      if (port > 0) places.set(`${destination.address} ${port}`, [destination.address, port]);
    }
  }
  return [...places.values()].slice(0, CONNECT_PROBES_MAX);
}

function probe(address: string, port: number): Promise<ConnectProbe> {
  const startMs = performance.now();
  return new Promise((resolve) => {
    const socket = connect({ host: address, port });
    const end = (outcome: ConnectProbe['outcome'], error: string | null = null): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ address, port, outcome, error, tookMs: Math.round(performance.now() - startMs) });
    };
    const timer = setTimeout(() => end('silent'), TIMEOUT_MS);
    socket.once('connect', () => end('connected'));
    socket.once('error', ({ code = 'EIO' }: NodeJS.ErrnoException) => {
      if (code === 'ECONNREFUSED') end('refused', code);
      else if (code === 'ETIMEDOUT') end('silent', code);
      else end(code === 'EPERM' || code === 'EACCES' ? 'denied' : 'unreachable', code);
    });
  });
}

/**
 * Do the answers of NAT servers come back by this host? Each server gets one SYN from an address that it can only
 * reach by its gateway; where the answer arrives shows where its answers go. Addresses for the question: RFC 5737 and
 * RFC 3849 (kept for documentation, nobody's), then one of each other network of this host.
 */
import { randomInt } from 'node:crypto';
import type { DestinationStatus } from '../../model/destination.ts';
import { isMarkKey, type ServiceStatus } from '../../model/service.ts';
import { formatAddress, parseAddress } from '../../wire/address.ts';
import { TCP_RST, TCP_SYN } from '../../wire/tcp.ts';
import { tcpSegment } from '../probe/frames.ts';
import { isInside, isOwnAddress, type NextHop, nextHop } from '../probe/reach.ts';
import type { WireSession } from '../probe/wire-session.ts';
import type { HostFacts } from './host.ts';
import { pause } from './pause.ts';

export interface ReturnProbe {
  readonly address: string;
  readonly port: number;
  /** Empty: the server could not be asked, since its MAC is not known. */
  readonly tried: readonly { readonly source: string; readonly answered: boolean }[];
  /** The link the server was asked by. */
  readonly link: string | null;
}

const NOBODY = { ipv4: '198.51.100.77', ipv6: '2001:db8:ffff::77' } as const;
const ANSWER_MS = 700;
const QUESTIONS = 3;
const SERVERS_MAX = 64;

/** TCP servers of NAT whose clients are not hidden behind an address of this host. */
export function plainNatServers(
  services: readonly ServiceStatus[],
): { service: ServiceStatus; destination: DestinationStatus; port: number }[] {
  return services.flatMap((service) => {
    const { key, sourceNat } = service.spec;
    if (isMarkKey(key) || (sourceNat !== undefined && sourceNat !== 'none')) return [];
    return service.destinations
      .filter(({ spec }) => spec.method === 'masquerade')
      .map((destination) => ({ service, destination, port: destination.spec.port || key.port }));
  });
}

export async function askForReturns(
  wire: WireSession,
  host: HostFacts,
  services: readonly ServiceStatus[],
): Promise<readonly ReturnProbe[]> {
  const servers = new Map<string, [address: string, port: number]>();
  for (const { service, destination, port } of plainNatServers(services)) {
    const { address } = destination.spec;
    const isTcp = !isMarkKey(service.spec.key) && service.spec.key.protocol === 'tcp';
    if (isTcp && !isOwnAddress(host, address)) servers.set(`${address} ${port}`, [address, port]);
  }
  return Promise.all(
    [...servers.values()].slice(0, SERVERS_MAX).map(([address, port]) => ask(wire, host, address, port)),
  );
}

async function ask(wire: WireSession, host: HostFacts, address: string, port: number): Promise<ReturnProbe> {
  const hop = nextHop(host, address);
  if (hop === null) return { address, port, tried: [], link: null };
  const tried: { source: string; answered: boolean }[] = [];
  for (const source of sourcesFor(host, address, hop)) {
    const answered = await comesBack(wire, hop, { source, address, port });
    tried.push({ source, answered });
    if (answered) break;
  }
  return { address, port, tried, link: hop.link.name };
}

async function comesBack(
  wire: WireSession,
  hop: NextHop,
  to: { source: string; address: string; port: number },
): Promise<boolean> {
  const sourcePort = randomInt(61_000, 65_000);
  const sequence = randomInt(2 ** 31);
  let answered = false;
  const stop = wire.hear((frame) => {
    if (frame.kind !== 'tcp' || frame.source !== to.address || frame.sourcePort !== to.port) return;
    if (frame.destination === to.source && frame.destinationPort === sourcePort) answered = true;
  });
  const segment = (flags: number, number: number) =>
    tcpSegment({
      fromMac: hop.link.mac,
      toMac: hop.mac,
      source: to.source,
      destination: to.address,
      sourcePort,
      destinationPort: to.port,
      flags,
      sequence: number,
    });
  for (let question = 0; question < QUESTIONS && !answered; question++) {
    wire.send(segment(TCP_SYN, sequence), hop.link.index);
    const untilMs = performance.now() + ANSWER_MS;
    while (!answered && performance.now() < untilMs) await pause(20);
  }
  // The server must not keep half a connection for our sake.
  wire.send(segment(TCP_RST, sequence + 1), hop.link.index);
  stop();
  return answered;
}

/** Addresses that are not in the server's own network. */
function sourcesFor(host: HostFacts, address: string, hop: NextHop): string[] {
  const family = address.includes(':') ? 'ipv6' : 'ipv4';
  const others = host.links
    .filter((link) => link.up && !link.loopback && link.index !== hop.link.index)
    .flatMap((link) => link.addresses)
    .filter(
      ({ address: own, prefixLength }) =>
        own.includes(':') === (family === 'ipv6') && !own.startsWith('fe80:') && !isInside(address, own, prefixLength),
    )
    .map(({ address: own, prefixLength }) => lastOf(own, prefixLength))
    .filter((source): source is string => source !== null && !isOwnAddress(host, source));
  return [NOBODY[family], ...new Set(others)];
}

/** The last address but two of a network, where hardly anybody lives; `null` for networks too small to have such. */
function lastOf(own: string, prefixLength: number): string | null {
  const address = parseAddress(own);
  if (address === null || prefixLength > (address.family === 'ipv6' ? 120 : 28)) return null;
  const words = Int32Array.from(address.words);
  if (address.family === 'ipv6') words[3] = ((words[3] as number) | 0xff) - 3;
  else words[3] = ((words[3] as number) | (0xffff_ffff >>> prefixLength)) - 3;
  return formatAddress(address.family, words);
}

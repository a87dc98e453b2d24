/**
 * Do the servers of direct routing take a packet for the virtual address? Each gets one SYN for it, straight to its
 * MAC, from an address of this host; the server answers that address by itself.
 */
import { randomInt } from 'node:crypto';
import { isMarkKey, type ServiceStatus } from '../../model/service.ts';
import { TCP_RST, TCP_SYN } from '../../wire/tcp.ts';
import { tcpSegment } from '../probe/frames.ts';
import { isInside, isOwnAddress, type NextHop, nextHop, ownAddressBeside } from '../probe/reach.ts';
import type { WireSession } from '../probe/wire-session.ts';
import { virtualAddresses } from './arp.ts';
import type { HostFacts } from './host.ts';
import { pause } from './pause.ts';

export interface DirectProbe {
  readonly server: string;
  readonly virtual: string;
  readonly port: number;
  /** Who was asked; `null`: it could not be asked. */
  readonly mac: string | null;
  readonly outcome: DirectOutcome | 'not-asked';
  /** The same, sent to the same MAC from addresses of this host in other networks; asked only when that was answered. */
  readonly fromElsewhere: readonly { readonly source: string; readonly outcome: DirectOutcome }[];
}

/** `answered`: SYN and ACK; `refused`: RST, so the address is there and nobody listens. */
export type DirectOutcome = 'answered' | 'refused' | 'silent';

const ANSWER_MS = 700;
const QUESTIONS = 3;
const SERVERS_MAX = 64;

export async function askDirectServers(
  wire: WireSession,
  host: HostFacts,
  services: readonly ServiceStatus[],
): Promise<readonly DirectProbe[]> {
  const virtuals = virtualAddresses(services);
  const places = services.flatMap(({ spec, destinations }) => {
    const { key } = spec;
    if (isMarkKey(key) || key.protocol !== 'tcp' || key.port === 0) return [];
    return destinations
      .filter(({ spec: { method, address } }) => method === 'direct' && !isOwnAddress(host, address))
      .map(({ spec: { address } }) => ({ server: address, virtual: key.address, port: key.port }));
  });
  return Promise.all(places.slice(0, SERVERS_MAX).map((place) => ask(wire, host, place, virtuals)));
}

async function ask(
  wire: WireSession,
  host: HostFacts,
  place: { server: string; virtual: string; port: number },
  virtuals: readonly string[],
): Promise<DirectProbe> {
  const hop = nextHop(host, place.server);
  const source = hop === null ? null : ownAddressBeside(hop.link, place.server, virtuals);
  if (hop === null || source === null) {
    return { ...place, mac: hop?.mac ?? null, outcome: 'not-asked', fromElsewhere: [] };
  }
  const outcome = await askFrom(wire, hop, place, source);
  const fromElsewhere: { source: string; outcome: DirectOutcome }[] = [];
  if (outcome === 'answered') {
    for (const other of otherSources(host, place.server, virtuals)) {
      fromElsewhere.push({ source: other, outcome: await askFrom(wire, hop, place, other) });
    }
  }
  return { ...place, mac: hop.mac, outcome, fromElsewhere };
}

/** One address of each other network of this host. */
function otherSources(host: HostFacts, server: string, virtuals: readonly string[]): string[] {
  const six = server.includes(':');
  return host.links
    .filter((link) => link.up && !link.loopback)
    .flatMap(({ addresses }) => {
      const own = addresses.find(
        ({ address, prefixLength }) =>
          address.includes(':') === six &&
          !address.startsWith('fe80:') &&
          !virtuals.includes(address) &&
          !isInside(server, address, prefixLength),
      );
      return own === undefined ? [] : [own.address];
    });
}

async function askFrom(
  wire: WireSession,
  hop: NextHop,
  { virtual, port }: { virtual: string; port: number },
  source: string,
): Promise<DirectOutcome> {
  const sourcePort = randomInt(61_000, 65_000);
  const sequence = randomInt(2 ** 31);
  let outcome: DirectOutcome = 'silent';
  const stop = wire.hear((frame) => {
    if (frame.kind !== 'tcp' || frame.source !== virtual || frame.sourcePort !== port) return;
    if (frame.destination !== source || frame.destinationPort !== sourcePort) return;
    outcome = (frame.flags & TCP_RST) === 0 ? 'answered' : 'refused';
  });
  const segment = (flags: number, number: number) =>
    tcpSegment({
      fromMac: hop.link.mac,
      toMac: hop.mac,
      source,
      destination: virtual,
      sourcePort,
      destinationPort: port,
      flags,
      sequence: number,
    });
  const isSilent = () => outcome === 'silent';
  for (let question = 0; question < QUESTIONS && isSilent(); question++) {
    wire.send(segment(TCP_SYN, sequence), hop.link.index);
    const untilMs = performance.now() + ANSWER_MS;
    while (isSilent() && performance.now() < untilMs) await pause(20);
  }
  wire.send(segment(TCP_RST, sequence + 1), hop.link.index);
  stop();
  return outcome;
}

/**
 * Do the servers of direct routing take a packet for the virtual address? Each gets one SYN for it, straight to its
 * MAC, from an address of this host; the server answers that address by itself.
 */
import { randomInt } from 'node:crypto';
import { isMarkKey, type ServiceStatus } from '../../model/service.ts';
import { TCP_RST, TCP_SYN } from '../../wire/tcp.ts';
import { tcpSegment } from '../probe/frames.ts';
import { isOwnAddress, nextHop, ownAddressBeside } from '../probe/reach.ts';
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
  /** `answered`: SYN and ACK; `refused`: RST, so the address is there and nobody listens. */
  readonly outcome: 'answered' | 'refused' | 'silent' | 'not-asked';
}

const ANSWER_MS = 700;
const QUESTIONS = 2;
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
  { server, virtual, port }: { server: string; virtual: string; port: number },
  virtuals: readonly string[],
): Promise<DirectProbe> {
  const hop = nextHop(host, server);
  const source = hop === null ? null : ownAddressBeside(hop.link, server, virtuals);
  if (hop === null || source === null) return { server, virtual, port, mac: hop?.mac ?? null, outcome: 'not-asked' };
  const sourcePort = randomInt(61_000, 65_000);
  const sequence = randomInt(2 ** 31);
  let outcome: DirectProbe['outcome'] = 'silent';
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
  return { server, virtual, port, mac: hop.mac, outcome };
}

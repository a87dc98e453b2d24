/** How large an IP packet gets to the servers of tunnels in one piece: echoes that nobody may cut. */
import { randomInt } from 'node:crypto';
import type { ServiceStatus } from '../../model/service.ts';
import { ICMP_ECHO_REPLY, ICMPV6_ECHO_REPLY, wholeEcho } from '../probe/frames.ts';
import { isOwnAddress, type NextHop, nextHop, ownAddressBeside } from '../probe/reach.ts';
import type { WireSession } from '../probe/wire-session.ts';
import { virtualAddresses } from './arp.ts';
import type { HostFacts } from './host.ts';
import { pause } from './pause.ts';

export interface PathProbe {
  readonly address: string;
  readonly link: string;
  readonly linkMtu: number;
  /** The largest packet that was answered; 0: not even a small one was. */
  readonly largestAnswered: number;
  /** The smallest that was not; `null`: everything up to the link's MTU was answered. */
  readonly smallestLost: number | null;
}

const SMALL_BYTES = 128;
const ANSWER_MS = 350;
const QUESTIONS = 2;
/** The search ends when the two bounds are this close. */
const EXACT_BYTES = 4;
const SERVERS_MAX = 32;

export async function measurePaths(
  wire: WireSession,
  host: HostFacts,
  services: readonly ServiceStatus[],
): Promise<readonly PathProbe[]> {
  const tunnels = services.flatMap(({ destinations }) => destinations.filter(({ spec }) => spec.method === 'tunnel'));
  const addresses = [...new Set(tunnels.map(({ spec }) => spec.address))]
    .filter((address) => !isOwnAddress(host, address))
    .slice(0, SERVERS_MAX);
  const probes = await Promise.all(
    addresses.map((address) => measure(wire, host, address, virtualAddresses(services))),
  );
  return probes.filter((probe): probe is PathProbe => probe !== null);
}

async function measure(
  wire: WireSession,
  host: HostFacts,
  address: string,
  virtuals: readonly string[],
): Promise<PathProbe | null> {
  const hop = nextHop(host, address);
  const source = hop === null ? null : ownAddressBeside(hop.link, address, virtuals);
  if (hop === null || source === null) return null;
  const found = { address, link: hop.link.name, linkMtu: hop.link.mtu };
  const isAnswered = (packetBytes: number) => echo(wire, hop, source, address, packetBytes);
  if (await isAnswered(hop.link.mtu)) return { ...found, largestAnswered: hop.link.mtu, smallestLost: null };
  if (!(await isAnswered(SMALL_BYTES))) return { ...found, largestAnswered: 0, smallestLost: SMALL_BYTES };
  let [answered, lost] = [SMALL_BYTES, hop.link.mtu];
  while (lost - answered > EXACT_BYTES) {
    const between = Math.floor((answered + lost) / 2);
    if (await isAnswered(between)) answered = between;
    else lost = between;
  }
  return { ...found, largestAnswered: answered, smallestLost: lost };
}

async function echo(
  wire: WireSession,
  hop: NextHop,
  source: string,
  address: string,
  packetBytes: number,
): Promise<boolean> {
  const info = randomInt(2 ** 31);
  let answered = false;
  const stop = wire.hear((frame) => {
    if (frame.kind !== 'icmp' || frame.source !== address || frame.info !== info) return;
    if (frame.type === ICMP_ECHO_REPLY || frame.type === ICMPV6_ECHO_REPLY) answered = true;
  });
  const macs = { fromMac: hop.link.mac, toMac: hop.mac };
  for (let question = 0; question < QUESTIONS && !answered; question++) {
    wire.send(wholeEcho({ ...macs, source, destination: address, info }, packetBytes), hop.link.index);
    const untilMs = performance.now() + ANSWER_MS;
    while (!answered && performance.now() < untilMs) await pause(10);
  }
  stop();
  return answered;
}

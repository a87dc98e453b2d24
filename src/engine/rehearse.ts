/**
 * "What would become of this packet?" The packet goes through the same seven steps as every other one, in a twin of
 * the state it meets. Nothing of the engine's own state changes: no connection, no counter, no scheduler's place.
 */

import { IpvsError } from '../model/errors.ts';
import { FRAME_BYTES_MAX } from '../model/limits.ts';
import type { PacketTrace, RehearsedPacket } from '../model/packet-trace.ts';
import type { Endpoints } from '../wire/endpoints.ts';
import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  setEthernetAddresses,
  setEtherType,
} from '../wire/ethernet.ts';
import { ICMP_HEADER_BYTES } from '../wire/icmp.ts';
import { ipv4Destination, ipv4Source, PROTOCOL_ICMP } from '../wire/ipv4.ts';
import { PROTOCOL_ICMPV6 } from '../wire/ipv6.ts';
import { PacketBatch } from '../wire/packet-batch.ts';
import { NO_ROW } from './connection.ts';
import type { EngineContext } from './context.ts';
import { dissect, FRAGMENT } from './dissect.ts';
import { engineDataTag, findEngineData } from './engine-data.ts';
import { type EngineLink, LOCAL } from './network.ts';
import { observe } from './observation.ts';
import { Packet } from './packet.ts';
import { fillKey, templateKey } from './persistence.ts';
import { processBatch } from './process-batch.ts';
import { Quote, readQuote } from './quote.ts';
import { takeFragment } from './reassembly.ts';
import { readTunnelQuote } from './tunnel-error.ts';
import { createTwin } from './twin.ts';
import { CONTINUE } from './verdict.ts';

/** MAC of a sender that this host has not heard of. */
const STRANGER = Uint8Array.of(2, 0, 0, 0, 0, 0xfe);

/** Throws EINVAL for what is no packet, ENODEV for a link that is not served. */
export function rehearse(context: EngineContext, wanted: RehearsedPacket): PacketTrace {
  const { frame, link } = frameOf(context, wanted);
  const batch = PacketBatch.allocate(1, FRAME_BYTES_MAX);
  const mark = wanted.mark ?? 0;
  batch.push(frame, link.index, mark);
  const packet = new Packet();
  packet.load(batch, 0);
  const interests = interestsOf(context, packet);
  const twin = createTwin(context, interests);
  if (interests.isFragment) twin.reassembler.copyFrom(context.reassembler);
  batch.clear();
  batch.push(frame, link.index, mark);
  let heard: PacketTrace | null = null;
  const stop = observe(twin, {
    snapBytes: FRAME_BYTES_MAX,
    wants: () => true,
    hear: (trace) => {
      heard = trace;
    },
  });
  processBatch(twin, packet, batch);
  stop();
  return heard as unknown as PacketTrace;
}

function frameOf(context: EngineContext, wanted: RehearsedPacket): { frame: Uint8Array; link: EngineLink } {
  if ((wanted.packet === undefined) === (wanted.frame === undefined)) {
    throw new IpvsError('EINVAL', 'rehearse takes either a packet (from the IP header on) or a frame');
  }
  const given = bytesOf((wanted.packet ?? wanted.frame) as string);
  if (wanted.frame !== undefined) {
    return { frame: given, link: wanted.link === undefined ? someLink(context) : linkOf(context, wanted.link) };
  }
  const version = (given[0] as number) >>> 4;
  if (version !== 4 && version !== 6) {
    throw new IpvsError('EINVAL', `an IP packet begins with version 4 or 6, not ${version}`);
  }
  const frame = new Uint8Array(ETHERNET_HEADER_BYTES + given.length);
  frame.set(given, ETHERNET_HEADER_BYTES);
  setEtherType(frame, 0, version === 6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4);
  const link = wanted.link === undefined ? linkTowardsSource(context, given) : linkOf(context, wanted.link);
  setEthernetAddresses(frame, 0, link.mac, STRANGER);
  return { frame, link };
}

function bytesOf(hex: string): Uint8Array {
  if (!/^(?:[0-9a-f]{2})+$/i.test(hex))
    throw new IpvsError('EINVAL', 'a packet is written as hexadecimal digits, two a byte');
  if (hex.length > 2 * (FRAME_BYTES_MAX - ETHERNET_HEADER_BYTES)) {
    throw new IpvsError('EINVAL', `a packet of ${hex.length / 2} bytes is too long`);
  }
  return Uint8Array.from({ length: hex.length / 2 }, (_, at) => Number.parseInt(hex.slice(2 * at, 2 * at + 2), 16));
}

function linkOf(context: EngineContext, name: string): EngineLink {
  for (const link of context.network.links()) if (link.name === name) return link;
  const names = [...context.network.links()].map((link) => link.name).join(', ');
  throw new IpvsError('ENODEV', `no link ${name} is served here; there are: ${names || 'none'}`);
}

function someLink(context: EngineContext): EngineLink {
  const links = [...context.network.links()];
  const link = links.find(({ loopback }) => !loopback) ?? links[0];
  if (link === undefined) throw new IpvsError('ENODEV', 'no link is served here, so no packet can come in');
  return link;
}

/** The link by which this host would answer the sender. */
function linkTowardsSource(context: EngineContext, packet: Uint8Array): EngineLink {
  const view = new DataView(packet.buffer, packet.byteOffset);
  const ipv6 = (packet[0] as number) >>> 4 === 6;
  if (packet.length < (ipv6 ? 40 : 20)) return someLink(context);
  const word = (at: number): number => view.getInt32(at);
  const hop = ipv6
    ? context.network.route(true, word(8), word(12), word(16), word(20))
    : context.network.route(false, 0, 0, 0, word(12));
  return hop === null || hop === LOCAL ? someLink(context) : hop.link;
}

interface Interests {
  /** Whom the packet is about. */
  readonly ends: readonly Endpoints[];
  /** Rows of the table that it may meet. */
  readonly rows: readonly number[];
  readonly isFragment: boolean;
}

/** Reads only. `packet` is loaded, and dissected afterwards. */
function interestsOf(context: EngineContext, packet: Packet): Interests {
  let verdict = dissect(context, packet);
  const isFragment = verdict === FRAGMENT;
  if (isFragment) {
    // Whose the whole packet is, only the whole packet tells.
    const probe = createTwin(context, { ends: [packet], rows: [] });
    probe.reassembler.copyFrom(context.reassembler);
    verdict = takeFragment(probe, packet);
  }
  if (verdict !== CONTINUE) return { ends: [packet], rows: [], isFragment };
  if (context.markRules.size > 0) context.markRules.classify(context, packet);
  const ends = [packet, ...quotesOf(packet)];
  const { connections } = context;
  const rows = ends.flatMap((each) => [
    connections.findInbound(each),
    connections.findOutbound(each),
    connections.findLocal(each),
    templateFor(context, packet, each),
  ]);
  return { ends, rows: rows.filter((row) => row !== NO_ROW), isFragment };
}

/** Of an ICMP error: the packet it quotes, and the one inside that when it is a tunnel's. */
function quotesOf(packet: Packet): Quote[] {
  if (packet.protocol !== (packet.ipv6 ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP)) return [];
  const quotes: Quote[] = [];
  const quote = new Quote();
  if (readQuote(packet, quote)) quotes.push(quote);
  const inner = new Quote();
  if (!packet.ipv6 && readTunnelQuote(packet, inner)) quotes.push(inner, endsOfTunnel(packet, inner));
  return quotes;
}

/** The tunnel packet itself: its destination is a server. */
function endsOfTunnel(packet: Packet, inner: Quote): Quote {
  const at = packet.transportAt + ICMP_HEADER_BYTES;
  return Object.assign(new Quote(), inner, {
    source3: ipv4Source(packet.bytes, at),
    destination3: ipv4Destination(packet.bytes, at),
  });
}

function templateFor(context: EngineContext, packet: Packet, ends: Endpoints): number {
  const { destination0, destination1, destination2, destination3, destinationPort, ipv6, protocol } = ends;
  const service = context.services.findService(
    packet.mark,
    ipv6,
    protocol,
    destination0,
    destination1,
    destination2,
    destination3,
    destinationPort,
  );
  if (service === null || !service.persistent || !findEngineData(packet, service)) return NO_ROW;
  fillKey(ends, service);
  return context.connections.findTemplate(templateKey, engineDataTag(context, packet));
}

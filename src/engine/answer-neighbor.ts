/** Step 2: ARP and neighbour discovery. Answers for addresses that clients or servers look for but the host does not own; learns MACs. */
import {
  ARP_REPLY,
  ARP_REQUEST,
  answerArp,
  arpOperation,
  arpSenderAddress,
  arpTargetAddress,
  copyArpSenderMac,
  isArp,
} from '../wire/arp.ts';
import { ICMPV6_NEIGHBOR_ADVERTISEMENT, ICMPV6_NEIGHBOR_SOLICITATION, icmpv6Type } from '../wire/icmpv6.ts';
import {
  copyNeighborMac,
  isNeighborMessage,
  neighborTargetWord,
  writeNeighborAdvertisement,
} from '../wire/neighbor-discovery.ts';
import type { EngineContext } from './context.ts';
import { give } from './dissect.ts';
import type { Packet } from './packet.ts';
import { CONSUME, DROP, PASS, REASON, TRANSMIT, type Verdict } from './verdict.ts';

const senderMac = new Uint8Array(6);

export function answerArpMessage(context: EngineContext, packet: Packet): Verdict {
  const { bytes, ipAt: at } = packet;
  if (!isArp(bytes, at, packet.end)) return give(packet, DROP, REASON.truncated);
  const link = context.network.link(packet.ingress);
  if (link === null) return give(packet, PASS, REASON['other-host']);
  const operation = arpOperation(bytes, at);
  const sender = arpSenderAddress(bytes, at);
  copyArpSenderMac(bytes, at, senderMac);
  const believable = sender !== 0 && (senderMac[0]! & 1) === 0 && !context.network.isHostAddress(sender);
  if (believable) context.neighbors.learn(context, link, false, 0, 0, 0, sender, senderMac);
  // The host's stack sees ARP as well, so whatever is not for us needs no handing over.
  if (operation === ARP_REPLY) return give(packet, CONSUME, REASON.none);
  const target = arpTargetAddress(bytes, at);
  const asked = operation === ARP_REQUEST && sender !== target;
  if (!answersNeighbors(context)) return give(packet, PASS, REASON['not-ip']);
  if (!asked || context.network.isHostAddress(target) || !context.services.isServiceAddress(false, 0, 0, 0, target)) {
    return give(packet, PASS, REASON['not-ip']);
  }
  answerArp(bytes, packet.start, link.mac);
  packet.batch.end[packet.slot] = packet.end;
  packet.batch.egress[packet.slot] = link.index;
  return TRANSMIT;
}

/** Of several shards that hear the question one answers. */
function answersNeighbors({ shard }: EngineContext): boolean {
  return shard === null || shard.index === 0;
}

/** True for the messages that `answerNeighborMessage` is for. */
export function isNeighborDiscovery(packet: Packet): boolean {
  const type = icmpv6Type(packet.bytes, packet.transportAt);
  return type === ICMPV6_NEIGHBOR_SOLICITATION || type === ICMPV6_NEIGHBOR_ADVERTISEMENT;
}

/** The host's stack sees these messages too: what is not about our addresses passes. */
export function answerNeighborMessage(context: EngineContext, packet: Packet): Verdict {
  const { bytes, ipAt, transportAt: at, end } = packet;
  const link = context.network.link(packet.ingress);
  if (link === null || !isNeighborMessage(bytes, ipAt, at, end)) return give(packet, PASS, REASON.icmp);
  const w0 = neighborTargetWord(bytes, at, 0);
  const w1 = neighborTargetWord(bytes, at, 1);
  const w2 = neighborTargetWord(bytes, at, 2);
  const w3 = neighborTargetWord(bytes, at, 3);
  const macIsKnown = copyNeighborMac(bytes, at, end, senderMac) && (senderMac[0]! & 1) === 0;
  if (icmpv6Type(bytes, at) === ICMPV6_NEIGHBOR_ADVERTISEMENT) {
    const believable = macIsKnown && !context.network.ownsAddress(true, w0, w1, w2, w3);
    if (believable) context.neighbors.learn(context, link, true, w0, w1, w2, w3, senderMac);
    return give(packet, PASS, REASON.icmp);
  }
  const { source0, source1, source2, source3 } = packet;
  const probe = (source0 | source1 | source2 | source3) === 0;
  if (macIsKnown && !probe) context.neighbors.learn(context, link, true, source0, source1, source2, source3, senderMac);
  const ours =
    !context.network.ownsAddress(true, w0, w1, w2, w3) && context.services.isServiceAddress(true, w0, w1, w2, w3);
  if (!ours || !macIsKnown || probe || !answersNeighbors(context)) return give(packet, PASS, REASON.icmp);
  const slot = context.claimOutboxSlot();
  if (slot < 0) return give(packet, DROP, REASON['outbox-full']);
  const { outbox } = context;
  const asker = { address0: source0, address1: source1, address2: source2, address3: source3 };
  const target = { address0: w0, address1: w1, address2: w2, address3: w3 };
  const start = outbox.start[slot] as number;
  outbox.end[slot] = writeNeighborAdvertisement(outbox.bytes, start, link.mac, senderMac, asker, target);
  outbox.egress[slot] = link.index;
  return give(packet, CONSUME, REASON.none);
}

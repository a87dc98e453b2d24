/** Step 2: ARP. Answers for addresses that clients or servers look for but the host does not own; learns MACs. */
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
import type { EngineContext } from './context.ts';
import { give } from './dissect.ts';
import type { Packet } from './packet.ts';
import { CONSUME, DROP, PASS, REASON, TRANSMIT, type Verdict } from './verdict.ts';

const senderMac = new Uint8Array(6);

export function answerNeighbor(context: EngineContext, packet: Packet): Verdict {
  const { bytes, ipAt: at } = packet;
  if (!isArp(bytes, at, packet.end)) return give(packet, DROP, REASON.truncated);
  const link = context.network.link(packet.ingress);
  if (link === null) return give(packet, PASS, REASON['other-host']);
  const operation = arpOperation(bytes, at);
  const sender = arpSenderAddress(bytes, at);
  copyArpSenderMac(bytes, at, senderMac);
  const believable = sender !== 0 && (senderMac[0]! & 1) === 0 && !context.network.isHostAddress(sender);
  if (believable) context.neighbors.learn(context, link, sender, senderMac);
  // The host's stack sees ARP as well, so whatever is not for us needs no handing over.
  if (operation === ARP_REPLY) return give(packet, CONSUME, REASON.none);
  const target = arpTargetAddress(bytes, at);
  const asked = operation === ARP_REQUEST && sender !== target;
  if (!asked || context.network.isHostAddress(target) || !context.services.isServiceAddress(false, 0, 0, 0, target)) {
    return give(packet, PASS, REASON['not-ip']);
  }
  answerArp(bytes, packet.start, link.mac);
  packet.batch.end[packet.slot] = packet.end;
  packet.batch.egress[packet.slot] = link.index;
  return TRANSMIT;
}

/**
 * What a server on the director itself sent before IPVS translated it: made from the recorded answer, which has the
 * virtual address, and the packet that was delivered. So IPVS sees both directions, as on the recorded machine.
 */
import { checksum } from '../wire/checksum.ts';
import { isIcmpError, packetFacts, TCP } from './packet-facts.ts';

const TCP_CHECKSUM = 16;
const IPV4_SOURCE = 12;
const IPV4_CHECKSUM = 10;
const ICMP_QUOTE = 8;

/** `null`: the recorded packet is no answer of a server's stack. */
export function localReply(delivered: Buffer, recordedHex: string): Buffer | null {
  const reply = Buffer.from(recordedHex, 'hex');
  const request = packetFacts(delivered);
  const facts = packetFacts(reply);
  if (facts.ipv6 !== request.ipv6 || facts.destination !== request.source) return null;
  const addressAt = facts.ipv6 ? 8 : IPV4_SOURCE;
  Buffer.from(request.destination, 'hex').copy(reply, addressAt);
  if (!facts.ipv6) {
    reply.writeUInt16BE(0, IPV4_CHECKSUM);
    reply.writeUInt16BE(checksum(reply, 0, facts.transportAt), IPV4_CHECKSUM);
  }
  if (facts.protocol === TCP) {
    reply.writeUInt16BE(request.destinationPort, facts.transportAt);
    fillChecksum(reply, facts.transportAt, facts.transportAt + TCP_CHECKSUM, true);
    return reply;
  }
  if (!isIcmpError(facts)) return null;
  delivered.copy(reply, facts.transportAt + ICMP_QUOTE);
  fillChecksum(reply, facts.transportAt, facts.transportAt + 2, facts.ipv6);
  return reply;
}

function fillChecksum(packet: Buffer, at: number, fieldAt: number, withPseudoHeader: boolean): void {
  const { ipv6, protocol } = packetFacts(packet);
  let sum = 0;
  if (withPseudoHeader) {
    sum = protocol + packet.length - at;
    for (let word = ipv6 ? 8 : 12; word < (ipv6 ? 40 : 20); word += 2) sum += packet.readUInt16BE(word);
  }
  packet.writeUInt16BE(0, fieldAt);
  packet.writeUInt16BE(checksum(packet, at, packet.length, sum), fieldAt);
}

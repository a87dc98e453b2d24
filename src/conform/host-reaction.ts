/**
 * What a plain host would do with a packet that is given on to it. Only where it is certain that it would send
 * something: then the recording must hold that, or the kernel kept the packet.
 */
import { addBytes, checksum } from '../wire/checksum.ts';
import type { Moment } from './makers.ts';
import { ICMP, ICMPV6, isIcmpError, type PacketFacts, packetFacts, TCP, UDP } from './packet-facts.ts';
import type { RecordedOutput } from './recording.ts';

const TCP_FIN = 1;
const TCP_SYN = 2;
const TCP_RESET = 4;
const TCP_ACK = 16;

/** What it would do, in words; `null`: nothing, or it is not certain. */
export function hostWouldAnswer(moment: Moment): string | null {
  const packet = moment.input;
  if (packet === null) return null;
  const facts = packetFacts(packet);
  if (facts.isFragment || !isWellFormed(packet, facts)) return null;
  // The host drops what claims to come from itself, and sends nothing to where it knows no way.
  if (!isOrdinary(facts.source) || moment.isOwnAddress(facts.source)) return null;
  const knowsWayTo = (address: string): boolean => isOrdinary(address) && moment.hopTo(address) !== null;
  if (!moment.isOwn && hopsLeft(packet, facts) > 1) {
    return knowsWayTo(facts.destination) ? 'would have forwarded it' : null;
  }
  if (!knowsWayTo(facts.source)) return null;
  if (!moment.isOwn) return knowsWayTo(facts.destination) ? 'would have answered with time exceeded' : null;
  // An address that only a mark makes the director's own has no interface to answer from.
  if (!moment.isAnswered || !transportIsRight(packet, facts)) return null;
  if (facts.protocol === TCP && packet.length >= facts.transportAt + 20) {
    return (packet[facts.transportAt + 13]! & TCP_RESET) === 0 ? 'would have answered with a TCP reset' : null;
  }
  if (isEchoRequest(facts)) return 'would have answered with an echo reply';
  return facts.protocol === UDP ? 'would have answered with port unreachable' : null;
}

/** An address of one machine that packets on a wire may have. */
function isOrdinary(address: string): boolean {
  if (address.length === 8) return !/^(?:00|7f|[ef])/.test(address);
  return !/^(?:0{16}|fe[89ab]|ff)/.test(address);
}

function isEchoRequest({ protocol, type }: PacketFacts): boolean {
  return (protocol === ICMP && (type === 8 || type === 13)) || (protocol === ICMPV6 && type === 128);
}

function hopsLeft(packet: Buffer, { ipv6 }: PacketFacts): number {
  return packet[ipv6 ? 7 : 8]!;
}

/** No options, lengths that fit, right header checksum. */
function isWellFormed(packet: Buffer, { ipv6 }: PacketFacts): boolean {
  if (ipv6) return packet.length === 40 + packet.readUInt16BE(4);
  return packet.length >= 20 && packet[0] === 0x45 && packet.readUInt16BE(2) === packet.length && headerIsRight(packet);
}

function headerIsRight(packet: Buffer): boolean {
  return checksum(packet, 0, 20) === 0;
}

function transportIsRight(packet: Buffer, { ipv6, protocol, transportAt }: PacketFacts): boolean {
  if (protocol === ICMP) return checksum(packet, transportAt, packet.length) === 0;
  const addresses = ipv6 ? addBytes(0, packet, 8, 40) : addBytes(0, packet, 12, 20);
  const bytes = packet.length - transportAt;
  if (protocol === UDP && packet.readUInt16BE(transportAt + 4) !== bytes) return false;
  if (protocol === UDP && !ipv6 && packet.readUInt16BE(transportAt + 6) === 0) return true;
  return checksum(packet, transportAt, packet.length, addresses + protocol + bytes) === 0;
}

/**
 * What the host sends is not our work and cannot be compared, but it must be one packet that a host would send because
 * of the input, by the way its routes say. `null`: it is; else what is wrong with it.
 */
export function flawOfHostOutputs(outputs: readonly RecordedOutput[], moment: Moment): string | null {
  for (const { dev, to, hex } of outputs) {
    const packet = Buffer.from(hex, 'hex');
    const facts = packetFacts(packet);
    const hop = moment.hopTo(facts.destination);
    if (hop === null || hop.dev !== dev || hop.to !== to) {
      return `the host's routes lead ${hop === null ? 'nowhere' : `by ${hop.dev} to ${hop.to}`}`;
    }
    if (facts.isFragment) continue;
    if (outputs.length > 1) return 'the host answers once';
    const isForwarded = moment.input !== null && packetFacts(moment.input).source === facts.source;
    if (isForwarded) continue;
    if (!isWellFormed(packet, facts) || !transportIsRight(packet, facts)) return 'lengths or a checksum are wrong';
    if (moment.input !== null && !isAnswerTo(moment.input, packet, facts)) return 'it is no answer to what came';
  }
  return null;
}

/** Goes back to the sender, and holds what the sender said. */
function isAnswerTo(input: Buffer, packet: Buffer, facts: PacketFacts): boolean {
  const from = packetFacts(input);
  if (facts.destination !== from.source) return false;
  if (facts.protocol === TCP) return isResetFor(input, from, packet, facts);
  const data = packet.subarray(facts.transportAt + 8);
  if (isIcmpError(facts)) {
    const quoted = packetFacts(data);
    return quoted.source === from.source && quoted.destination === from.destination;
  }
  // An echo reply, or a timestamp reply with two times of its own behind the sender's.
  const isTimestamp = facts.protocol === ICMP && facts.type === 14;
  const said = input.subarray(from.transportAt + 4);
  const repeated = packet.subarray(facts.transportAt + 4);
  const bytes = isTimestamp ? 8 : said.length;
  return said.length === repeated.length && said.subarray(0, bytes).equals(repeated.subarray(0, bytes));
}

/** Source: RFC 9293, section 3.10.7.1. */
function isResetFor(input: Buffer, from: PacketFacts, packet: Buffer, facts: PacketFacts): boolean {
  const at = from.transportAt;
  if (facts.sourcePort !== from.destinationPort || facts.destinationPort !== from.sourcePort) return false;
  const flags = input[at + 13]!;
  if ((flags & TCP_RESET) !== 0) return false;
  const sequence = packet.readUInt32BE(facts.transportAt + 4);
  if ((flags & TCP_ACK) !== 0) return sequence === input.readUInt32BE(at + 8);
  const dataBytes = input.length - at - (input[at + 12]! >>> 4) * 4;
  const length = dataBytes + ((flags & TCP_SYN) !== 0 ? 1 : 0) + ((flags & TCP_FIN) !== 0 ? 1 : 0);
  return sequence === 0 && packet.readUInt32BE(facts.transportAt + 8) === (input.readUInt32BE(at + 4) + length) >>> 0;
}

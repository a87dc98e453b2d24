/**
 * What a plain host would do with a packet that is given on to it. Only where it is certain that it would send
 * something: then the recording must hold that, or the kernel kept the packet.
 */
import { addBytes, checksum } from '../wire/checksum.ts';
import type { Moment } from './makers.ts';
import { ICMP, type PacketFacts, packetFacts, TCP, UDP } from './packet-facts.ts';
import type { RecordedOutput } from './recording.ts';

const TCP_RESET = 4;

/** What it would do, in words; `null`: nothing, or it is not certain. */
export function hostWouldAnswer(moment: Moment): string | null {
  const packet = moment.input;
  if (packet === null) return null;
  const facts = packetFacts(packet);
  if (facts.isFragment || facts.multicast || !isWellFormed(packet, facts)) return null;
  if (!moment.isOwn) return hopsLeft(packet, facts) > 1 ? 'would have forwarded it' : null;
  // An address that only a mark makes the director's own has no interface to answer from.
  if (!moment.isAnswered || !transportIsRight(packet, facts)) return null;
  if (facts.protocol === TCP && packet.length >= facts.transportAt + 20) {
    return (packet[facts.transportAt + 13]! & TCP_RESET) === 0 ? 'would have answered with a TCP reset' : null;
  }
  return facts.protocol === UDP ? 'would have answered with port unreachable' : null;
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
  const addresses = ipv6 ? addBytes(0, packet, 8, 40) : addBytes(0, packet, 12, 20);
  const bytes = packet.length - transportAt;
  if (protocol === UDP && packet.readUInt16BE(transportAt + 4) !== bytes) return false;
  if (protocol === UDP && !ipv6 && packet.readUInt16BE(transportAt + 6) === 0) return true;
  return checksum(packet, transportAt, packet.length, addresses + protocol + bytes) === 0;
}

/**
 * What the host sends is not our work and cannot be compared, but it must be a packet that a host would send, by the
 * way its routes say. `null`: it is; else what is wrong with it.
 */
export function flawOfHostOutput(output: RecordedOutput, { hopTo, input }: Moment): string | null {
  const packet = Buffer.from(output.hex, 'hex');
  const facts = packetFacts(packet);
  const hop = hopTo(facts.destination);
  if (hop === null || hop.dev !== output.dev || hop.to !== output.to) {
    return `the host's routes lead ${hop === null ? 'nowhere' : `by ${hop.dev} to ${hop.to}`}`;
  }
  const isForwarded = input !== null && packetFacts(input).source === facts.source;
  if (isForwarded || facts.isFragment) return null;
  if (!isWellFormed(packet, facts)) return 'a header whose lengths or checksum are wrong';
  const right =
    facts.protocol === ICMP
      ? checksum(packet, facts.transportAt, packet.length) === 0
      : transportIsRight(packet, facts);
  return right ? null : 'a wrong checksum';
}

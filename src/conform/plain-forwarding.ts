/** Is a packet that left the one that came, just routed on? */
import { checksum } from '../wire/checksum.ts';
import { packetFacts } from './packet-facts.ts';

const IP_TTL = 8;
const IP_CHECKSUM = 10;
const IP_FLAGS = 6;
const IP_LENGTH = 2;
const IPV6_HOP_LIMIT = 7;

/**
 * Whether `output` is `input` with one hop less (and, in IPv4, the header checksum of that), or a fragment of it. IP
 * options may have been filled in on the way.
 */
export function isForwardedCopy(input: Buffer, output: Buffer): boolean {
  const from = packetFacts(input);
  const to = packetFacts(output);
  if (from.ipv6 !== to.ipv6 || from.source !== to.source || from.destination !== to.destination) return false;
  if (from.ipv6) {
    const copy = Buffer.from(output);
    copy[IPV6_HOP_LIMIT]!++;
    return copy.equals(input);
  }
  if (output[IP_TTL] !== input[IP_TTL]! - 1 || checksum(output, 0, to.transportAt) !== 0) return false;
  if (output.readUInt16BE(IP_LENGTH) !== output.length) return false;
  if (!to.isFragment && output.length !== input.length) return false;
  return samePiece(input, output, from.transportAt, to.transportAt, to.fragmentOffset - from.fragmentOffset);
}

/** Headers alike apart from what forwarding and fragmenting change; data alike at the fragment's offset. */
function samePiece(input: Buffer, output: Buffer, inputAt: number, outputAt: number, offset: number): boolean {
  if (offset < 0) return false;
  const header = (packet: Buffer): string => {
    const copy = Buffer.from(packet.subarray(0, 20));
    copy[IP_TTL] = 0;
    copy.writeUInt16BE(0, IP_CHECKSUM);
    copy.writeUInt16BE(copy.readUInt16BE(IP_FLAGS) & 0x4000, IP_FLAGS);
    copy.writeUInt16BE(0, IP_LENGTH);
    copy[0]! &= 0xf0;
    return copy.toString('hex');
  };
  const dataBytes = output.length - outputAt;
  const data = input.subarray(inputAt + offset, inputAt + offset + dataBytes);
  return header(input) === header(output) && data.equals(output.subarray(outputAt));
}

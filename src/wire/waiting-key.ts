/**
 * What stays the same while a packet waits for its next hop and is rewritten: its protocol, number and length. By it
 * the frame that came is found when the frame that left appears later, out of other memory.
 */
import { readInt32, readUint16 } from './bytes.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from './ipv4.ts';
import { PacketFacts } from './packet-facts.ts';

/** Bytes of a UDP payload that are compared. */
const PAYLOAD_BYTES_MAX = 32;

const facts = new PacketFacts();

/** Of the Ethernet frame in `bytes[at..end)`; `null`: it is no packet that could wait. */
export function waitingKey(bytes: Uint8Array, at: number, end: number): string | null {
  if (!facts.read(bytes, at, end) || facts.transportAt < 0) return null;
  const { protocol, transportAt, ipv6, ipAt } = facts;
  const length = facts.end - transportAt;
  const identification = ipv6 ? 0 : readUint16(bytes, ipAt + 4);
  if (protocol === PROTOCOL_TCP && length >= 20) {
    return `tcp ${identification} ${readInt32(bytes, transportAt + 4)} ${length}`;
  }
  if (protocol !== PROTOCOL_UDP) return `${protocol} ${identification} ${length}`;
  const payload = bytes.subarray(transportAt + 8, Math.min(facts.end, transportAt + 8 + PAYLOAD_BYTES_MAX));
  return `udp ${identification} ${length} ${payload.join(' ')}`;
}

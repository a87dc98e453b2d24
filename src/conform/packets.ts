/** Two packets, byte by byte, with the one freedom that the recordings ask for: the IP id of our own packets. */
import type { Difference } from './outputs.ts';
import type { RecordedOutput } from './recording.ts';

const IP_ID = 4;
const HEADER_CHECKSUM = 10;

export function comparePackets(expected: RecordedOutput, actual: RecordedOutput): Difference | null {
  if (expected.hex === actual.hex) return null;
  const want = Buffer.from(expected.hex, 'hex');
  const have = Buffer.from(actual.hex, 'hex');
  if (isOwnIcmp(want) && isOwnIcmp(have)) {
    // Tolerance own-ip-id: the id and, with it, the header checksum.
    for (const packet of [want, have]) {
      packet.writeUInt16BE(0, IP_ID);
      packet.writeUInt16BE(0, HEADER_CHECKSUM);
    }
    if (want.equals(have)) return null;
  }
  const at = [...want.keys()].find((i) => want[i] !== have[i]) ?? want.length;
  return { field: `byte ${at}`, expected: expected.hex, actual: actual.hex };
}

/** An ICMP error that the director made itself: TTL 64 less nothing, and a quote inside. */
function isOwnIcmp(packet: Buffer): boolean {
  return (
    packet.length >= 28 && packet[0] === 0x45 && packet[9] === 1 && packet[8] === 64 && (packet[1]! & 0xc0) === 0xc0
  );
}

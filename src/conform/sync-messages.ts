/** The connections inside sync messages, for comparing what several ports sent together. */
import { packetFacts } from './packet-facts.ts';
import type { RecordedOutput } from './recording.ts';

const VERSION_0_CONNECTION_BYTES = 24;
const VERSION_0_SEQUENCE_BYTES = 24;
/** Of the flags in a version 0 message: sequence numbers follow. */
const SEQUENCE_FLAGS = 0x0600;

/** All connections in hexadecimal, sorted; a message that cannot be read is taken whole. */
export function syncedConnections(messages: readonly RecordedOutput[]): string[] {
  return messages
    .flatMap(({ hex }) => {
      const packet = Buffer.from(hex, 'hex');
      return connectionsIn(packet.subarray(packetFacts(packet).transportAt + 8)).map((piece) => piece.toString('hex'));
    })
    .sort();
}

function connectionsIn(message: Buffer): Buffer[] {
  if (message.length < 8) return [message];
  const isVersion1 = message[0] === 0 && message[5] === 1;
  const pieces: Buffer[] = [];
  let at = isVersion1 ? 8 : 4;
  while (at < message.length) {
    const bytes = isVersion1 ? message.readUInt16BE(at + 2) & 0xfff : version0Bytes(message, at);
    if (bytes === 0 || at + bytes > message.length) return [message];
    pieces.push(message.subarray(at, at + bytes));
    at += isVersion1 ? (bytes + 3) & ~3 : bytes;
  }
  return pieces;
}

function version0Bytes(message: Buffer, at: number): number {
  if (at + VERSION_0_CONNECTION_BYTES > message.length) return 0;
  const flags = message.readUInt16BE(at + 20);
  return VERSION_0_CONNECTION_BYTES + ((flags & SEQUENCE_FLAGS) !== 0 ? VERSION_0_SEQUENCE_BYTES : 0);
}

/** Reads whole capture files for tests. */
import type { CapturedPacket, CaptureInterface } from '../../src/wire/capture-format.ts';
import { createCaptureReader } from '../../src/wire/capture-reader.ts';

/** Every packet of the file, handed over in pieces of `chunkBytes`. */
export function readCapture(
  file: Uint8Array,
  chunkBytes = 65_536,
): { interfaces: readonly CaptureInterface[]; packets: CapturedPacket[] } {
  const reader = createCaptureReader();
  const packets: CapturedPacket[] = [];
  const drain = () => {
    for (let packet = reader.next(); packet !== null; packet = reader.next()) packets.push(packet);
  };
  for (let at = 0; at < file.length; at += chunkBytes) {
    reader.push(file.subarray(at, at + chunkBytes));
    drain();
  }
  reader.end();
  drain();
  return { interfaces: reader.interfaces, packets };
}

/** Packets of established flows through `engine.process`, timed without the writing of the frames. */
import type { Engine } from '../src/engine/engine.ts';
import { TRANSMIT } from '../src/engine/verdict.ts';
import { PacketBatch } from '../src/wire/packet-batch.ts';
import {
  BATCH,
  CLIENT_MAC,
  clientOf,
  DIRECTOR_MAC,
  fillHeaderChecksum,
  portOf,
  SERVER_SIDE_MAC,
  segment,
  VIP,
} from './flows.ts';
import { Stopwatch } from './stopwatch.ts';

export interface Measured {
  readonly packetsPerSecond: number;
  readonly nanosecondsPerPacket: number;
}

export interface Effort {
  readonly rounds: number;
  readonly packetsPerRound: number;
}

/**
 * Both directions in turn, over connections in a scattered order. Frames are written straight into the batch, as a
 * kernel writes into a receive buffer, between two measured calls. The first round warms up and is not counted.
 */
export function measureEstablished(
  engine: Engine,
  connections: number,
  servers: Uint32Array,
  { rounds, packetsPerRound }: Effort,
): Measured[] {
  const batch = PacketBatch.allocate(BATCH, 128);
  const request = segment(0, 0, VIP, 80, 0x10, DIRECTOR_MAC, CLIENT_MAC);
  const reply = segment(0, 8080, 0, 0, 0x10, SERVER_SIDE_MAC, [2, 0, 0, 1, 0, 0x0b]);
  const view = new DataView(batch.bytes.buffer);
  // A step that shares no factor with the number of connections visits each of them once, far from the one before.
  const step = Math.floor(connections * 0.6180339887) | 1;
  const results: Measured[] = [];
  let nowMs = 10;
  let c = 0;
  for (let round = 0; round <= rounds; round++) {
    const watch = new Stopwatch();
    let packets = 0;
    while (packets < packetsPerRound) {
      batch.clear();
      for (let i = 0; i < BATCH; i++) {
        c = (c + step) % connections;
        const forward = i % 2 === 0;
        const at = batch.start[batch.push(forward ? request : reply, forward ? 1 : 2)] as number;
        const client = clientOf(c);
        view.setUint32(at + (forward ? 26 : 30), client);
        view.setUint16(at + (forward ? 34 : 36), portOf(c));
        if (!forward) view.setUint32(at + 26, servers[c] as number);
        fillHeaderChecksum(view, at + 14);
      }
      watch.begin();
      engine.process(batch, nowMs);
      watch.end();
      packets += BATCH;
      if ((packets & 0xffff) === 0) engine.advance(++nowMs);
    }
    for (let slot = 0; slot < BATCH; slot++) {
      if (batch.verdict[slot] !== TRANSMIT) throw new Error('a packet of an established flow was not sent on');
    }
    // The first round warms up.
    if (round > 0) {
      const nanosecondsPerPacket = watch.mean() / BATCH;
      results.push({ nanosecondsPerPacket, packetsPerSecond: 1e9 / nanosecondsPerPacket });
    }
  }
  return results;
}

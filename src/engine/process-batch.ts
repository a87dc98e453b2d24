/** Every frame of a batch through the seven steps: decided, counted, and given back where it is not ours. */
import { FrameFlag, NO_LINK, type PacketBatch } from '../wire/packet-batch.ts';
import type { EngineContext } from './context.ts';
import { isHeldBack } from './held-back.ts';
import type { Packet } from './packet.ts';
import { processPacket } from './pipeline.ts';
import { sendToHost } from './send.ts';
import { DROP, PASS } from './verdict.ts';

/** `packet` is the one in hand, reloaded for each frame. Never throws, whatever the bytes are. */
export function processBatch(context: EngineContext, packet: Packet, batch: PacketBatch): void {
  const { observation } = context;
  for (let slot = 0; slot < batch.count; slot++) {
    packet.load(batch, slot);
    if (observation !== null) observation.begin(packet);
    batch.egress[slot] = NO_LINK;
    const verdict = processPacket(context, packet);
    batch.verdict[slot] = verdict;
    batch.reason[slot] = packet.reason;
    context.verdictCounts[verdict]!++;
    if (verdict === DROP) context.dropCounts[packet.reason]!++;
    else if (verdict === PASS) {
      context.passCounts[packet.reason]!++;
      giveBack(context, packet);
    }
    if (observation !== null) observation.end(packet, verdict);
  }
}

/** The guard kept this frame from the host's stack, but it is not ours: hand it over. */
function giveBack(context: EngineContext, packet: Packet): void {
  const { cable } = context.network;
  if (cable === null || packet.ingress === cable.link.index) return;
  // Of the shards that hear the same frame one gives it back.
  if (((packet.batch.flags[packet.slot] as number) & FrameFlag.SHARED) !== 0) return;
  if (isHeldBack(context, packet)) sendToHost(context, packet);
}

/**
 * The rest of a packet never came: if its beginning did, the sender is told. In a kernel the host does that before
 * IPVS sees anything; the engine says it where the host does not see the fragments, and counts it in any case.
 */
import { readUint16 } from '../wire/bytes.ts';
import type { EngineContext } from './context.ts';
import { dissect, FRAGMENT } from './dissect.ts';
import { REASSEMBLY_TIME_EXCEEDED, sendIcmpError, virtualAddressForErrors } from './outgoing-icmp.ts';
import { Packet } from './packet.ts';
import type { Queue } from './reassembly.ts';

const packet = new Packet();

export function reassemblyTimedOut(context: EngineContext, queue: Queue): void {
  if (queue.first === null) return;
  const { batch } = context.reassembler;
  batch.clear();
  if (batch.push(queue.first, queue.ingress, queue.mark) < 0) return;
  packet.load(batch, 0);
  if (dissect(context, packet) !== FRAGMENT) return;
  if (packet.end - packet.transportAt < 4) return;
  packet.sourcePort = readUint16(packet.bytes, packet.transportAt);
  packet.destinationPort = readUint16(packet.bytes, packet.transportAt + 2);
  const { ipv6, destination0, destination1, destination2, destination3 } = packet;
  if (!context.network.ownsAddress(ipv6, destination0, destination1, destination2, destination3)) return;
  const said = context.outbox.count;
  sendIcmpError(context, packet, virtualAddressForErrors(context, packet), REASSEMBLY_TIME_EXCEEDED);
  if (context.network.cable === null) context.outbox.count = said;
}

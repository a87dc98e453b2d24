/** Direct routing: the packet goes to the real server's link address, unchanged but for its time to live. */
import type { EngineContext } from '../context.ts';
import type { Egress } from '../egress.ts';
import { virtualAddressForErrors } from '../outgoing-icmp.ts';
import type { Packet } from '../packet.ts';
import { sendBy, sendToHost } from '../send.ts';
import { CONTINUE, type Verdict } from '../verdict.ts';
import { mayLeave, nobody, stepTtl, unreachable } from './checks.ts';

/** `isError`: the packet is an ICMP error about a connection. */
export function directInbound(context: EngineContext, packet: Packet, egress: Egress, isError: boolean): Verdict {
  const errorSource = isError ? nobody : virtualAddressForErrors;
  if (egress.kind === 'none') return unreachable(context, packet, errorSource);
  if (egress.kind === 'local') return sendToHost(context, packet);
  const verdict = mayLeave(context, packet, egress.mtu, errorSource);
  if (verdict !== CONTINUE) return verdict;
  stepTtl(packet);
  return sendBy(context, packet, egress);
}

/** Direct routing: the packet goes to the real server's link address, unchanged but for its time to live. */
import { decrementIpv4Ttl } from '../../wire/ipv4.ts';
import type { EngineContext } from '../context.ts';
import type { Egress } from '../egress.ts';
import type { Packet } from '../packet.ts';
import { sendBy, sendToHost } from '../send.ts';
import { CONTINUE, type Verdict } from '../verdict.ts';
import { mayLeave, unreachable, virtualAddressForErrors } from './checks.ts';

export function directInbound(context: EngineContext, packet: Packet, egress: Egress, isError: boolean): Verdict {
  if (egress.kind === 'none') {
    return unreachable(context, packet, isError ? 0 : virtualAddressForErrors(context, packet));
  }
  if (egress.kind === 'local') return sendToHost(context, packet);
  const verdict = mayLeave(context, packet, egress.mtu, virtualAddressForErrors(context, packet), isError);
  if (verdict !== CONTINUE) return verdict;
  decrementIpv4Ttl(packet.bytes, packet.ipAt);
  return sendBy(context, packet, egress);
}

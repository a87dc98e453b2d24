/** What this folder offers to the programs. */
import type { DataPlane } from '../src/model/data-plane.ts';
import { judgeBy } from './front.ts';
import { SharedProxy } from './processes/shared-proxy.ts';
import { ProxyDataPlane } from './proxy-data-plane.ts';
import type { ProxyVersion } from './proxy-protocol.ts';

export interface OpenProxyOptions {
  readonly connectionsMax: number;
  /** The PROXY header that servers are sent, or `null`. */
  readonly sendProxy: ProxyVersion | null;
  /** Networks of fronts, as `192.0.2.0/24`: they alone may connect, and must send a PROXY header. Empty: everybody. */
  readonly acceptProxy: readonly string[];
  /** That carry connections, this one included. */
  readonly processes?: number;
}

/** Opens no port yet: each service opens its own. */
export function openProxy({ connectionsMax, sendProxy, acceptProxy, processes = 1 }: OpenProxyOptions): DataPlane {
  if (processes > 1) return new SharedProxy({ connectionsMax, sendProxy, acceptProxy }, processes);
  return new ProxyDataPlane({ connectionsMax, sendProxy, judgePeer: judgeBy(acceptProxy) });
}

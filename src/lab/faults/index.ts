/** What can be wrong with a lab: one line each. */
import type { Fault } from '../standing/kind.ts';
import { arp } from './arp.ts';
import { conntrack } from './conntrack.ts';
import { firewall } from './firewall.ts';
import { gateway } from './gateway.ts';
import { ipForward } from './ip-forward.ts';
import { keepalive } from './keepalive.ts';
import { mhZero } from './mh-zero.ts';
import { mtu } from './mtu.ts';
import { nearClient } from './near-client.ts';
import { portInUse } from './port-in-use.ts';
import { ports } from './ports.ts';
import { returnPath } from './return-path.ts';
import { rpFilter } from './rp-filter.ts';
import { server } from './server.ts';
import { vipMissing } from './vip-missing.ts';
import { vipTaken } from './vip-taken.ts';
import { weights } from './weights.ts';

export const FAULTS: readonly Fault[] = [
  returnPath,
  gateway,
  arp,
  mtu,
  rpFilter,
  ipForward,
  conntrack,
  vipMissing,
  vipTaken,
  portInUse,
  firewall,
  keepalive,
  ports,
  server,
  weights,
  mhZero,
  nearClient,
];

/** The rules, in the order in which they are reported: what lies deepest comes first. */
import type { Rule } from '../rule.ts';
import { arpProblem } from './arp-problem.ts';
import { clock } from './clock.ts';
import { conntrack } from './conntrack.ts';
import { firewall } from './firewall.ts';
import { gateway } from './gateway.ts';
import { hashWeight } from './hash-weight.ts';
import { ipForward } from './ip-forward.ts';
import { keepalive } from './keepalive.ts';
import { offloads } from './offloads.ts';
import { portInUse } from './port-in-use.ts';
import { ports } from './ports.ts';
import { returnPath } from './return-path.ts';
import { rpFilter } from './rp-filter.ts';
import { serverSilent } from './server-silent.ts';
import { tunnelMtu } from './tunnel-mtu.ts';
import { vipMissing } from './vip-missing.ts';
import { vipTaken } from './vip-taken.ts';
import { weights } from './weights.ts';

export const RULES: readonly Rule[] = [
  vipMissing,
  vipTaken,
  arpProblem,
  portInUse,
  firewall,
  ipForward,
  conntrack,
  gateway,
  returnPath,
  rpFilter,
  tunnelMtu,
  offloads,
  serverSilent,
  weights,
  hashWeight,
  keepalive,
  ports,
  clock,
];

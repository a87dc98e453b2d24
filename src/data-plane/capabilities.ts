/** What the packet engine will not refuse. The list of refusals is `engine/supported.ts`. */
import type { Capabilities } from '../model/data-plane.ts';

export const PACKET_ENGINE_CAPABILITIES: Capabilities = {
  name: 'packet engine',
  families: ['ipv4'],
  protocols: ['tcp', 'udp'],
  methods: ['masquerade', 'direct', 'local'],
  schedulers: ['rr', 'wrr', 'lc', 'wlc', 'lblc', 'lblcr', 'dh', 'sh', 'mh', 'sed', 'nq', 'fo', 'ovf', 'twos'],
  fullNat: true,
  persistence: false,
  marks: false,
  sync: false,
};

/** What the packet engine will not refuse. */
import type { Capabilities } from '../model/data-plane.ts';

export const PACKET_ENGINE_CAPABILITIES: Capabilities = {
  name: 'packet engine',
  families: ['ipv4', 'ipv6'],
  protocols: ['tcp', 'udp', 'sctp'],
  methods: ['masquerade', 'direct', 'tunnel', 'local', 'bypass'],
  schedulers: ['rr', 'wrr', 'lc', 'wlc', 'lblc', 'lblcr', 'dh', 'sh', 'mh', 'sed', 'nq', 'fo', 'ovf', 'twos'],
  fullNat: true,
  persistence: true,
  marks: true,
  sync: true,
};

/** What the engine will not refuse. */
import { SCHEDULERS } from '../balance/schedulers/index.ts';
import type { Capabilities } from '../model/data-plane.ts';

export const ENGINE_CAPABILITIES: Omit<Capabilities, 'name'> = {
  families: ['ipv4', 'ipv6'],
  protocols: ['tcp', 'udp', 'sctp'],
  methods: ['masquerade', 'direct', 'tunnel', 'local', 'bypass'],
  schedulers: Object.keys(SCHEDULERS).filter((name) => name !== 'none'),
  fullNat: true,
  persistence: true,
  persistenceEngines: true,
  wildcards: true,
  marks: true,
  sync: true,
};

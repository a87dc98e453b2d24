/** The packet engine as a data plane presents itself: what it can is what its engine can. */
import { ENGINE_CAPABILITIES } from '../engine/capabilities.ts';
import type { Capabilities } from '../model/data-plane.ts';

export const PACKET_ENGINE_CAPABILITIES: Capabilities = { name: 'packet engine', ...ENGINE_CAPABILITIES };

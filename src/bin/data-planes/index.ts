/** Every data plane of `uipvsd`, one line each, in the order in which `auto` tries them. */
import type { DataPlaneKind } from '../../cli/choose-data-plane.ts';
import { kernel } from './kernel.ts';
import { macvtap } from './macvtap.ts';
import { packet } from './packet.ts';
import { proxy } from './proxy.ts';

export const DATA_PLANES: readonly DataPlaneKind[] = [kernel, packet, macvtap, proxy];

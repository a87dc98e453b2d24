/** What can be wrong with a lab: one line each. */
import type { Fault } from '../standing/kind.ts';
import { arp } from './arp.ts';
import { returnPath } from './return-path.ts';

export const FAULTS: readonly Fault[] = [returnPath, arp];

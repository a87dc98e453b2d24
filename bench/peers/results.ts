/** What came out, peer by peer: the shape of bench/results/*.json. */
import type { Machine } from '../machine.ts';
import type { Summary } from '../statistics.ts';
import type { GoalResult } from './goals.ts';
import type { ProfileRow } from './profile.ts';

export interface PeerResult {
  readonly name: string;
  readonly summary: string;
  readonly group: 'limit' | 'kernel' | 'proxy' | 'uipvs';
  /** Why it was not measured; `null`: it was. */
  readonly absent: string | null;
  readonly figures: Readonly<Record<string, Summary>>;
  /** Why a measurement gave nothing, by its name. */
  readonly failures: Readonly<Record<string, string>>;
}

export interface BenchResults {
  readonly machine: Machine;
  /** Sentences about how it was measured. */
  readonly conditions: readonly string[];
  readonly rounds: number;
  /** The peer that is held to the goals: what a user of uipvs gets without asking. */
  readonly ours: string;
  readonly peers: readonly PeerResult[];
  readonly goals: readonly GoalResult[];
  readonly profile: readonly ProfileRow[];
}

/** The median, or `null` where nothing was measured. */
export function figureOf(peers: readonly PeerResult[], peer: string, figure: string): number | null {
  return peers.find(({ name }) => name === peer)?.figures[figure]?.median ?? null;
}

/**
 * What nft would forward on a processor of its own, in thousand packets a second: inline it shares one with the
 * generator, whose own time a packet is known from the cable without anybody between. `null`: not to be told.
 */
export function nftOnItsOwnCore(peers: readonly PeerResult[]): number | null {
  const inline = figureOf(peers, 'nft', 'packets-1');
  const alone = figureOf(peers, 'straight', 'packets-1');
  if (inline === null || alone === null || alone <= inline) return null;
  return 1 / (1 / inline - 1 / alone);
}

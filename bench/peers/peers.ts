/** The peers, one a line; `uipvs` adds its own. */
import { direct, nft, straight } from './kinds/kernel.ts';
import { haproxy, nginx, pen } from './kinds/proxies.ts';
import { findUipvsPeers } from './kinds/uipvs.ts';
import type { Peer } from './peer.ts';

const OTHERS: readonly Peer[] = [straight, direct, nft, haproxy, nginx, pen];

export async function findPeers(): Promise<readonly Peer[]> {
  return [...OTHERS, ...(await findUipvsPeers())];
}

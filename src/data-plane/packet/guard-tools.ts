/** What the command line can do about a guard from outside the daemon that set it up. */
import { IpvsError } from '../../model/errors.ts';
import { runTool } from './run-tool.ts';
import { GUARD_TABLE, HOST_LINK_NAME, isNamespaceLocked, TAP_NEAR_NAME } from './watchdog.ts';

/** The guard as nft lists it, or `null` when there is none in this network namespace. Needs root and nft. */
export async function readGuard(): Promise<string | null> {
  const listing = await runTool('nft', ['list', 'table', 'netdev', GUARD_TABLE]);
  if (listing.code === 0) return listing.stdout;
  if (listing.complaint.includes('No such file')) return null;
  throw new IpvsError(listing.missing ? 'ENOENT' : 'EPERM', nftSentence(listing.missing, listing.complaint));
}

export interface RemovedGuard {
  readonly table: boolean;
  readonly hostLink: boolean;
  readonly tap: boolean;
}

/**
 * Removes table, host link and tap that a daemon left behind. A running daemon's are its own: EPERM, and the way out
 * is to stop that daemon.
 */
export async function removeGuard(): Promise<RemovedGuard> {
  if (await isNamespaceLocked()) throw new IpvsError('EPERM', OWNED);
  const table = await runTool('nft', ['delete', 'table', 'netdev', GUARD_TABLE]);
  if (table.code !== 0 && !table.complaint.includes('No such file')) {
    if (table.complaint.includes('not permitted') && process.getuid?.() === 0) {
      throw new IpvsError('EPERM', OWNED);
    }
    throw new IpvsError(table.missing ? 'ENOENT' : 'EPERM', nftSentence(table.missing, table.complaint));
  }
  const hostLink = await runTool('ip', ['link', 'delete', HOST_LINK_NAME]);
  const tap = await runTool('ip', ['link', 'delete', TAP_NEAR_NAME]);
  return { table: table.code === 0, hostLink: hostLink.code === 0, tap: tap.code === 0 };
}

const OWNED = 'guard and host link belong to a running uipvsd; they go when that daemon is stopped';

/** The reason why the guard cannot work here, with the way out, or `null`. */
export async function guardUnavailable(): Promise<string | null> {
  const listing = await runTool('nft', ['list', 'tables', 'netdev']);
  return listing.code === 0 ? null : nftSentence(listing.missing, listing.complaint);
}

function nftSentence(missing: boolean, complaint: string): string {
  if (missing) {
    return 'nft is not installed: without it the host answers clients with resets; install it (apt-get install nftables) or start with the guard off';
  }
  return `nft does not work here (${complaint}): it needs root or CAP_NET_ADMIN and a kernel with nf_tables; or start with the guard off`;
}

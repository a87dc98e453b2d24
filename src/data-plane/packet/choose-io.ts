/** Which I/O back end carries the frames: the one that was named, or the first that works here. */
import { IpvsError } from '../../model/errors.ts';
import type { PacketIoKind } from '../../packet-io/packet-io.ts';

/** Best first. */
const PREFERENCE: readonly string[] = ['packet-ring', 'packet-mmsg', 'pcap', 'macvtap'];

export interface ChosenIo {
  readonly kind: PacketIoKind;
  /** Why better ones were passed over: for the log. */
  readonly passedOver: readonly string[];
}

/**
 * Throws an IpvsError when the named one does not exist or does not work, for a named one is never replaced
 * silently, or when none works. `shards`: how many workers read the same links.
 */
export async function chooseIo(
  kinds: Readonly<Record<string, PacketIoKind>>,
  named?: string,
  shards = 1,
): Promise<ChosenIo> {
  if (named !== undefined) {
    const kind = Object.hasOwn(kinds, named) ? kinds[named] : undefined;
    if (kind === undefined) {
      throw new IpvsError('EINVAL', `no I/O back end is called ${named}; there are ${Object.keys(kinds).join(', ')}`);
    }
    const reason = unshared(kind, shards) ?? (await kind.unavailable());
    if (reason !== null) throw new IpvsError('EOPNOTSUPP', `I/O back end ${named} does not work here: ${reason}`);
    return { kind, passedOver: [] };
  }
  const passedOver: string[] = [];
  for (const name of PREFERENCE) {
    const kind = kinds[name];
    if (kind === undefined) continue;
    const reason = unshared(kind, shards) ?? (await kind.unavailable());
    if (reason === null) return { kind, passedOver };
    passedOver.push(`${name}: ${reason}`);
  }
  throw new IpvsError('EOPNOTSUPP', `no I/O back end works here: ${passedOver.join('; ')}`);
}

/** Why several workers cannot use it, or `null`. */
function unshared({ sharable }: PacketIoKind, shards: number): string | null {
  if (shards === 1 || sharable === true) return null;
  return `its frames all come to one process, so ${shards} shards cannot share them; use packet-ring or packet-mmsg, or --shards 1`;
}

/** Who is measured. */
import type { Cabling } from './network.ts';
import type { Place } from './place.ts';

/** `packets`: forwards packets of any protocol; `tcp`, `udp`: takes such connections or datagrams as a proxy. */
export type Ability = 'packets' | 'tcp' | 'udp';

export interface Peer {
  /** As `--peers` calls it. */
  readonly name: string;
  readonly summary: string;
  readonly group: 'limit' | 'kernel' | 'proxy' | 'uipvs';
  readonly abilities: readonly Ability[];
  readonly cabling: Cabling;
  /** Whether the director's kernel forwards packets. */
  readonly forwarding: boolean;
  /** Where the client sends to. */
  readonly target: string;
  /** Why it cannot be measured here, with the way out; `null`: it can. */
  readonly absent: string | null;
  /** Starts it on the director; resolves when it answers. Throws a LabError. */
  readonly start: (place: Place) => Promise<void>;
}

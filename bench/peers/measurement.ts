/** What is measured. */
import type { Ability, Peer } from './peer.ts';
import type { Place } from './place.ts';

/** What a run may need to know beyond its place. */
export interface Circumstances {
  readonly peer: Peer;
  readonly place: Place;
  /** Processes of the peer. */
  readonly pids: readonly number[];
  /** How long a run should take, about. */
  readonly seconds: number;
  /** A figure of this peer and this benchmark so far, the median; `null`: there is none. */
  readonly figure: (name: string) => number | null;
  readonly layout: Layout;
}

/** Who runs on which processor during the floods. */
export interface Layout {
  readonly generator: number;
  readonly peer: number;
}

/** Figures by their names. */
export type Figures = Readonly<Record<string, number>>;

export interface Measurement {
  /** As `--only` calls it. */
  readonly name: string;
  readonly title: string;
  readonly needs: Ability;
  /** Measured only where kernel forwarding, or what looks like it, is between (not for what ends connections). */
  readonly run: (circumstances: Circumstances) => Promise<Figures>;
}

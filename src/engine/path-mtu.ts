/**
 * What is known about paths to tunnel ends that are narrower than their first link: told by "fragmentation needed"
 * about our outer packets. Source: RFC 1191; a value is believed for ten minutes.
 */
import type { EngineContext } from './context.ts';

const LIFETIME_MS = 600_000;
/** The kernel keeps no smaller one (net.ipv4.route.min_pmtu). */
const MTU_MIN = 552;

export class PathMtu {
  /** By destination index: MTU and until when. */
  readonly #known = new Map<number, { readonly mtu: number; readonly untilMs: number }>();

  /** The MTU towards a destination whose first link has `linkMtu`. */
  towards(context: EngineContext, index: number, linkMtu: number): number {
    if (this.#known.size === 0) return linkMtu;
    const known = this.#known.get(index);
    if (known === undefined) return linkMtu;
    if (known.untilMs > context.nowMs) return Math.min(known.mtu, linkMtu);
    this.#known.delete(index);
    return linkMtu;
  }

  /** Takes over what another knows; `indexOf` gives a destination's index here, `undefined`: it is not here. */
  copyFrom(other: PathMtu, indexOf: (index: number) => number | undefined): void {
    for (const [index, known] of other.#known) {
      const own = indexOf(index);
      if (own !== undefined) this.#known.set(own, known);
    }
  }

  isKnown(index: number): boolean {
    return this.#known.has(index);
  }

  learn(context: EngineContext, index: number, mtu: number): void {
    this.#known.set(index, { mtu: Math.max(mtu, MTU_MIN), untilMs: context.nowMs + LIFETIME_MS });
  }

  forget(index: number): void {
    this.#known.delete(index);
  }
}

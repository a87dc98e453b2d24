/**
 * Next hops and their MAC addresses: asks by ARP or neighbour discovery, learns from what is said, parks frames for a hop that has not
 * answered yet, and answers for VIPs that the host does not own. Source: RFC 826, RFC 1122 section 2.3.2, RFC 4861 section 7.
 */

import { EndpointIndex } from '../balance/endpoint-index.ts';
import { NEIGHBORS_MAX, OUTBOX_FRAME_BYTES, PARKED_FRAMES_MAX, PARKED_FRAMES_PER_NEIGHBOR } from '../model/limits.ts';
import type { NetworkNeighbor } from '../model/network.ts';
import { parseAddress, parseMac } from '../wire/address.ts';
import { writeArpRequest } from '../wire/arp.ts';
import { setEthernetAddresses } from '../wire/ethernet.ts';
import { type AddressWords, writeNeighborSolicitation } from '../wire/neighbor-discovery.ts';
import type { EngineContext } from './context.ts';
import { type EngineLink, NO_ADDRESS } from './network.ts';
import { chooseIpv6Source } from './source-address.ts';
import { REASON } from './verdict.ts';

/** Between two questions for a hop that does not answer; after this many it counts as unreachable. */
const RETRY_MS = 1000;
const PROBES_MAX = 3;
/** A known hop that is in use is asked again after this long, and used on meanwhile. */
const REFRESH_MS = 30_000;

export interface Neighbor extends AddressWords {
  readonly link: EngineLink;
  readonly ipv6: boolean;
  readonly mac: Uint8Array;
  /** The MAC is known. */
  resolved: boolean;
  /** Set by the operator: never asked for. */
  permanent: boolean;
  /** Thrown out of the table: whoever remembers it must look again. */
  forgotten: boolean;
  confirmedMs: number;
  /** Questions asked since the last answer, and when the next is due (0: none). */
  probes: number;
  nextProbeMs: number;
  parked: Uint8Array[];
  /** How often it stopped being what it was, while its MAC was known. */
  changes: number;
}

export class NeighborTable {
  /** By link, family and address. */
  #byKey = new EndpointIndex<Neighbor>();
  #all = new Set<Neighbor>();
  /** Those with a question on the way. */
  readonly #asking = new Set<Neighbor>();
  #parkedFrames = 0;
  /** Of all neighbours together: another MAC, none any more, or thrown out. */
  changes = 0;

  get size(): number {
    return this.#all.size;
  }

  /** The neighbour at `address` on `link`; a new one is unresolved. */
  of(link: EngineLink, hop: AddressWords & { readonly ipv6: boolean }): Neighbor {
    const { ipv6, address0, address1, address2, address3 } = hop;
    let neighbor = this.#byKey.find(tagOf(link, ipv6), address0, address1, address2, address3, 0);
    if (neighbor === null) {
      if (this.#all.size >= NEIGHBORS_MAX) this.#makeRoom();
      neighbor = {
        link,
        ipv6,
        address0,
        address1,
        address2,
        address3,
        mac: new Uint8Array(6),
        resolved: false,
        permanent: false,
        forgotten: false,
        confirmedMs: 0,
        probes: 0,
        nextProbeMs: 0,
        parked: [],
        changes: 0,
      };
      this.#byKey.set(tagOf(link, ipv6), address0, address1, address2, address3, 0, neighbor);
      this.#all.add(neighbor);
    }
    return neighbor;
  }

  /** Takes over what another table knows, and copies of the frames that wait there. */
  copyFrom(other: NeighborTable): void {
    for (const before of other.#all) {
      const neighbor = this.of(before.link, before);
      neighbor.mac.set(before.mac);
      neighbor.resolved = before.resolved;
      neighbor.permanent = before.permanent;
      neighbor.confirmedMs = before.confirmedMs;
      neighbor.probes = before.probes;
      neighbor.nextProbeMs = before.nextProbeMs;
      // Parked bytes are never changed.
      neighbor.parked = [...before.parked];
    }
    this.#parkedFrames = other.#parkedFrames;
  }

  /** Called when links, addresses or permanent entries changed: what was learned on a link that stays is kept. */
  rebuild(links: (index: number) => EngineLink | null, permanent: readonly NetworkNeighbor[]): void {
    const old = this.#all;
    this.#byKey = new EndpointIndex();
    this.#all = new Set();
    this.#asking.clear();
    for (const before of old) {
      this.#forget(before);
      this.#parkedFrames -= before.parked.length;
      const link = links(before.link.index);
      if (link === null || before.permanent || !before.resolved) continue;
      const neighbor = this.of(link, before);
      neighbor.mac.set(before.mac);
      neighbor.resolved = true;
      neighbor.confirmedMs = before.confirmedMs;
    }
    for (const entry of permanent) {
      const link = links(entry.linkIndex);
      const address = parseAddress(entry.address);
      const mac = parseMac(entry.mac);
      if (link === null || address === null || mac === null) continue;
      const [address0, address1, address2, address3] = address.words as unknown as [number, number, number, number];
      const ipv6 = address.family === 'ipv6';
      const neighbor = this.of(link, { ipv6, address0, address1, address2, address3 });
      neighbor.mac.set(mac);
      neighbor.resolved = true;
      neighbor.permanent = true;
    }
  }

  /** A hop in use at `usedMs`: asks again when its last answer was old then. */
  refresh(context: EngineContext, neighbor: Neighbor, usedMs: number = context.nowMs): void {
    if (neighbor.permanent || neighbor.nextProbeMs !== 0) return;
    if (usedMs - neighbor.confirmedMs >= REFRESH_MS) this.#ask(context, neighbor);
  }

  /**
   * Keeps a copy of the frame `bytes[start..end)` until the hop answers. False: no room, or a frame too long to
   * be kept; the sender will repeat it.
   */
  park(context: EngineContext, neighbor: Neighbor, bytes: Uint8Array, start: number, end: number): boolean {
    if (end - start > OUTBOX_FRAME_BYTES || this.#parkedFrames >= PARKED_FRAMES_MAX) return false;
    if (neighbor.parked.length >= PARKED_FRAMES_PER_NEIGHBOR) return false;
    neighbor.parked.push(bytes.slice(start, end));
    this.#parkedFrames++;
    if (neighbor.nextProbeMs === 0) this.#ask(context, neighbor);
    return true;
  }

  /** Somebody at `address` on `link` said that its MAC is `mac`; only known neighbours are of interest. */
  learn(
    context: EngineContext,
    link: EngineLink,
    ipv6: boolean,
    w0: number,
    w1: number,
    w2: number,
    w3: number,
    mac: Uint8Array,
  ): void {
    const neighbor = this.#byKey.find(tagOf(link, ipv6), w0, w1, w2, w3, 0);
    if (neighbor === null || neighbor.permanent) return;
    if (!isSameMac(neighbor.mac, mac)) this.#countChange(neighbor);
    neighbor.mac.set(mac);
    neighbor.resolved = true;
    neighbor.confirmedMs = context.nowMs;
    neighbor.probes = 0;
    neighbor.nextProbeMs = 0;
    this.#asking.delete(neighbor);
    this.#release(context, neighbor);
  }

  /** Repeats questions, gives up on hops that never answer. */
  advance(context: EngineContext): void {
    for (const neighbor of this.#asking) {
      if (neighbor.nextProbeMs > context.nowMs) continue;
      if (neighbor.probes < PROBES_MAX) {
        this.#ask(context, neighbor);
        continue;
      }
      this.#asking.delete(neighbor);
      this.#countChange(neighbor);
      neighbor.resolved = false;
      neighbor.probes = 0;
      neighbor.nextProbeMs = 0;
      context.dropCounts[REASON['neighbor-unknown']]! += neighbor.parked.length;
      this.#parkedFrames -= neighbor.parked.length;
      neighbor.parked = [];
    }
  }

  /** When `advance` has something to do, Infinity: nothing is asked for. */
  nextDeadlineMs(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const neighbor of this.#asking) next = Math.min(next, neighbor.nextProbeMs);
    return next;
  }

  #forget(neighbor: Neighbor): void {
    neighbor.forgotten = true;
    this.#countChange(neighbor);
  }

  /** Of one that was not known nobody relies on anything. */
  #countChange(neighbor: Neighbor): void {
    if (!neighbor.resolved) return;
    neighbor.changes++;
    this.changes++;
  }

  #ask(context: EngineContext, neighbor: Neighbor): void {
    neighbor.probes++;
    neighbor.nextProbeMs = context.nowMs + RETRY_MS;
    this.#asking.add(neighbor);
    const slot = context.claimOutboxSlot();
    if (slot < 0) return;
    const { outbox } = context;
    const start = outbox.start[slot] as number;
    const { link } = neighbor;
    outbox.end[slot] = neighbor.ipv6
      ? writeNeighborSolicitation(outbox.bytes, start, link.mac, senderOf(neighbor), neighbor)
      : start + writeArpRequest(outbox.bytes, start, link.mac, senderOfArp(neighbor), neighbor.address3);
    outbox.egress[slot] = link.index;
  }

  #release(context: EngineContext, neighbor: Neighbor): void {
    const { outbox } = context;
    for (const frame of neighbor.parked) {
      const slot = context.claimOutboxSlot();
      if (slot < 0) continue;
      const start = outbox.start[slot] as number;
      outbox.bytes.set(frame, start);
      outbox.end[slot] = start + frame.length;
      setEthernetAddresses(outbox.bytes, start, neighbor.mac, neighbor.link.mac);
      outbox.egress[slot] = neighbor.link.index;
    }
    this.#parkedFrames -= neighbor.parked.length;
    neighbor.parked = [];
  }

  /** Throws out learned entries that nobody waits for, a quarter of the table, oldest first. */
  #makeRoom(): void {
    let left = NEIGHBORS_MAX / 4;
    for (const neighbor of this.#all) {
      if (left === 0) break;
      if (neighbor.permanent || neighbor.parked.length > 0) continue;
      this.#forget(neighbor);
      this.#asking.delete(neighbor);
      this.#all.delete(neighbor);
      const { link, ipv6, address0, address1, address2, address3 } = neighbor;
      this.#byKey.delete(tagOf(link, ipv6), address0, address1, address2, address3, 0);
      left--;
    }
  }
}

function isSameMac(a: Uint8Array, b: Uint8Array): boolean {
  return a.every((byte, at) => byte === b[at]);
}

function tagOf(link: EngineLink, ipv6: boolean): number {
  return (link.index << 1) | (ipv6 ? 1 : 0);
}

/** Whose question it is: an address in the neighbour's own network if there is one. */
function senderOfArp({ link, address3 }: Neighbor): number {
  const { addresses } = link;
  const near = addresses.find(({ address, mask }) => (address & mask) === (address3 & mask)) ?? addresses[0];
  return near?.address ?? 0;
}

function senderOf(neighbor: Neighbor): AddressWords {
  return chooseIpv6Source(neighbor.link.addresses6, neighbor) ?? NO_ADDRESS;
}

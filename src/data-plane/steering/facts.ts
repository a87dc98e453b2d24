/**
 * What decides which shard a packet belongs to, gathered from the commands that were accepted and from the network.
 * Everything is only ever added: connections outlive the services and servers they were made for, and a packet of
 * theirs must go on to the same shard.
 */
import type { Command } from '../../model/commands.ts';
import type { NetworkSnapshot } from '../../model/network.ts';
import { isMarkKey, type ServiceSpec } from '../../model/service.ts';
import { parseAddress, parsePrefix, prefixMaskWord } from '../../wire/address.ts';
import { AddressSet } from './address-set.ts';

/** First and last address of a source NAT rule, as unsigned words. */
export type Ipv4Range = readonly [first: number, last: number];

export class SteeringFacts {
  readonly shards: number;
  /** Addresses of services. */
  readonly virtual = new AddressSet();
  readonly servers = new AddressSet();
  /** Addresses that full NAT may put in as a source, this host's own included. */
  readonly local = new AddressSet();
  readonly localRanges: Ipv4Range[] = [];
  /** Ports of services, whatever their address: no source port of full NAT is one of them. */
  readonly servicePorts = new Set<number>();
  /** UDP ports of GUE tunnels. */
  readonly tunnelPorts = new Set<number>();
  /**
   * What is looked at of a client's address: the bits that the persistence masks of all services have in common, so
   * that clients who share a template share a shard.
   */
  readonly mask4: Int32Array = Int32Array.of(-1);
  readonly mask6: Int32Array = Int32Array.of(-1, -1, -1, -1);
  /** Grows with every change. */
  version = 0;

  constructor(shards: number) {
    this.shards = shards;
  }

  /** Takes note of a command that was carried out. */
  note(command: Command): void {
    switch (command.name) {
      case 'addService':
      case 'editService':
        this.#noteService(command.service);
        return;
      case 'addDestination':
      case 'editDestination': {
        const { address, tunnel } = command.destination;
        this.#changed(this.servers.addText(address));
        if (tunnel?.type === 'gue') this.#addTo(this.tunnelPorts, tunnel.port);
        return;
      }
      case 'addMarkRule': {
        const prefix = command.rule.destination === undefined ? null : parsePrefix(command.rule.destination);
        // Of a whole network the servers' addresses say enough, unless servers are its clients.
        if (prefix === null || prefix.length !== (prefix.family === 'ipv6' ? 128 : 32)) return;
        const [w0, w1, w2, w3] = prefix.words as unknown as [number, number, number, number];
        this.#changed(this.virtual.add(prefix.family === 'ipv6', w0, w1, w2, w3));
      }
    }
  }

  noteNetwork({ links, hostLink, sourceNat }: NetworkSnapshot): void {
    for (const { addresses } of links) for (const { address } of addresses) this.noteLocal(address);
    if (hostLink !== null) {
      this.noteLocal(hostLink.engineAddress);
      if (hostLink.engineAddress6 !== undefined) this.noteLocal(hostLink.engineAddress6);
    }
    for (const { next } of sourceNat?.steps ?? []) {
      if ('target' in next && next.target.addresses !== null) this.#noteRange(...next.target.addresses);
    }
  }

  /** `none` and `masquerade` are no addresses of their own. */
  noteLocal(text: string): void {
    this.#changed(this.local.addText(text));
  }

  #noteRange(first: string, last: string): void {
    if (first === last) {
      this.noteLocal(first);
      return;
    }
    const low = parseAddress(first);
    const high = parseAddress(last);
    if (low === null || high === null) return;
    if (low.family === 'ipv6') {
      // Too rare for an order on 128 bits: all of IPv6 meets in one shard then.
      this.#changed(narrow(this.mask6, [0, 0, 0, 0]));
      return;
    }
    const range: Ipv4Range = [(low.words[3] as number) >>> 0, (high.words[3] as number) >>> 0];
    if (this.localRanges.some(([from, to]) => from === range[0] && to === range[1])) return;
    this.localRanges.push(range);
    this.#changed(true);
  }

  #noteService({ key, netmask, persistenceTimeoutSeconds, persistenceEngine, sourceNat }: ServiceSpec): void {
    const ipv6 = isMarkKey(key) ? key.family === 'ipv6' : parseAddress(key.address)?.family === 'ipv6';
    if (!isMarkKey(key)) {
      this.#changed(this.virtual.addText(key.address));
      if (key.port !== 0) this.#addTo(this.servicePorts, key.port);
    }
    if (sourceNat !== undefined) this.noteLocal(sourceNat);
    if (persistenceTimeoutSeconds === null || persistenceTimeoutSeconds === undefined) return;
    const mask = ipv6 ? this.mask6 : this.mask4;
    if (persistenceEngine !== null && persistenceEngine !== undefined) {
      // Who belongs together stands in the payload: only one shard can know.
      this.#changed(narrow(mask, ipv6 ? [0, 0, 0, 0] : [0]));
    } else if (netmask !== undefined) {
      this.#changed(narrow(mask, ipv6 ? prefixMask(Number(netmask)) : [parseAddress(netmask)?.words[3] ?? -1]));
    }
  }

  #addTo(ports: Set<number>, port: number): void {
    this.#changed(!ports.has(port));
    ports.add(port);
  }

  #changed(yes: boolean): void {
    if (yes) this.version++;
  }
}

function prefixMask(length: number): number[] {
  return [0, 1, 2, 3].map((index) => prefixMaskWord(true, length, index));
}

/** Leaves the bits that both have. Returns whether that is a change. */
function narrow(mask: Int32Array, other: readonly number[]): boolean {
  let changed = false;
  for (let index = 0; index < mask.length; index++) {
    const before = mask[index] as number;
    mask[index] = before & (other[index] as number);
    if (mask[index] !== before) changed = true;
  }
  return changed;
}

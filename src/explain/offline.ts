/**
 * A director that is not there: an engine with the services of a file, on a made-up network of one link on which every
 * address is a neighbour. For looking at a configuration, or at a capture, where no daemon runs.
 */
import { Engine } from '../engine/engine.ts';
import { PacketPairing } from '../engine/pairing.ts';
import type { Answer, Command, CommandName } from '../model/commands.ts';
import type { NetworkNeighbor, NetworkRoute, NetworkSnapshot } from '../model/network.ts';
import type { PacketTrace } from '../model/packet-trace.ts';
import { familyOfAddress } from '../model/service.ts';
import { parseAddress, parseMac } from '../wire/address.ts';
import { ETHERTYPE_IPV4, ETHERTYPE_IPV6, setEthernetAddresses, setEtherType } from '../wire/ethernet.ts';

export const OFFLINE_LINK = 'eth0';
const LINK_INDEX = 1;
const LINK_MAC = '02:00:00:00:00:01';
const SENDER_MAC = '02:00:00:00:00:fe';
const MTU = 1_500;
const CONNECTIONS_MAX = 65_536;

export interface OfflineNetwork {
  /** Addresses of the director: those of its services, and its own. The first is the source of full NAT. */
  readonly own: readonly string[];
  /** Addresses of everybody else: servers and clients. */
  readonly others: readonly string[];
}

export class OfflineDirector {
  readonly #engine: Engine;
  readonly #pairing: PacketPairing;
  #nowMs = 0;

  constructor(network: OfflineNetwork) {
    this.#engine = new Engine({ seed: 1, connectionsMax: CONNECTIONS_MAX, defaultSourceNat: 'none', nowMs: 0 });
    this.#engine.setNetwork(snapshotOf(network));
    this.#pairing = new PacketPairing(this.#engine);
  }

  execute<N extends CommandName>(command: Command<N>): Answer<N> {
    return this.#engine.execute(command);
  }

  /** A packet arrives `atMs` milliseconds after the beginning, and has its effect. `packet`: from the IP header on. */
  arrive(packet: Uint8Array, atMs: number, mark = 0): PacketTrace {
    while (this.#nowMs < atMs) {
      this.#nowMs = Math.min(atMs, Math.max(this.#nowMs + 1, Math.ceil(this.#engine.nextDeadlineMs())));
      this.#engine.advance(this.#nowMs);
      this.#engine.outbox.clear();
    }
    const frame = new Uint8Array(14 + packet.length);
    setEthernetAddresses(frame, 0, macBytes(LINK_MAC), macBytes(SENDER_MAC));
    setEtherType(frame, 0, (packet[0] ?? 0) >>> 4 === 6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4);
    frame.set(packet, 14);
    const { trace } = this.#pairing.process({ bytes: frame, linkIndex: LINK_INDEX, mark }, this.#nowMs);
    this.#engine.outbox.clear();
    return trace;
  }
}

function snapshotOf({ own, others }: OfflineNetwork): NetworkSnapshot {
  const addresses = [...new Set(own)].filter((address) => !isLoopback(address));
  const neighbors = [...new Set(others)].filter((address) => !addresses.includes(address) && !isLoopback(address));
  return {
    links: [
      {
        index: LINK_INDEX,
        name: OFFLINE_LINK,
        mac: LINK_MAC,
        mtu: MTU,
        loopback: false,
        up: true,
        addresses: addresses.map((address) => ({ address, prefixLength: address.includes(':') ? 128 : 32 })),
      },
    ],
    routes: [everything('0.0.0.0/0'), everything('::/0')],
    neighbors: neighbors.map(neighborOf),
    hostLink: null,
    localPortRange: [32_768, 60_999],
  };
}

function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1';
}

function everything(destination: string): NetworkRoute {
  return {
    family: familyOfAddress(destination),
    destination,
    gateway: null,
    linkIndex: LINK_INDEX,
    preferredSource: null,
    metric: 0,
    type: 'unicast',
  };
}

/** A MAC with the last bytes of the address in it: 10.1.0.11 is 02:00:0a:01:00:0b. */
function neighborOf(address: string): NetworkNeighbor {
  const word = parseAddress(address)?.words[3] ?? 0;
  const bytes = [0x02, 0x00, word >>> 24, (word >>> 16) & 0xff, (word >>> 8) & 0xff, word & 0xff];
  return { address, linkIndex: LINK_INDEX, mac: bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':') };
}

function macBytes(text: string): Uint8Array {
  return parseMac(text) as Uint8Array;
}

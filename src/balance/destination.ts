/**
 * A real server behind one service, with its load. The object outlives its deletion while connections use it: a
 * server that is added again finds its counters and connections.
 */
import type { DestinationKey, DestinationSpec, DestinationStatus } from '../model/destination.ts';
import type { ForwardingMethod, TunnelSpec } from '../model/forwarding.ts';
import { type Address, formatAddress } from '../wire/address.ts';
import { Counters } from './counters.ts';
import type { SharedLoad } from './shared-load.ts';
import type { VirtualService } from './virtual-service.ts';

/** What can be changed about a destination: its spec without its identity. */
export type DestinationSettings = Omit<DestinationSpec, keyof DestinationKey>;

export class Destination {
  /** Family of its own address: with tunnels it may differ from the service's. */
  readonly ipv6: boolean;
  /** Four int32 words, IPv4 in the last. */
  readonly address0: number;
  readonly address1: number;
  readonly address2: number;
  readonly address3: number;
  /** Canonical text of the same. */
  readonly address: string;
  /** 0: the port the client asked for. */
  readonly port: number;
  /** Small and unique among the destinations that exist, deleted ones with connections included. */
  readonly index: number;

  method: ForwardingMethod;
  /** 0: takes no new connections. */
  weight: number;
  /** The weight it was added with, later the last one that was not 0: Maglev hashing builds its table from it. */
  lastWeight: number;
  /** 0: never overloaded. */
  upperThreshold: number;
  lowerThreshold: number;
  tunnel: TunnelSpec;
  /** False once it is deleted. */
  available = true;
  /** It has reached its upper threshold: schedulers pass it by. */
  overloaded = false;

  activeConnections = 0;
  inactiveConnections = 0;
  /** What its thresholds are about when others count too; `null`: its own connections. */
  sharedLoad: SharedLoad | null = null;
  /** Templates. */
  persistentConnections = 0;
  /** Connections and templates bound to it. */
  references = 0;
  /** Counts only while it is available; the caller sees to that. */
  readonly counters = new Counters();
  /** Its service, or the last one while it is deleted. */
  service: VirtualService;

  constructor(service: VirtualService, address: Address, port: number, settings: DestinationSettings, index: number) {
    this.service = service;
    this.ipv6 = address.family === 'ipv6';
    this.address0 = address.words[0] as number;
    this.address1 = address.words[1] as number;
    this.address2 = address.words[2] as number;
    this.address3 = address.words[3] as number;
    this.address = formatAddress(address.family, address.words);
    this.port = port;
    this.index = index;
    this.method = settings.method;
    this.weight = settings.weight;
    this.lastWeight = settings.weight;
    this.upperThreshold = settings.upperThreshold;
    this.lowerThreshold = settings.lowerThreshold;
    this.tunnel = settings.tunnel;
  }

  /** Changes the settings; `added`: it comes back after it was deleted. */
  configure(settings: DestinationSettings, added: boolean): void {
    // Compared with the old threshold: any rise gives the destination another chance, even at full load.
    if (settings.upperThreshold === 0 || settings.upperThreshold > this.upperThreshold) this.overloaded = false;
    this.method = settings.method;
    this.weight = settings.weight;
    if (added || settings.weight !== 0) this.lastWeight = settings.weight;
    this.upperThreshold = settings.upperThreshold;
    this.lowerThreshold = settings.lowerThreshold;
    this.tunnel = settings.tunnel;
  }

  /** A new connection or template uses this destination. `inactive` does not matter for templates. */
  bind(inactive: boolean, template: boolean): void {
    this.references++;
    if (template) this.persistentConnections++;
    else if (inactive) this.inactiveConnections++;
    else this.activeConnections++;
    if (!template) this.sharedLoad?.add(1);
    if (this.upperThreshold !== 0 && this.#connections() >= this.upperThreshold) this.overloaded = true;
  }

  /** The connection is gone; the arguments say how it was counted last. */
  unbind(inactive: boolean, template: boolean): void {
    this.references--;
    if (template) this.persistentConnections--;
    else if (inactive) this.inactiveConnections--;
    else this.activeConnections--;
    if (!template) this.sharedLoad?.add(-1);
    if (this.overloaded && this.#hasRoomAgain()) this.overloaded = false;
  }

  /** Other tables' connections came or went since the last look. */
  refreshOverload(): void {
    if (this.upperThreshold === 0 || this.sharedLoad === null) return;
    if (this.overloaded) this.overloaded = !this.#hasRoomAgain();
    else this.overloaded = this.#connections() >= this.upperThreshold;
  }

  /** A bound connection became inactive, or active again. The sum stays, so the overload flag does too. */
  setInactive(inactive: boolean): void {
    const step = inactive ? 1 : -1;
    this.inactiveConnections += step;
    this.activeConnections -= step;
  }

  /** Somebody else carries so many more connections to this server, or fewer. */
  shift(active: number, inactive: number): void {
    this.references += active + inactive;
    this.activeConnections += active;
    this.inactiveConnections += inactive;
    if (this.upperThreshold !== 0 && this.#connections() >= this.upperThreshold) this.overloaded = true;
    else if (this.overloaded && this.#hasRoomAgain()) this.overloaded = false;
  }

  /** True for the server with this address and port. */
  hasEndpoint(ipv6: boolean, w0: number, w1: number, w2: number, w3: number, port: number): boolean {
    return (
      this.address3 === w3 &&
      this.port === port &&
      this.address2 === w2 &&
      this.address1 === w1 &&
      this.address0 === w0 &&
      this.ipv6 === ipv6
    );
  }

  spec(): DestinationSpec {
    return {
      address: this.address,
      port: this.port,
      method: this.method,
      weight: this.weight,
      upperThreshold: this.upperThreshold,
      lowerThreshold: this.lowerThreshold,
      tunnel: this.tunnel,
    };
  }

  status(): DestinationStatus {
    return {
      spec: this.spec(),
      activeConnections: this.activeConnections,
      inactiveConnections: this.inactiveConnections,
      persistentConnections: this.persistentConnections,
      statistics: this.counters.statistics(),
      rates: this.counters.rates(),
    };
  }

  #connections(): number {
    return this.sharedLoad?.total() ?? this.activeConnections + this.inactiveConnections;
  }

  /** Below the lower threshold, or below three quarters of the upper one when there is none. */
  #hasRoomAgain(): boolean {
    if (this.lowerThreshold !== 0) return this.#connections() < this.lowerThreshold;
    return this.upperThreshold === 0 || this.#connections() * 4 < this.upperThreshold * 3;
  }
}

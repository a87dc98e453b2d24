/**
 * The virtual services with their destinations: the truth about what is configured. Every method that changes it
 * throws an IpvsError with the kernel's error code, in the kernel's order of checks, and then has changed nothing.
 */
import type { DestinationKey, DestinationSpec } from '../model/destination.ts';
import { IpvsError } from '../model/errors.ts';
import { DESTINATIONS_MAX, SERVICES_MAX } from '../model/limits.ts';
import {
  familyOfAddress,
  formatEndpoint,
  formatServiceKey,
  type ServiceKey,
  type ServiceSpec,
  type SourceNat,
} from '../model/service.ts';
import { formatAddress } from '../wire/address.ts';
import { type AddressKindOf, addressKindByForm } from './address-kind.ts';
import {
  type CheckedDestinationKey,
  invalid,
  readDestinationKey,
  readServiceKey,
  readServiceSettings,
} from './checks.ts';
import { Counters } from './counters.ts';
import { Destination, type DestinationSettings } from './destination.ts';
import { RealServers } from './real-servers.ts';
import type { SchedulerKind } from './scheduler.ts';
import { ServiceIndex } from './service-index.ts';
import { checkDestination, checkService } from './table-checks.ts';
import { TableEnvironment } from './table-environment.ts';
import { Trash } from './trash.ts';
import { type ServiceIdentity, type ServiceSettings, VirtualService } from './virtual-service.ts';

export interface ServiceTableOptions {
  /** Seeded source of numbers of at least 0 and below 1. */
  readonly random: () => number;
  /** A source of the numbers that `random` will give next, which uses none of them up. */
  readonly peekRandom?: () => () => number;
  /** For services whose spec does not say. An address is used for services of its family, `masquerade` for others. */
  readonly defaultSourceNat: SourceNat;
  readonly nowTicks: number;
  /** What the host's routes say about an address; without it, its form decides. */
  readonly addressKindOf?: AddressKindOf;
}

export class ServiceTable {
  readonly environment: TableEnvironment;
  /** Of everything that is counted for some destination. */
  readonly totals = new Counters();

  readonly #defaultSourceNat: SourceNat;
  readonly #addressKindOf: AddressKindOf;
  readonly #services: ServiceIndex;
  readonly #realServers = new RealServers();
  readonly #trash = new Trash((destination) => this.#release(destination));
  /** Services whose scheduler keeps house. */
  readonly #housekept = new Set<VirtualService>();
  /** Destinations by index, deleted ones that are still kept included. */
  readonly #destinations: (Destination | null)[] = [];
  readonly #freeIndexes: number[] = [];
  #serials = 0;
  #version = 0;
  #enginesVersion = -1;
  #usesEngines = false;

  constructor(options: ServiceTableOptions) {
    this.environment = new TableEnvironment(options.random, options.nowTicks, options.peekRandom);
    this.#defaultSourceNat = options.defaultSourceNat;
    this.#addressKindOf = options.addressKindOf ?? addressKindByForm;
    this.#services = new ServiceIndex(Math.floor(options.random() * 256));
  }

  /** Grows with every change of what is configured. */
  get version(): number {
    return this.#version;
  }

  get serviceCount(): number {
    return this.#services.size;
  }

  serviceCountOf(ipv6: boolean): number {
    return this.#services.sizeOf(ipv6);
  }

  /** In table order: bucket by bucket, the newest first in each. Not to be changed. */
  services(): readonly VirtualService[] {
    return this.#services.ordered();
  }

  /** Place of the service's bucket in table order. */
  bucketOf(service: VirtualService): number {
    return this.#services.bucketOf(service);
  }

  addService(spec: ServiceSpec, nowTicks: number): VirtualService {
    this.environment.nowTicks = nowTicks;
    const identity = readServiceKey(spec?.key);
    const checked = readServiceSettings(spec, identity);
    if (this.#get(identity) !== null) {
      throw new IpvsError('EEXIST', `service ${formatServiceKey(identity.key)} exists already`);
    }
    const kind = checkService(checked, identity);
    if (this.#services.size >= SERVICES_MAX)
      throw new IpvsError('ENOMEM', `there are ${SERVICES_MAX} services already`);
    const sourceNat = checked.sourceNat ?? this.#defaultSourceNatOf(identity.ipv6);
    const service = new VirtualService(identity, { ...checked, sourceNat }, this.#serials++);
    this.#setScheduler(service, kind);
    this.#services.add(service);
    this.#version++;
    return service;
  }

  /** Replaces everything but the key; the scheduler starts afresh only when it is another one. */
  editService(spec: ServiceSpec, nowTicks: number): VirtualService {
    this.environment.nowTicks = nowTicks;
    const identity = readServiceKey(spec?.key);
    const checked = readServiceSettings(spec, identity);
    const service = this.#require(identity);
    const kind = checkService(checked, identity);
    if (kind.name !== service.schedulerName) this.#setScheduler(service, kind);
    const settings: ServiceSettings = { ...checked, sourceNat: checked.sourceNat ?? service.sourceNat };
    service.configure(settings);
    this.#version++;
    return service;
  }

  /** Its destinations go to the trash, where a service with the same key finds them for a while. */
  deleteService(key: ServiceKey, nowTicks = this.environment.nowTicks): VirtualService {
    this.environment.nowTicks = nowTicks;
    const service = this.#require(readServiceKey(key));
    this.#discard(service);
    this.#version++;
    return service;
  }

  /** Deletes every service. */
  flush(nowTicks = this.environment.nowTicks): void {
    this.environment.nowTicks = nowTicks;
    for (const service of [...this.#services]) this.#discard(service);
    this.#version++;
  }

  addDestination(serviceKey: ServiceKey, spec: DestinationSpec, nowTicks: number): Destination {
    this.environment.nowTicks = nowTicks;
    const service = this.#require(readServiceKey(serviceKey));
    const key = readDestinationKey(spec);
    const settings = checkDestination(spec, key, service, this.environment.syncDaemonRunning);
    if (findIn(service, key) !== null) {
      throw new IpvsError('EEXIST', `${describe(service, key)} exists already`);
    }
    const destination = this.#takeBack(service, key, settings) ?? this.#create(service, key, settings);
    service.destinations.unshift(destination);
    this.#realServers.add(destination);
    service.scheduler.destinationsChanged('add', destination);
    this.#version++;
    return destination;
  }

  editDestination(serviceKey: ServiceKey, spec: DestinationSpec, nowTicks: number): Destination {
    this.environment.nowTicks = nowTicks;
    const service = this.#require(readServiceKey(serviceKey));
    const key = readDestinationKey(spec);
    const settings = checkDestination(spec, key, service, this.environment.syncDaemonRunning);
    const destination = requireIn(service, key);
    const moves = isOtherPlace(destination, settings);
    if (moves) this.#realServers.remove(destination);
    destination.configure(settings, false);
    if (moves) this.#realServers.add(destination);
    service.scheduler.destinationsChanged('edit', destination);
    this.#version++;
    return destination;
  }

  /** Its connections stay; it is kept in the trash for them, and for being added again. */
  deleteDestination(serviceKey: ServiceKey, key: DestinationKey, nowTicks = this.environment.nowTicks): Destination {
    this.environment.nowTicks = nowTicks;
    const service = this.#require(readServiceKey(serviceKey));
    const destination = requireIn(service, readDestinationKey(key));
    service.destinations.splice(service.destinations.indexOf(destination), 1);
    this.#throwAway(destination);
    service.scheduler.destinationsChanged('delete', destination);
    this.#version++;
    return destination;
  }

  /** The service with this key; ESRCH when there is none. */
  getService(key: ServiceKey): VirtualService {
    return this.#require(readServiceKey(key));
  }

  /** The service that a packet is for, or `null`. `mark` is 0 for packets without one. Allocates nothing. */
  findService(
    mark: number,
    ipv6: boolean,
    protocol: number,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
    port: number,
  ): VirtualService | null {
    const portStart = this.environment.unprivilegedPortStart;
    return this.#services.find(mark, ipv6, protocol, a0, a1, a2, a3, port, portStart);
  }

  /**
   * The masquerade destination with exactly this endpoint whose service has the protocol, or a firewall mark; the
   * newest of several. One with port 0 is found by port 0 only.
   */
  findRealServer(
    protocol: number,
    ipv6: boolean,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
    port: number,
  ): Destination | null {
    return this.#realServers.find(protocol, ipv6, a0, a1, a2, a3, port);
  }

  /** The destination at the end of a tunnel: port 0 for IPIP and GRE, else GUE's. */
  findTunnel(ipv6: boolean, a0: number, a1: number, a2: number, a3: number, port: number): Destination | null {
    return this.#realServers.findTunnel(ipv6, a0, a1, a2, a3, port);
  }

  /** True when some service has this address, whatever its protocol and port. Marks have none. */
  isServiceAddress(ipv6: boolean, a0: number, a1: number, a2: number, a3: number): boolean {
    return this.#services.hasAddress(ipv6, a0, a1, a2, a3);
  }

  /** The destination with this index, deleted ones included while they have connections. */
  destinationAt(index: number): Destination {
    return this.#destinations[index] as Destination;
  }

  /** Some service has a persistence engine. */
  get usesPersistenceEngines(): boolean {
    if (this.#enginesVersion !== this.#version) {
      this.#enginesVersion = this.#version;
      this.#usesEngines = false;
      for (const service of this.#services) if (service.persistenceEngine !== null) this.#usesEngines = true;
    }
    return this.#usesEngines;
  }

  /** Some destination is of another family than its service; a synchronisation daemon could not tell of it. */
  get hasMixedFamilies(): boolean {
    for (const service of this.#services) {
      if (service.destinations.some((destination) => destination.ipv6 !== service.ipv6)) return true;
    }
    return false;
  }

  /** One tick of the estimator for everything that is configured. */
  estimate(): void {
    this.totals.estimate();
    for (const service of this.#services) {
      service.counters.estimate();
      for (const destination of service.destinations) destination.counters.estimate();
    }
  }

  /** Thresholds are about the connections of all tables together: what others did since the last look. */
  refreshOverloads(): void {
    for (const { destinations } of this.#services) {
      for (const destination of destinations) destination.refreshOverload();
    }
  }

  /** Does what is due by now: empties the trash, lets schedulers keep house. */
  advance(nowTicks: number): void {
    this.environment.nowTicks = nowTicks;
    this.#trash.advance(nowTicks);
    for (const service of this.#housekept) service.scheduler.advance?.(nowTicks);
  }

  /** Zeroes the counters of one service with its destinations, or of everything. */
  zero(key?: ServiceKey): void {
    if (key !== undefined) {
      zeroService(this.#require(readServiceKey(key)));
      return;
    }
    for (const service of this.#services) zeroService(service);
    this.totals.zero();
  }

  #get({ mark, ipv6, protocol, words, port }: ServiceIdentity): VirtualService | null {
    const [w0, w1, w2, w3] = words;
    return this.#services.get(mark, ipv6, protocol, w0, w1, w2, w3, port);
  }

  #require(identity: ServiceIdentity): VirtualService {
    const service = this.#get(identity);
    if (service === null) throw new IpvsError('ESRCH', `there is no service ${formatServiceKey(identity.key)}`);
    return service;
  }

  #defaultSourceNatOf(ipv6: boolean): SourceNat {
    const sourceNat = this.#defaultSourceNat;
    if (sourceNat === 'none' || sourceNat === 'masquerade') return sourceNat;
    return (familyOfAddress(sourceNat) === 'ipv6') === ipv6 ? sourceNat : 'masquerade';
  }

  #setScheduler(service: VirtualService, kind: SchedulerKind): void {
    service.scheduler = kind.create(service, this.environment);
    service.schedulerName = kind.name;
    if (service.scheduler.advance === undefined) this.#housekept.delete(service);
    else this.#housekept.add(service);
  }

  /** What was deleted and comes back keeps its connections; its counters too if the service is still the same. */
  #takeBack(service: VirtualService, key: CheckedDestinationKey, settings: DestinationSettings): Destination | null {
    const [w0, w1, w2, w3] = key.address.words;
    const destination = this.#trash.take(service, key.address.family === 'ipv6', w0, w1, w2, w3, key.port);
    if (destination === null) return null;
    if (destination.service !== service) destination.counters.zero();
    destination.service = service;
    destination.available = true;
    destination.configure(settings, true);
    return destination;
  }

  #create(service: VirtualService, key: CheckedDestinationKey, settings: DestinationSettings): Destination {
    const [w0, w1, w2, w3] = key.address.words;
    const kind = this.#addressKindOf(key.address.family === 'ipv6', w0, w1, w2, w3);
    if (kind !== 'local' && kind !== 'unicast') {
      throw invalid(`${formatAddress(key.address.family, key.address.words)} cannot be the address of a server`);
    }
    if (this.#destinations.length - this.#freeIndexes.length >= DESTINATIONS_MAX) {
      throw new IpvsError('ENOMEM', `there are ${DESTINATIONS_MAX} destinations already`);
    }
    const index = this.#freeIndexes.pop() ?? this.#destinations.length;
    const destination = new Destination(service, key.address, key.port, settings, index);
    const { sharedLoadOf } = this.environment;
    if (sharedLoadOf !== null) {
      const endpoint = formatEndpoint(destination.address, destination.port);
      destination.sharedLoad = sharedLoadOf(`${formatServiceKey(service.key)} ${endpoint}`);
    }
    this.#destinations[index] = destination;
    return destination;
  }

  #discard(service: VirtualService): void {
    this.#services.delete(service);
    this.#housekept.delete(service);
    for (const destination of service.destinations) this.#throwAway(destination);
    service.destinations.length = 0;
  }

  #throwAway(destination: Destination): void {
    destination.available = false;
    this.#realServers.remove(destination);
    this.#trash.put(destination, this.environment.nowTicks);
  }

  #release(destination: Destination): void {
    this.#destinations[destination.index] = null;
    this.#freeIndexes.push(destination.index);
  }
}

function findIn(service: VirtualService, { address, port }: CheckedDestinationKey): Destination | null {
  const [w0, w1, w2, w3] = address.words;
  return service.findDestination(address.family === 'ipv6', w0, w1, w2, w3, port);
}

function requireIn(service: VirtualService, key: CheckedDestinationKey): Destination {
  const destination = findIn(service, key);
  if (destination === null) throw new IpvsError('ENOENT', `there is no ${describe(service, key)}`);
  return destination;
}

function describe(service: VirtualService, { address, port }: CheckedDestinationKey): string {
  const endpoint = formatEndpoint(formatAddress(address.family, address.words), port);
  return `destination ${endpoint} of service ${formatServiceKey(service.key)}`;
}

function isOtherPlace(destination: Destination, settings: DestinationSettings): boolean {
  const { method, tunnel } = destination;
  return method !== settings.method || tunnel.type !== settings.tunnel.type || tunnel.port !== settings.tunnel.port;
}

function zeroService(service: VirtualService): void {
  service.counters.zero();
  for (const destination of service.destinations) destination.counters.zero();
}

/** A virtual service: an address and port, or a firewall mark, with its scheduler and its destinations. */
import type { SchedulerFlag, ServiceKey, ServiceSpec, ServiceStatus, SourceNat } from '../model/service.ts';
import { TICKS_PER_SECOND } from '../model/settings.ts';
import { type Address, formatIpv4, parseAddress, prefixMaskWord } from '../wire/address.ts';
import { Counters } from './counters.ts';
import type { Destination } from './destination.ts';
import { NO_SCHEDULER, type Scheduler } from './scheduler.ts';

/** Bits of `VirtualService.flags`, with the kernel's values. `sh` and `mh` call the first two fallback and port. */
export const ServiceFlag = {
  PERSISTENT: 0x01,
  ONE_PACKET: 0x04,
  SCHEDULER_1: 0x08,
  SCHEDULER_2: 0x10,
  SCHEDULER_3: 0x20,
} as const;

const SCHEDULER_FLAGS: readonly SchedulerFlag[] = [1, 2, 3];
const flagBit = (flag: SchedulerFlag): number => ServiceFlag.SCHEDULER_1 << (flag - 1);

/** A service key as numbers, with its canonical form. */
export interface ServiceIdentity {
  readonly key: ServiceKey;
  readonly ipv6: boolean;
  /** 1..4294967295, or 0 for an address service. */
  readonly mark: number;
  /** 6, 17 or 132; 0 for a firewall mark. */
  readonly protocol: number;
  /** Four words, all 0 for a firewall mark. */
  readonly words: Int32Array;
  readonly port: number;
}

/** What can be changed about a service: a checked spec without its key and its scheduler. */
export interface ServiceSettings {
  readonly schedulerFlags: readonly SchedulerFlag[];
  readonly persistenceTimeoutSeconds: number | null;
  /** IPv4: the mask as a word; IPv6: the prefix length. */
  readonly netmask: number;
  readonly persistenceEngine: string | null;
  readonly onePacket: boolean;
  readonly sourceNat: SourceNat;
}

export class VirtualService {
  readonly key: ServiceKey;
  readonly ipv6: boolean;
  readonly mark: number;
  readonly protocol: number;
  readonly address0: number;
  readonly address1: number;
  readonly address2: number;
  readonly address3: number;
  /** 0: any port, and for firewall marks. */
  readonly port: number;
  /** Grows with every service the table ever had: the newer of two has the higher one. */
  readonly serial: number;

  schedulerName = 'none';
  scheduler: Scheduler = NO_SCHEDULER;
  /** `ServiceFlag` bits. */
  flags = 0;
  persistent = false;
  persistenceTimeoutTicks = 0;
  /** The mask laid over client addresses, as four words; 0 in the first three for IPv4. */
  netmask0 = 0;
  netmask1 = 0;
  netmask2 = 0;
  netmask3 = -1;
  persistenceEngine: string | null = null;
  onePacket = false;
  sourceNat: SourceNat = 'none';
  /** The same when it is an address, for the packet path. */
  sourceNatAddress: Address | null = null;
  /** In list order: the newest first. Every tie between destinations goes to the earlier one. */
  readonly destinations: Destination[] = [];
  readonly counters = new Counters();

  /** Text of the mask or prefix length. */
  #netmask = '';

  constructor(identity: ServiceIdentity, settings: ServiceSettings, serial: number) {
    this.key = identity.key;
    this.ipv6 = identity.ipv6;
    this.mark = identity.mark;
    this.protocol = identity.protocol;
    this.address0 = identity.words[0] as number;
    this.address1 = identity.words[1] as number;
    this.address2 = identity.words[2] as number;
    this.address3 = identity.words[3] as number;
    this.port = identity.port;
    this.serial = serial;
    this.configure(settings);
  }

  /** Replaces all settings but the scheduler. */
  configure(settings: ServiceSettings): void {
    this.persistent = settings.persistenceTimeoutSeconds !== null;
    // The kernel multiplies in 32 bits, so very long timeouts wrap.
    this.persistenceTimeoutTicks = ((settings.persistenceTimeoutSeconds ?? 0) * TICKS_PER_SECOND) % 2 ** 32;
    this.persistenceEngine = settings.persistenceEngine;
    this.onePacket = settings.onePacket;
    this.flags = (this.persistent ? ServiceFlag.PERSISTENT : 0) | (this.onePacket ? ServiceFlag.ONE_PACKET : 0);
    for (const flag of settings.schedulerFlags) this.flags |= flagBit(flag);
    this.sourceNat = settings.sourceNat;
    this.sourceNatAddress = parseAddress(settings.sourceNat);
    this.#setNetmask(settings.netmask);
  }

  findDestination(ipv6: boolean, w0: number, w1: number, w2: number, w3: number, port: number): Destination | null {
    for (const destination of this.destinations) {
      if (destination.hasEndpoint(ipv6, w0, w1, w2, w3, port)) return destination;
    }
    return null;
  }

  spec(): ServiceSpec {
    return {
      key: this.key,
      scheduler: this.schedulerName,
      schedulerFlags: SCHEDULER_FLAGS.filter((flag) => (this.flags & flagBit(flag)) !== 0),
      persistenceTimeoutSeconds: this.persistent ? Math.floor(this.persistenceTimeoutTicks / TICKS_PER_SECOND) : null,
      netmask: this.#netmask,
      persistenceEngine: this.persistenceEngine,
      onePacket: this.onePacket,
      sourceNat: this.sourceNat,
    };
  }

  status(): ServiceStatus {
    return {
      spec: this.spec(),
      statistics: this.counters.statistics(),
      rates: this.counters.rates(),
      destinations: this.destinations.map((destination) => destination.status()),
    };
  }

  #setNetmask(netmask: number): void {
    this.#netmask = this.ipv6 ? String(netmask) : formatIpv4(netmask);
    this.netmask0 = this.ipv6 ? prefixMaskWord(true, netmask, 0) : 0;
    this.netmask1 = this.ipv6 ? prefixMaskWord(true, netmask, 1) : 0;
    this.netmask2 = this.ipv6 ? prefixMaskWord(true, netmask, 2) : 0;
    this.netmask3 = this.ipv6 ? prefixMaskWord(true, netmask, 3) : netmask;
  }
}

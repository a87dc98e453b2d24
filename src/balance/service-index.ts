/** The services by what packets say, and in the order that listings show. */

import { EndpointIndex } from './endpoint-index.ts';
import { foldAddress } from './schedulers/hashing.ts';
import type { VirtualService } from './virtual-service.ts';

const TCP = 6;
const FTP_PORT = 21;
const FTP_DATA_PORT = 20;
const BUCKETS = 256;

export class ServiceIndex {
  readonly #byEndpoint = new EndpointIndex<VirtualService>();
  readonly #byMark = new EndpointIndex<VirtualService>();
  /** Services at each address. */
  readonly #addresses = new EndpointIndex<{ services: number }>();
  readonly #bucketMix: number;
  /** How many services make the second and third attempt of `find` worth while. */
  #ftpServices = 0;
  #wildcardsServices = 0;
  #ipv4Services = 0;
  /** Table order; `null` after a change. */
  #ordered: readonly VirtualService[] | null = null;
  /** The oldest first. */
  readonly #services = new Set<VirtualService>();

  /** `bucketMix`, 0..255, turns the order of buckets about: the kernel has a random one for each namespace. */
  constructor(bucketMix: number) {
    this.#bucketMix = bucketMix;
  }

  get size(): number {
    return this.#services.size;
  }

  sizeOf(ipv6: boolean): number {
    return ipv6 ? this.#services.size - this.#ipv4Services : this.#ipv4Services;
  }

  /** The oldest first. */
  [Symbol.iterator](): Iterator<VirtualService> {
    return this.#services.values();
  }

  add(service: VirtualService): void {
    const { ipv6, mark, protocol, address0, address1, address2, address3, port } = service;
    const family = ipv6 ? 1 : 0;
    if (mark !== 0) {
      this.#byMark.set(family, 0, 0, 0, mark | 0, 0, service);
    } else {
      this.#byEndpoint.set((protocol << 1) | family, address0, address1, address2, address3, port, service);
      const place = this.#addresses.find(family, address0, address1, address2, address3, 0);
      if (place !== null) place.services++;
      else this.#addresses.set(family, address0, address1, address2, address3, 0, { services: 1 });
    }
    this.#services.add(service);
    this.#count(service, 1);
  }

  delete(service: VirtualService): void {
    const { ipv6, mark, protocol, address0, address1, address2, address3, port } = service;
    const family = ipv6 ? 1 : 0;
    if (mark !== 0) {
      this.#byMark.delete(family, 0, 0, 0, mark | 0, 0);
    } else {
      this.#byEndpoint.delete((protocol << 1) | family, address0, address1, address2, address3, port);
      const place = this.#addresses.find(family, address0, address1, address2, address3, 0);
      if (place !== null && --place.services === 0) {
        this.#addresses.delete(family, address0, address1, address2, address3, 0);
      }
    }
    this.#services.delete(service);
    this.#count(service, -1);
  }

  /** The service with exactly this identity. */
  get(
    mark: number,
    ipv6: boolean,
    protocol: number,
    w0: number,
    w1: number,
    w2: number,
    w3: number,
    port: number,
  ): VirtualService | null {
    const family = ipv6 ? 1 : 0;
    if (mark !== 0) return this.#byMark.find(family, 0, 0, 0, mark | 0, 0);
    return this.#byEndpoint.find((protocol << 1) | family, w0, w1, w2, w3, port);
  }

  /**
   * The service that a packet is for: by its mark, by its destination, as data of an FTP service, or of a service
   * for any port. Data of FTP come to port 20 or to one from `unprivilegedPortStart` on.
   */
  find(
    mark: number,
    ipv6: boolean,
    protocol: number,
    w0: number,
    w1: number,
    w2: number,
    w3: number,
    port: number,
    unprivilegedPortStart: number,
  ): VirtualService | null {
    const family = ipv6 ? 1 : 0;
    if (mark !== 0 && this.#byMark.size > 0) {
      const marked = this.#byMark.find(family, 0, 0, 0, mark | 0, 0);
      if (marked !== null) return marked;
    }
    const endpoints = this.#byEndpoint;
    if (endpoints.size === 0) return null;
    const tag = (protocol << 1) | family;
    let found = endpoints.find(tag, w0, w1, w2, w3, port);
    const mayBeFtpData = protocol === TCP && (port === FTP_DATA_PORT || port >= unprivilegedPortStart);
    if (found === null && mayBeFtpData && this.#ftpServices > 0) {
      found = endpoints.find(tag, w0, w1, w2, w3, FTP_PORT);
    }
    if (found === null && this.#wildcardsServices > 0) found = endpoints.find(tag, w0, w1, w2, w3, 0);
    return found;
  }

  hasAddress(ipv6: boolean, w0: number, w1: number, w2: number, w3: number): boolean {
    return this.#addresses.find(ipv6 ? 1 : 0, w0, w1, w2, w3, 0) !== null;
  }

  /** Bucket by bucket, marks after addresses; in a bucket the newest first. */
  ordered(): readonly VirtualService[] {
    this.#ordered ??= [...this.#services].sort((a, b) => this.bucketOf(a) - this.bucketOf(b) || b.serial - a.serial);
    return this.#ordered;
  }

  /** 0..255 for addresses, 256..511 for marks. */
  bucketOf(service: VirtualService): number {
    const { mark, protocol, address0, address1, address2, address3, port } = service;
    const bucket = mark !== 0 ? mark : serviceBucket(protocol, address0, address1, address2, address3, port);
    return ((bucket ^ this.#bucketMix) & (BUCKETS - 1)) + (mark !== 0 ? BUCKETS : 0);
  }

  #count(service: VirtualService, step: 1 | -1): void {
    if (service.port === FTP_PORT) this.#ftpServices += step;
    if (service.port === 0 && service.mark === 0) this.#wildcardsServices += step;
    if (!service.ipv6) this.#ipv4Services += step;
    this.#ordered = null;
  }
}

/** The bucket of an address service, before the mix. */
export function serviceBucket(protocol: number, w0: number, w1: number, w2: number, w3: number, port: number): number {
  return (protocol ^ foldAddress(w0, w1, w2, w3) ^ (port >> 8) ^ port) & (BUCKETS - 1);
}

/** What the tests of this room share: tables, services with lettered destinations, flows, vectors, randomness. */
import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import type { Destination } from '../../src/balance/destination.ts';
import { Flow } from '../../src/balance/scheduler.ts';
import { ServiceTable } from '../../src/balance/service-table.ts';
import type { VirtualService } from '../../src/balance/virtual-service.ts';
import type { DestinationSpec } from '../../src/model/destination.ts';
import { type ErrorCode, IpvsError } from '../../src/model/errors.ts';
import { PLAIN_TUNNEL } from '../../src/model/forwarding.ts';
import type { AddressServiceKey, ServiceSpec } from '../../src/model/service.ts';
import { parseAddress } from '../../src/wire/address.ts';

export const WEB: AddressServiceKey = { protocol: 'tcp', address: '192.0.2.1', port: 80 };
export const TCP = 6;
export const UDP = 17;

export function readVectors<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`vectors/${name}.json`, import.meta.url), 'utf8')) as T;
}

/** A small seeded generator (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

export function createTable(random: () => number = seededRandom(1)): ServiceTable {
  return new ServiceTable({ random, defaultSourceNat: 'none', nowTicks: 0 });
}

export function serviceSpec(changes: Partial<ServiceSpec> = {}): ServiceSpec {
  const key = changes.key ?? WEB;
  const ipv6 = 'mark' in key ? key.family === 'ipv6' : key.address.includes(':');
  return {
    key,
    scheduler: 'wlc',
    schedulerFlags: [],
    persistenceTimeoutSeconds: null,
    netmask: ipv6 ? '128' : '255.255.255.255',
    persistenceEngine: null,
    onePacket: false,
    ...changes,
  };
}

export function destinationSpec(changes: Partial<DestinationSpec> = {}): DestinationSpec {
  return {
    address: '10.0.0.1',
    port: 80,
    method: 'masquerade',
    weight: 1,
    upperThreshold: 0,
    lowerThreshold: 0,
    tunnel: PLAIN_TUNNEL,
    ...changes,
  };
}

/** `A` is 10.0.0.1, `B` is 10.0.0.2 and so on. */
export function addressOf(letter: string): string {
  return `10.0.0.${letter.charCodeAt(0) - 64}`;
}

export function letterOf(destination: Destination | null): string | null {
  return destination === null ? null : String.fromCharCode(64 + (destination.address3 & 255));
}

export interface Weighted {
  readonly dest: string;
  readonly weight: number;
}

/** One service whose destinations are lettered and on port 80. */
export class LetteredService {
  readonly table: ServiceTable;
  readonly service: VirtualService;
  readonly flow = new Flow();

  constructor(scheduler: string, added: readonly Weighted[] = [], random?: () => number) {
    this.table = createTable(random);
    this.service = this.table.addService(serviceSpec({ scheduler }), 0);
    this.flow.protocol = TCP;
    for (const { dest, weight } of added) this.add(dest, weight);
  }

  add(letter: string, weight: number): Destination {
    return this.table.addDestination(WEB, destinationSpec({ address: addressOf(letter), weight }), 0);
  }

  setWeight(letter: string, weight: number): void {
    this.table.editDestination(WEB, destinationSpec({ address: addressOf(letter), weight }), 0);
  }

  delete(letter: string): void {
    this.table.deleteDestination(WEB, { address: addressOf(letter), port: 80 }, 0);
  }

  get(letter: string): Destination {
    return this.service.destinations.find((destination) => letterOf(destination) === letter) as Destination;
  }

  edit(changes: Partial<ServiceSpec>): void {
    this.table.editService(serviceSpec({ ...this.service.spec(), ...changes }), 0);
  }

  from(client: string, port: number): this {
    const { family, words } = parseAddress(client) as NonNullable<ReturnType<typeof parseAddress>>;
    this.flow.ipv6 = family === 'ipv6';
    [this.flow.client0, this.flow.client1, this.flow.client2, this.flow.client3] = words as Iterable<number> as Words;
    this.flow.clientPort = port;
    return this;
  }

  to(virtual: string): this {
    const { words } = parseAddress(virtual) as NonNullable<ReturnType<typeof parseAddress>>;
    [this.flow.virtual0, this.flow.virtual1, this.flow.virtual2, this.flow.virtual3] =
      words as Iterable<number> as Words;
    return this;
  }

  pick(nowTicks = 0): Destination | null {
    return this.service.scheduler.pick(this.flow, nowTicks);
  }

  /** Letters of the next picks; with `stay` each becomes one more active connection. */
  picks(count: number, stay = false): (string | null)[] {
    return Array.from({ length: count }, () => {
      const destination = this.pick();
      if (stay) destination?.bind(false, false);
      return letterOf(destination);
    });
  }
}

export type Words = [number, number, number, number];

export function wordsOf(address: string): Words {
  return [...(parseAddress(address) as NonNullable<ReturnType<typeof parseAddress>>).words] as Words;
}

/** Letters as section headings write them: `C B A`; `-` for nobody. */
export function spell(letters: readonly (string | null)[]): string {
  return letters.map((letter) => letter ?? '-').join(' ');
}

export function expectRefusal(code: ErrorCode, act: () => unknown): void {
  let refusal: unknown;
  try {
    act();
  } catch (error) {
    refusal = error;
  }
  expect(refusal).toBeInstanceOf(IpvsError);
  expect((refusal as IpvsError).code).toBe(code);
  expect((refusal as IpvsError).message).toMatch(/\w+ \w+/);
}

/** The servers of a simulation: their workers and queues, and the production table and scheduler in front of them. */
import type { Destination } from '../balance/destination.ts';
import { Flow, type SchedulerKind } from '../balance/scheduler.ts';
import { ServiceTable } from '../balance/service-table.ts';
import type { VirtualService } from '../balance/virtual-service.ts';
import { Random } from '../engine/random.ts';
import type { DestinationSpec } from '../model/destination.ts';
import { PLAIN_TUNNEL } from '../model/forwarding.ts';
import type { AddressServiceKey } from '../model/service.ts';
import { TICKS_PER_SECOND } from '../model/settings.ts';
import type { Scenario, SimulatedServer } from './scenario.ts';

const KEY: AddressServiceKey = { protocol: 'tcp', address: '192.0.2.1', port: 80 };
const PROTOCOL_TCP = 6;
/** 192.0.2.1 and 10.0.0.0 as words; clients are 10.x.y.z by their number. */
const VIRTUAL = 0xc000_0201 | 0;
const CLIENTS = 0x0a00_0000;

export interface Server {
  readonly index: number;
  readonly settings: SimulatedServer;
  /** Work in the queue, first come first served, in seconds of a server of speed 1; with the time it came. */
  readonly waiting: { readonly workSeconds: number; readonly arrivedSeconds: number }[];
  busy: number;
}

export class Cluster {
  readonly servers: readonly Server[];
  readonly #table: ServiceTable;
  readonly #service: VirtualService;
  readonly #weights: number[];
  readonly #indexes = new Map<string, number>();
  readonly #flow = new Flow();

  constructor(scenario: Scenario, kind: SchedulerKind) {
    const random = new Random(scenario.seed ^ 0x5bd1_e995);
    this.#table = new ServiceTable({ random: () => random.fraction(), defaultSourceNat: 'none', nowTicks: 0 });
    this.#service = this.#table.addService(
      {
        key: KEY,
        scheduler: 'rr',
        schedulerFlags: scenario.schedulerFlags,
        persistenceTimeoutSeconds: null,
        netmask: '255.255.255.255',
        persistenceEngine: null,
        onePacket: false,
      },
      0,
    );
    this.#service.scheduler = kind.create(this.#service, this.#table.environment);
    this.servers = scenario.servers.map((settings, index) => ({ index, settings, waiting: [], busy: 0 }));
    this.#weights = scenario.servers.map(({ weight }) => weight);
    // The list is newest first, so that rs1 is its first.
    for (let index = scenario.servers.length - 1; index >= 0; index--) this.add(index, 0);
  }

  /** Takes a server into the table, with the weight it has by now. */
  add(server: number, nowSeconds: number): void {
    const spec = this.#spec(server);
    this.#table.addDestination(KEY, spec, ticks(nowSeconds));
    this.#indexes.set(spec.address, server);
  }

  remove(server: number, nowSeconds: number): void {
    this.#table.deleteDestination(KEY, this.#spec(server), ticks(nowSeconds));
  }

  setWeight(server: number, weight: number, nowSeconds: number): void {
    this.#weights[server] = weight;
    if (this.#find(server) !== null) this.#table.editDestination(KEY, this.#spec(server), ticks(nowSeconds));
  }

  /** The destination for a request of this client, `null`: nobody takes it. */
  pick(client: number, request: number, nowSeconds: number): { destination: Destination; server: Server } | null {
    const flow = this.#flow;
    flow.protocol = PROTOCOL_TCP;
    flow.client3 = (CLIENTS + client) | 0;
    flow.clientPort = 1_024 + (request % 64_000);
    flow.virtual3 = VIRTUAL;
    flow.virtualPort = KEY.port;
    const nowTicks = ticks(nowSeconds);
    this.#table.advance(nowTicks);
    const destination = this.#service.scheduler.pick(flow, nowTicks);
    if (destination === null) return null;
    return { destination, server: this.servers[this.#indexes.get(destination.address) as number] as Server };
  }

  #find(server: number): Destination | null {
    const { address } = this.#spec(server);
    return this.#service.destinations.find((it) => it.address === address) ?? null;
  }

  #spec(server: number): DestinationSpec {
    return {
      address: `10.200.${server >>> 8}.${server & 255}`,
      port: 80,
      method: 'masquerade',
      weight: this.#weights[server] as number,
      upperThreshold: 0,
      lowerThreshold: 0,
      tunnel: PLAIN_TUNNEL,
    };
  }
}

function ticks(seconds: number): number {
  return Math.floor(seconds * TICKS_PER_SECOND);
}

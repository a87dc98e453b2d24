/**
 * A director with a client side (c0) and a server side (s0), an engine inside, and a time the test sets. Frames go in
 * by link name; what comes out is kept until the test takes it.
 */
import { Engine } from '../../src/engine/engine.ts';
import type { ShardRole } from '../../src/engine/shard-role.ts';
import { VERDICT_NAMES } from '../../src/engine/verdict.ts';
import type { ForwardingMethod, TunnelSpec } from '../../src/model/forwarding.ts';
import { PLAIN_TUNNEL } from '../../src/model/forwarding.ts';
import type { HostLink, NetworkSnapshot } from '../../src/model/network.ts';
import type { SourceNat } from '../../src/model/service.ts';
import { FrameFlag, PacketBatch, TO_HOST } from '../../src/wire/packet-batch.ts';
import { macBytes } from './addresses.ts';
import { type FrameBuilder, frame } from './frames.ts';
import { ModelFastPath } from './model-fast-path.ts';

export const CLIENT = '198.51.100.7';
export const VIP = '10.0.0.100';
export const REAL1 = '10.1.0.11';
export const REAL2 = '10.1.0.12';
export const REAL3 = '10.1.0.13';
/** The same over IPv6. */
export const CLIENT6 = '2001:db8::7';
export const VIP6 = 'fd00::100';
export const REAL6 = 'fd00:1::11';
export const C0_MAC = '02:00:00:00:00:01';
export const S0_MAC = '02:00:00:01:00:01';
export const GATEWAY_MAC = '02:00:00:00:00:fe';
export const REAL1_MAC = '02:00:00:01:00:0b';
export const HOST_MAC = '02:00:00:77:00:01';
export const CABLE_MAC = '02:00:00:77:00:02';
export const CABLE_ADDRESS = '169.254.117.2';
export const CABLE_ADDRESS6 = 'fd75:6970:7673::2';

const CABLE: HostLink = {
  linkIndex: 3,
  hostMac: HOST_MAC,
  engineMac: CABLE_MAC,
  engineAddress: CABLE_ADDRESS,
  engineAddress6: CABLE_ADDRESS6,
};

export interface WorldOptions {
  readonly sourceNat?: SourceNat;
  readonly cable?: boolean;
  readonly connectionsMax?: number;
  readonly serverMtu?: number;
  /** Servers whose MAC is known beforehand; the others must be asked for. */
  readonly knownServers?: readonly string[];
  readonly localPortRange?: readonly [number, number];
  /** Frames meet a model of a fast path first, and the engine only when that does not carry them. */
  readonly fastPath?: boolean;
  readonly shard?: ShardRole;
}

export interface Sent {
  readonly link: string;
  readonly bytes: Uint8Array;
}

const MACS: Readonly<Record<string, string>> = {
  [REAL6]: REAL1_MAC,
  [REAL1]: REAL1_MAC,
  [REAL2]: '02:00:00:01:00:0c',
  [REAL3]: '02:00:00:01:00:0d',
};

export class World {
  readonly engine: Engine;
  network: NetworkSnapshot;
  nowMs = 1_000_000;
  readonly fastPath: ModelFastPath | null;
  #sent: Sent[] = [];
  #toHost: Uint8Array[] = [];
  lastVerdict = '';
  readonly #batch = PacketBatch.allocate(1, 70_000);

  constructor(options: WorldOptions = {}) {
    this.network = networkOf(options);
    this.fastPath = options.fastPath ? new ModelFastPath(() => this.nowMs) : null;
    this.engine = new Engine({
      seed: 42,
      connectionsMax: options.connectionsMax ?? 1024,
      defaultSourceNat: options.sourceNat ?? 'none',
      nowMs: this.nowMs,
      ...(options.shard === undefined ? {} : { shard: options.shard }),
      ...(this.fastPath === null ? {} : { fastPath: this.fastPath }),
    });
    this.engine.setNetwork(this.network);
  }

  setNetwork(network: NetworkSnapshot): this {
    this.network = network;
    this.engine.setNetwork(network);
    return this;
  }

  addService(
    scheduler: string,
    servers: readonly (readonly [address: string, weight?: number])[],
    options: {
      method?: ForwardingMethod;
      protocol?: 'tcp' | 'udp';
      port?: number;
      serverPort?: number;
      address?: string;
      persistence?: number;
      onePacket?: boolean;
      tunnel?: TunnelSpec;
    } = {},
  ): void {
    const key = {
      protocol: options.protocol ?? 'tcp',
      address: options.address ?? VIP,
      port: options.port ?? 80,
    } as const;
    this.engine.execute({
      name: 'addService',
      service: {
        key,
        scheduler,
        schedulerFlags: [],
        persistenceTimeoutSeconds: options.persistence ?? null,
        netmask: key.address.includes(':') ? '128' : '255.255.255.255',
        persistenceEngine: null,
        onePacket: options.onePacket ?? false,
      },
    });
    // Listed in the order of the test: the newest destination comes first.
    for (const [address, weight] of [...servers].reverse()) {
      this.engine.execute({
        name: 'addDestination',
        service: key,
        destination: {
          address,
          port: options.serverPort ?? 8080,
          method: options.method ?? 'masquerade',
          weight: weight ?? 1,
          upperThreshold: 0,
          lowerThreshold: 0,
          tunnel: options.tunnel ?? PLAIN_TUNNEL,
        },
      });
    }
  }

  /** A frame arrives on `link`. */
  receive(
    link: 'c0' | 's0' | 'cable',
    bytes: Uint8Array,
    facts: { partial?: boolean; segmentBytes?: number } = {},
  ): this {
    const index = link === 'c0' ? 1 : link === 's0' ? 2 : 3;
    if (index !== 3 && !facts.partial && this.#isCarried(index, bytes, facts.segmentBytes ?? 0)) return this;
    const batch = this.#batch;
    batch.clear();
    batch.push(bytes, index);
    if (facts.partial) batch.flags[0] = FrameFlag.PARTIAL_CHECKSUM;
    batch.segmentBytes[0] = facts.segmentBytes ?? 0;
    this.engine.process(batch, this.nowMs);
    this.lastVerdict = VERDICT_NAMES[batch.verdict[0] as 0] as string;
    if (batch.egress[0] === TO_HOST) this.#toHost.push(batch.frame(0));
    this.#take(batch);
    this.#take(this.engine.outbox);
    this.engine.outbox.clear();
    return this;
  }

  fromClient(bytes: Uint8Array): this {
    return this.receive('c0', bytes);
  }

  fromServer(bytes: Uint8Array): this {
    return this.receive('s0', bytes);
  }

  /** Time passes; what the engine says meanwhile is kept as well. */
  wait(milliseconds: number): this {
    this.nowMs += milliseconds;
    this.engine.advance(this.nowMs);
    this.#take(this.engine.outbox);
    this.engine.outbox.clear();
    return this;
  }

  /** The one frame that left since the last call, by this link. */
  takeOne(link: string): Uint8Array {
    const sent = this.take();
    if (sent.length !== 1 || sent[0]!.link !== link) {
      throw new Error(
        `expected one frame by ${link}, got ${sent.map((s) => s.link).join(', ') || 'none'} (${this.lastVerdict})`,
      );
    }
    return sent[0]!.bytes;
  }

  toServer(): Uint8Array {
    return this.takeOne('s0');
  }

  toClient(): Uint8Array {
    return this.takeOne('c0');
  }

  take(): Sent[] {
    const sent = this.#sent;
    this.#sent = [];
    return sent;
  }

  takeToHost(): Uint8Array[] {
    const frames = this.#toHost;
    this.#toHost = [];
    return frames;
  }

  connections() {
    return this.engine.execute<'listConnections'>({ name: 'listConnections' }).items;
  }

  services() {
    return this.engine.execute<'listServices'>({ name: 'listServices' }).items;
  }

  counters() {
    return this.engine.execute<'getCounters'>({ name: 'getCounters' });
  }

  #isCarried(index: number, bytes: Uint8Array, segmentBytes: number): boolean {
    if (this.fastPath === null) return false;
    const mac = macBytes(this.network.links.find((link) => link.index === index)!.mac);
    const carried = this.fastPath.carry(bytes, { mac, segmentBytes });
    if (carried === null) return false;
    this.lastVerdict = 'transmit';
    this.#sent.push({ link: this.#linkName(carried.linkIndex), bytes: carried.bytes });
    return true;
  }

  #linkName(index: number): string {
    return this.network.links.find((candidate) => candidate.index === index)!.name;
  }

  #take(batch: PacketBatch): void {
    for (let slot = 0; slot < batch.count; slot++) {
      const egress = batch.egress[slot] as number;
      if (egress < 0) continue;
      this.#sent.push({ link: this.#linkName(egress), bytes: batch.frame(slot) });
    }
  }
}

/** A frame from the client to the VIP's link, and one from a server: only the layers inside differ. */
export function clientFrame(): FrameBuilder {
  return frame().ethernet({ from: GATEWAY_MAC, to: C0_MAC });
}

export function serverFrame(): FrameBuilder {
  return frame().ethernet({ from: REAL1_MAC, to: S0_MAC });
}

function networkOf(options: WorldOptions): NetworkSnapshot {
  const known = options.knownServers ?? [REAL1, REAL2, REAL3];
  const link = (index: number, name: string, mac: string, addresses: readonly string[], mtu = 1500) => ({
    index,
    name,
    mac,
    mtu,
    loopback: false,
    up: true,
    addresses: addresses.map((text) => ({
      address: text.split('/')[0] as string,
      prefixLength: Number(text.split('/')[1]),
    })),
  });
  const route = (destination: string, gateway: string | null, linkIndex: number) => ({
    family: destination.includes(':') ? ('ipv6' as const) : ('ipv4' as const),
    destination,
    gateway,
    linkIndex,
    preferredSource: null,
    metric: 0,
    type: 'unicast' as const,
  });
  const links = [
    link(1, 'c0', C0_MAC, ['10.0.0.1/24', '10.0.0.100/32', 'fd00::1/64', 'fd00::100/128']),
    link(2, 's0', S0_MAC, ['10.1.0.1/24', 'fd00:1::1/64'], options.serverMtu ?? 1500),
  ];
  if (options.cable) links.push(link(3, 'cable', CABLE_MAC, []));
  return {
    links,
    routes: [
      route('10.0.0.0/24', null, 1),
      route('10.1.0.0/24', null, 2),
      route('0.0.0.0/0', '10.0.0.254', 1),
      route('fd00::/64', null, 1),
      route('fd00:1::/64', null, 2),
      route('::/0', 'fd00::fe', 1),
      ...links.flatMap(({ index, addresses }) =>
        addresses.map(({ address }) => ({ ...route(address, null, index), type: 'local' as const })),
      ),
    ],
    neighbors: [
      { address: '10.0.0.254', linkIndex: 1, mac: GATEWAY_MAC },
      { address: 'fd00::fe', linkIndex: 1, mac: GATEWAY_MAC },
      ...(options.knownServers === undefined ? [{ address: REAL6, linkIndex: 2, mac: REAL1_MAC }] : []),
      ...known.map((address) => ({ address, linkIndex: 2, mac: MACS[address] as string })),
    ],
    hostLink: options.cable ? CABLE : null,
    localPortRange: options.localPortRange ?? [32768, 60999],
  };
}

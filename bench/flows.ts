/** Many established NAT flows in one engine, without any I/O: what the benchmarks work on. */
import { Engine } from '../src/engine/engine.ts';
import { TRANSMIT } from '../src/engine/verdict.ts';
import type { NetworkSnapshot } from '../src/model/network.ts';
import { PacketBatch } from '../src/wire/packet-batch.ts';

export const BATCH = 64;
export const CLIENT_MAC = [2, 0, 0, 0, 0, 0xfe];
export const DIRECTOR_MAC = [2, 0, 0, 0, 0, 1];
export const SERVER_SIDE_MAC = [2, 0, 0, 1, 0, 1];
export const VIP = 0x0a000064;
/** Servers are 10.1.0.11 and the following. */
const FIRST_SERVER = 11;
const DESTINATIONS_MAX = 16;

const NETWORK: NetworkSnapshot = {
  links: [
    {
      index: 1,
      name: 'c0',
      mac: '02:00:00:00:00:01',
      mtu: 1500,
      loopback: false,
      up: true,
      addresses: [
        { address: '10.0.0.1', prefixLength: 24 },
        { address: '10.0.0.100', prefixLength: 32 },
      ],
    },
    {
      index: 2,
      name: 's0',
      mac: '02:00:00:01:00:01',
      mtu: 1500,
      loopback: false,
      up: true,
      addresses: [{ address: '10.1.0.1', prefixLength: 24 }],
    },
  ],
  routes: [route('10.0.0.0/24', null, 1), route('10.1.0.0/24', null, 2), route('0.0.0.0/0', '10.0.0.254', 1)],
  neighbors: [
    { address: '10.0.0.254', linkIndex: 1, mac: '02:00:00:00:00:fe' },
    ...Array.from({ length: DESTINATIONS_MAX }, (_, i) => {
      const last = FIRST_SERVER + i;
      return { address: `10.1.0.${last}`, linkIndex: 2, mac: `02:00:00:01:00:${last.toString(16).padStart(2, '0')}` };
    }),
  ],
  hostLink: null,
  localPortRange: [32768, 60999],
};

function route(destination: string, gateway: string | null, linkIndex: number): NetworkSnapshot['routes'][number] {
  return { family: 'ipv4', destination, gateway, linkIndex, preferredSource: null, metric: 0, type: 'unicast' };
}

/** A 64-byte Ethernet frame with a TCP segment; checksums need not be right for the engine to adjust them. */
export function segment(
  source: number,
  sourcePort: number,
  destination: number,
  port: number,
  flags: number,
  to: number[],
  from: number[],
): Uint8Array {
  const frame = new Uint8Array(64);
  const view = new DataView(frame.buffer);
  frame.set(to, 0);
  frame.set(from, 6);
  view.setUint16(12, 0x0800);
  view.setUint16(14, 0x4500);
  view.setUint16(16, 40);
  view.setUint16(20, 0x4000);
  view.setUint8(22, 64);
  view.setUint8(23, 6);
  view.setUint32(26, source);
  view.setUint32(30, destination);
  fillHeaderChecksum(view, 14);
  view.setUint16(34, sourcePort);
  view.setUint16(36, port);
  view.setUint8(46, 0x50);
  view.setUint8(47, flags);
  return frame;
}

export const clientOf = (i: number): number => 0xc6120000 + (i >>> 6);
export const portOf = (i: number): number => 1024 + (i & 63);

/** How the one service chooses, and among how many servers. */
export interface Balancing {
  readonly scheduler: string;
  readonly destinations: number;
}

export function createEngine(
  connections: number,
  { scheduler, destinations }: Balancing = { scheduler: 'rr', destinations: 3 },
): Engine {
  const engine = new Engine({ seed: 7, connectionsMax: connections + 64, defaultSourceNat: 'none', nowMs: 0 });
  engine.setNetwork(NETWORK);
  const key = { protocol: 'tcp', address: '10.0.0.100', port: 80 } as const;
  engine.execute({
    name: 'addService',
    service: {
      key,
      scheduler,
      schedulerFlags: [],
      persistenceTimeoutSeconds: null,
      netmask: '255.255.255.255',
      persistenceEngine: null,
      onePacket: false,
    },
  });
  for (let i = 0; i < destinations; i++) {
    engine.execute({
      name: 'addDestination',
      service: key,
      destination: {
        address: `10.1.0.${FIRST_SERVER + i}`,
        port: 8080,
        method: 'masquerade',
        weight: 1,
        upperThreshold: 0,
        lowerThreshold: 0,
        tunnel: { type: 'ipip', port: 0, checksum: 'none' },
      },
    });
  }
  return engine;
}

/** Opens every connection: SYN, SYN+ACK and ACK, so that it is established. Returns the server of each. */
export function establish(engine: Engine, connections: number): Uint32Array {
  const servers = new Uint32Array(connections);
  const batch = PacketBatch.allocate(BATCH, 128);
  for (let i = 0; i < connections; i += BATCH) {
    const end = Math.min(i + BATCH, connections);
    for (const flags of [0x02, 0x10]) {
      batch.clear();
      for (let c = i; c < end; c++) {
        batch.push(segment(clientOf(c), portOf(c), VIP, 80, flags, DIRECTOR_MAC, CLIENT_MAC), 1);
      }
      engine.process(batch, 1);
      for (let slot = 0; slot < batch.count; slot++) {
        if (batch.verdict[slot] !== TRANSMIT) throw new Error(`connection ${i + slot} was not made`);
        servers[i + slot] = new DataView(batch.bytes.buffer).getUint32((batch.start[slot] as number) + 30);
      }
    }
  }
  return servers;
}

export function fillHeaderChecksum(view: DataView, ipAt: number): void {
  view.setUint16(ipAt + 10, 0);
  let sum = 0;
  for (let at = ipAt; at < ipAt + 20; at += 2) sum += view.getUint16(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(ipAt + 10, ~sum & 0xffff);
}

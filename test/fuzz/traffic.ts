/** Traffic for the fuzz tests: mostly plausible frames of a few clients and servers, then spoiled in all ways. */
import { PLAIN_TUNNEL } from '../../src/model/forwarding.ts';
import { decodeFrame } from '../support/decode.ts';
import { type ChecksumChoice, fragmentsOf, frame, ipPacketOf } from '../support/frames.ts';
import { internetChecksum } from '../support/internet-checksum.ts';
import { mutate, type Random } from '../support/random.ts';
import { C0_MAC, CABLE_MAC, GATEWAY_MAC, HOST_MAC, REAL1, REAL2, REAL3, S0_MAC, VIP, World } from '../support/world.ts';

export const LINKS = { client: 1, server: 2, cable: 3 } as const;

export interface Arrival {
  readonly ingress: number;
  readonly bytes: Uint8Array;
  /** The frame before it was spoiled. */
  readonly unspoiled: Uint8Array;
  readonly partialChecksum: boolean;
  readonly segmentBytes: number;
  readonly mark: number;
}

/** A director with every kind of service that there is, a server that must be asked for, and a small table. */
export function fuzzWorld(): World {
  const world = new World({ cable: true, connectionsMax: 200, knownServers: [REAL1, REAL2] });
  const servers = [[REAL1], [REAL2, 3], [REAL3]] as const;
  world.addService('wrr', servers);
  world.addService('lc', servers, { method: 'direct', port: 81, serverPort: 81 });
  world.addService('sh', servers, { protocol: 'udp', port: 53, serverPort: 5300 });
  world.addService('rr', [['127.0.0.1']], { port: 83 });
  const fullNat = { protocol: 'tcp', address: VIP, port: 82 } as const;
  const plain = { schedulerFlags: [], persistenceTimeoutSeconds: null, persistenceEngine: null, onePacket: false };
  const netmask = '255.255.255.255';
  world.engine.execute({
    name: 'addService',
    service: { ...plain, key: fullNat, scheduler: 'rr', netmask, sourceNat: 'masquerade' },
  });
  const destination = { port: 8080, method: 'masquerade', weight: 1, upperThreshold: 5, lowerThreshold: 2 } as const;
  world.engine.execute({
    name: 'addDestination',
    service: fullNat,
    destination: { ...destination, address: REAL1, tunnel: PLAIN_TUNNEL },
  });
  return world;
}

/** Remembers what was sent last, so that answers and errors belong to something. */
export class Traffic {
  readonly #random: Random;
  readonly #toServers: Uint8Array[] = [];
  readonly #toClients: Uint8Array[] = [];
  readonly #recent: Uint8Array[] = [];

  constructor(random: Random) {
    this.#random = random;
  }

  /** To be called with every frame that left. */
  sent(egress: number, bytes: Uint8Array): void {
    remember(egress === LINKS.client ? this.#toClients : this.#toServers, bytes);
  }

  next(): Arrival {
    const random = this.#random;
    const arrival = this.#plausible();
    remember(this.#recent, arrival.bytes);
    if (random.chance(0.5)) return arrival;
    let bytes = mutate(random, arrival.bytes, this.#recent);
    // A length and a header checksum that are right again get the frame past the first look.
    if (random.chance(0.3)) bytes = withRightTotalLength(bytes);
    if (random.chance(0.6)) bytes = withRightHeaderChecksum(bytes);
    const ingress = random.chance(0.05) ? random.between(0, 4) : arrival.ingress;
    return { ...arrival, bytes: bytes.slice(0, 4_000), ingress };
  }

  #plausible(): Arrival {
    const random = this.#random;
    const roll = random.below(20);
    if (roll < 8) return this.#request();
    if (roll < 14 && this.#toServers.length > 0) return this.#answer();
    if (roll < 17 && this.#toServers.length + this.#toClients.length > 0) return this.#error();
    if (roll === 17) return this.#arp();
    if (roll === 18) return this.#fragment();
    return this.#somethingElse();
  }

  #request(): Arrival {
    const random = this.#random;
    const [client, port] = this.#client();
    const ip = frame().ethernet({ from: GATEWAY_MAC, to: C0_MAC, padTo: 60 }).ipv4(client, VIP, this.#ipFields());
    if (random.chance(0.3)) return this.#arrival(LINKS.client, (fields) => ip.udp(port, 53, fields));
    const toPort = random.pick([80, 80, 81, 82, 83, 84]);
    return this.#arrival(LINKS.client, (fields) => ip.tcp(port, toPort, { ...this.#flags(), ...fields }));
  }

  /** The other way round than a frame that a server got. */
  #answer(): Arrival {
    const question = decodeFrame(this.#random.pick(this.#toServers));
    const [, ip, transport] = question;
    if (ip?.name !== 'ipv4' || (transport?.name !== 'tcp' && transport?.name !== 'udp')) return this.#request();
    const { from, to } = ip.fields as { from: string; to: string };
    const { fromPort, toPort } = transport.fields as { fromPort: number; toPort: number };
    const isFromHost = question[0]?.fields['to'] === HOST_MAC;
    const macs = isFromHost ? { from: HOST_MAC, to: CABLE_MAC } : { from: '02:00:00:01:00:0b', to: S0_MAC };
    const builder = frame().ethernet(macs).ipv4(to, from, this.#ipFields());
    return this.#arrival(isFromHost ? LINKS.cable : LINKS.server, (fields) =>
      transport.name === 'udp'
        ? builder.udp(toPort, fromPort, fields)
        : builder.tcp(toPort, fromPort, { ...this.#flags(), ...fields }),
    );
  }

  /** An ICMP error about a frame that was sent before, from a server or a router on either side. */
  #error(): Arrival {
    const random = this.#random;
    const isFromClients = this.#toServers.length === 0 || (this.#toClients.length > 0 && random.chance(0.5));
    const about = ipPacketOf(random.pick(isFromClients ? this.#toClients : this.#toServers));
    const receiver = about.slice(12, 16).join('.');
    const [type, code] = random.pick([
      [3, 0],
      [3, 1],
      [3, 3],
      [3, 4],
      [11, 0],
      [4, 0],
      [5, 1],
    ] as const);
    const fields = { mtu: random.pick([0, 68, 1400]), quoteBytes: random.pick([8, 20, 28, 40, 500]) };
    const macs = isFromClients ? { from: GATEWAY_MAC, to: C0_MAC } : { from: '02:00:00:01:00:0b', to: S0_MAC };
    const sender = random.pick([REAL1, '203.0.113.1', VIP]);
    const bytes = frame().ethernet(macs).ipv4(sender, receiver, this.#ipFields()).icmpError(type, code, about, fields);
    return plain(isFromClients ? LINKS.client : LINKS.server, bytes);
  }

  #arp(): Arrival {
    const random = this.#random;
    const senderIp = random.pick([REAL1, REAL3, '10.0.0.254', '10.0.0.9', '0.0.0.0', VIP]);
    const senderMac = random.pick(['02:00:00:01:00:0d', '02:00:00:01:00:0e', C0_MAC]);
    const operation = random.pick(['request', 'reply'] as const);
    const targetIp = random.pick([VIP, '10.1.0.1', '10.0.0.1', REAL2]);
    const to = operation === 'request' ? 'ff:ff:ff:ff:ff:ff' : random.pick([C0_MAC, S0_MAC]);
    const bytes = frame().ethernet({ from: senderMac, to }).arp({ operation, senderMac, senderIp, targetIp });
    return plain(random.pick([LINKS.client, LINKS.server]), bytes);
  }

  #fragment(): Arrival {
    const [client, port] = this.#client();
    const payload = this.#random.bytes(300);
    const ethernet = frame().ethernet({ from: GATEWAY_MAC, to: C0_MAC });
    return plain(
      LINKS.client,
      this.#random.pick(fragmentsOf(ethernet.ipv4(client, VIP).udp(port, 53, { payload }), 200)),
    );
  }

  #somethingElse(): Arrival {
    const random = this.#random;
    const ethernet = frame().ethernet({ from: GATEWAY_MAC, to: C0_MAC });
    const builders = [
      () => ethernet.ipv4('198.51.100.7', VIP).icmpEchoRequest({ payload: 'ping' }),
      () => ethernet.ipv6('fd00::7', 'fd00::100').tcp(40000, 80, { syn: true }),
      () => ethernet.ipv4('198.51.100.7', VIP).ipv4('198.51.100.7', VIP).tcp(40000, 80, { syn: true }),
      () => ethernet.ipv4('198.51.100.7', VIP, { options: [7, 7, 4, 0, 0, 0, 0] }).tcp(40000, 80, { syn: true }),
      () => ethernet.ipv4('198.51.100.7', '10.0.0.55').tcp(40000, 80, { syn: true }),
      () => ethernet.ipv4('198.51.100.7', VIP).payload(random.below(256), random.bytes(40)),
      () => frame().ethernet({ to: C0_MAC, vlan: 7 }).ipv4('198.51.100.7', VIP).tcp(40000, 80, { syn: true }),
      () => random.bytes(random.below(200)),
    ];
    return plain(random.pick([LINKS.client, LINKS.server, LINKS.cable]), random.pick(builders)());
  }

  /** Few enough that connections meet again, more than the table holds. */
  #client(): readonly [address: string, port: number] {
    const address = `198.51.100.${this.#random.between(1, 8)}`;
    return [address, this.#random.chance(0.02) ? 20 : 40_000 + this.#random.below(50)];
  }

  #ipFields() {
    const random = this.#random;
    return { ttl: random.pick([64, 64, 64, 2, 1, 0]), df: random.chance(0.5), id: random.below(65_536) };
  }

  #flags() {
    const random = this.#random;
    const flags = random.pick([
      { syn: true },
      { syn: true, ack: 1 },
      { ack: 2 },
      { ack: 3, fin: true },
      { rst: true },
      {},
    ]);
    return { ...flags, seq: random.next() };
  }

  /** The frame with a payload, with its checksum finished or not, now and then for many segments. */
  #arrival(ingress: number, build: (fields: { payload: Uint8Array; checksum: ChecksumChoice }) => Uint8Array): Arrival {
    const random = this.#random;
    const isLarge = random.chance(0.05);
    const checksum = random.pick<ChecksumChoice>(['complete', 'complete', 'complete', 'partial', 'broken', 'none']);
    const bytes = build({ payload: random.bytes(isLarge ? random.between(1_300, 3_500) : random.below(40)), checksum });
    const segmentBytes = isLarge && random.chance(0.7) ? random.pick([500, 1448]) : 0;
    const mark = random.below(3);
    return { ingress, bytes, unspoiled: bytes, partialChecksum: checksum === 'partial', segmentBytes, mark };
  }
}

function plain(ingress: number, bytes: Uint8Array): Arrival {
  return { ingress, bytes, unspoiled: bytes, partialChecksum: false, segmentBytes: 0, mark: 0 };
}

function remember(list: Uint8Array[], bytes: Uint8Array): void {
  list.push(bytes);
  if (list.length > 64) list.shift();
}

function withRightTotalLength(bytes: Uint8Array): Uint8Array {
  const result = bytes.slice();
  if (bytes.length >= 34) result.set([(bytes.length - 14) >> 8, (bytes.length - 14) & 0xff], 16);
  return result;
}

function withRightHeaderChecksum(bytes: Uint8Array): Uint8Array {
  const headerBytes = ((bytes[14] ?? 0) & 15) * 4;
  if (headerBytes < 20 || bytes.length < 14 + headerBytes) return bytes;
  const result = bytes.slice();
  result.set([0, 0], 24);
  const checksum = internetChecksum(result.subarray(14, 14 + headerBytes));
  result.set([checksum >> 8, checksum & 0xff], 24);
  return result;
}

/** What passed by during the watch: segments of clients for the services, and what the servers sent by this host. */
import { isMarkKey, type ServiceStatus } from '../../model/service.ts';
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../../wire/tcp.ts';
import { isOwnAddress } from '../probe/reach.ts';
import type { IcmpFrame, OtherFrame, ReadFrame, TcpFrame } from '../probe/read-frame.ts';
import type { WireSession } from '../probe/wire-session.ts';
import { serversToAsk } from './connects.ts';
import type { HostFacts } from './host.ts';

/** One client's end of a connection, as it came in. */
export interface ClientFlow {
  readonly client: string;
  readonly clientPort: number;
  readonly virtual: string;
  readonly virtualPort: number;
  /** SYNs, and how many of them began a connection (with a number of their own). */
  readonly syns: number;
  readonly openings: number;
  /** Segments that acknowledge something, those with data among them, ends and resets. */
  readonly acknowledgments: number;
  readonly dataSegments: number;
  readonly fins: number;
  readonly resets: number;
  /** The segment that came most often in packets of the same length, and how often: sent again, not answered. */
  readonly mostRepeated: { readonly times: number; readonly packetBytes: number; readonly seconds: number };
  /** The longest silence after which it went on with data. */
  readonly silenceSeconds: number;
  /** Flags of the first segment that was seen, and the index of the link it came by. */
  readonly firstFlags: number;
  readonly link: number;
}

/** What a server sent towards one client, or towards an address of this host, that came by here. */
export interface ServerFlow {
  readonly server: string;
  readonly serverPort: number;
  readonly to: string;
  readonly toPort: number;
  readonly segments: number;
  readonly synAcks: number;
  readonly dataSegments: number;
  readonly resets: number;
}

/** What a server sent to this host for it to send on, and that belongs to no service: its own traffic. */
export interface StrayFlow {
  readonly server: string;
  readonly to: string;
  /** IP protocol number. */
  readonly protocol: number;
  readonly packets: number;
}

export interface TrafficFacts {
  readonly seconds: number;
  readonly clients: readonly ClientFlow[];
  readonly servers: readonly ServerFlow[];
  readonly strays: readonly StrayFlow[];
  /** Flows and frames that there was no room or time for. */
  readonly leftOut: number;
}

const FLOWS_MAX = 20_000;
/** Numbers of segments that are remembered for each flow. */
const SEQUENCES_MAX = 64;
const ICMP = 1;
const TCP = 6;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
interface Noted extends Mutable<Omit<ClientFlow, 'openings' | 'mostRepeated'>> {
  readonly initial: Set<number>;
  readonly sequences: Map<number, { times: number; packetBytes: number; firstMs: number; lastMs: number }>;
  lastMs: number;
}

/** Collects until `finish` is called. */
export class TrafficWatch {
  readonly #clients = new Map<string, Noted>();
  readonly #servers = new Map<string, Mutable<ServerFlow>>();
  readonly #strays = new Map<string, Mutable<StrayFlow>>();
  readonly #virtual: ReadonlySet<string>;
  readonly #virtualAddresses: ReadonlySet<string>;
  readonly #real: ReadonlySet<string>;
  readonly #serverAddresses: ReadonlySet<string>;
  readonly #ownMacs: ReadonlySet<string>;
  readonly #host: HostFacts;
  readonly #begunMs = performance.now();
  readonly #wire: WireSession | null;
  readonly #stop: () => void;
  #leftOut = 0;

  constructor(wire: WireSession | null, services: readonly ServiceStatus[], host: HostFacts) {
    const keys = services.flatMap(({ spec: { key } }) => (isMarkKey(key) ? [] : [key]));
    this.#virtual = new Set(
      keys.filter(({ protocol }) => protocol === 'tcp').map(({ address, port }) => `${address} ${port}`),
    );
    this.#virtualAddresses = new Set(keys.map(({ address }) => address));
    this.#real = new Set(serversToAsk(services).map(([address, port]) => `${address} ${port}`));
    this.#serverAddresses = new Set(
      services.flatMap(({ destinations }) => destinations.map(({ spec }) => spec.address)),
    );
    this.#ownMacs = new Set(host.links.map(({ mac }) => mac));
    this.#host = host;
    this.#wire = wire;
    this.#stop = wire?.hear((frame, link) => this.note(frame, link, performance.now())) ?? (() => {});
  }

  note(frame: ReadFrame, link: number, nowMs: number): void {
    if (frame.kind === 'arp' || frame.kind === 'neighbor') return;
    if (frame.kind !== 'tcp') {
      this.#noteStray(frame, frame.kind === 'icmp' ? ICMP : frame.protocol);
      return;
    }
    const { source, sourcePort, destination, destinationPort } = frame;
    const isVirtual = this.#virtual.has(`${destination} ${destinationPort}`) || this.#virtual.has(`${destination} 0`);
    if (isVirtual) this.#noteClient(frame, link, nowMs);
    if (this.#real.has(`${source} ${sourcePort}`)) this.#noteServer(frame);
    else this.#noteStray(frame, TCP);
  }

  finish(): TrafficFacts {
    this.#stop();
    return {
      seconds: (performance.now() - this.#begunMs) / 1000,
      clients: [...this.#clients.values()].map(({ initial, sequences, lastMs: _, ...flow }) => ({
        ...flow,
        openings: initial.size,
        mostRepeated: mostRepeated([...sequences.values()]),
      })),
      servers: [...this.#servers.values()],
      strays: [...this.#strays.values()],
      leftOut: this.#leftOut + (this.#wire?.missed ?? 0),
    };
  }

  #noteClient(frame: TcpFrame, link: number, nowMs: number): void {
    const { source, sourcePort, destination, destinationPort, flags, sequence, payloadBytes, packetBytes } = frame;
    const flow = this.#flowOf(this.#clients, `${source} ${sourcePort} ${destination} ${destinationPort}`, () => ({
      client: source,
      clientPort: sourcePort,
      virtual: destination,
      virtualPort: destinationPort,
      syns: 0,
      acknowledgments: 0,
      dataSegments: 0,
      fins: 0,
      resets: 0,
      silenceSeconds: 0,
      firstFlags: flags,
      link,
      lastMs: nowMs,
      initial: new Set<number>(),
      sequences: new Map(),
    }));
    if (flow === null) return;
    const silenceSeconds = (nowMs - flow.lastMs) / 1000;
    flow.lastMs = nowMs;
    if ((flags & TCP_SYN) !== 0) {
      flow.syns++;
      if (flow.initial.size < SEQUENCES_MAX) flow.initial.add(sequence);
    } else if ((flags & TCP_ACK) !== 0 && (flags & TCP_RST) === 0) flow.acknowledgments++;
    if (payloadBytes > 0) {
      flow.dataSegments++;
      const known = flow.sequences.get(sequence);
      // One that comes again in smaller pieces was told that it is too large.
      if (known !== undefined && known.packetBytes === packetBytes) {
        known.times++;
        known.lastMs = nowMs;
      } else if (known !== undefined) {
        flow.sequences.set(sequence, { times: 1, packetBytes, firstMs: nowMs, lastMs: nowMs });
      } else {
        if (flow.sequences.size < SEQUENCES_MAX)
          flow.sequences.set(sequence, { times: 1, packetBytes, firstMs: nowMs, lastMs: nowMs });
        flow.silenceSeconds = Math.max(flow.silenceSeconds, silenceSeconds);
      }
    }
    if ((flags & TCP_FIN) !== 0) flow.fins++;
    if ((flags & TCP_RST) !== 0) flow.resets++;
  }

  #noteServer({ source, sourcePort, destination, destinationPort, flags, payloadBytes }: TcpFrame): void {
    const flow = this.#flowOf(this.#servers, `${source} ${sourcePort} ${destination} ${destinationPort}`, () => ({
      server: source,
      serverPort: sourcePort,
      to: destination,
      toPort: destinationPort,
      segments: 0,
      synAcks: 0,
      dataSegments: 0,
      resets: 0,
    }));
    if (flow === null) return;
    flow.segments++;
    if ((flags & TCP_SYN) !== 0 && (flags & TCP_ACK) !== 0) flow.synAcks++;
    if ((flags & TCP_RST) !== 0) flow.resets++;
    if (payloadBytes > 0) flow.dataSegments++;
  }

  /** From a server to our MAC, for neither us nor a service. */
  #noteStray({ source, destination, toMac }: TcpFrame | IcmpFrame | OtherFrame, protocol: number): void {
    if (!this.#serverAddresses.has(source) || !this.#ownMacs.has(toMac)) return;
    if (isOwnAddress(this.#host, destination) || this.#virtualAddresses.has(destination)) return;
    const flow = this.#flowOf(this.#strays, `${source} ${destination} ${protocol}`, () => ({
      server: source,
      to: destination,
      protocol,
      packets: 0,
    }));
    if (flow !== null) flow.packets++;
  }

  /** `null`: there is no room for one more. */
  #flowOf<T>(flows: Map<string, T>, name: string, create: () => T): T | null {
    const known = flows.get(name);
    if (known !== undefined) return known;
    if (flows.size >= FLOWS_MAX) {
      this.#leftOut++;
      return null;
    }
    const flow = create();
    flows.set(name, flow);
    return flow;
  }
}

function mostRepeated(all: readonly { times: number; packetBytes: number; firstMs: number; lastMs: number }[]) {
  const none = { times: 0, packetBytes: 0, firstMs: 0, lastMs: 0 };
  const most = all.reduce((best, each) => (each.times > best.times ? each : best), none);
  return { times: most.times, packetBytes: most.packetBytes, seconds: (most.lastMs - most.firstMs) / 1000 };
}

/** What passed by during the watch: segments of clients for the services, and what the servers sent by this host. */
import { isMarkKey, type ServiceStatus } from '../../model/service.ts';
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../../wire/tcp.ts';
import type { TcpFrame } from '../probe/read-frame.ts';
import type { WireSession } from '../probe/wire-session.ts';
import { serversToAsk } from './connects.ts';

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
  /** The segment that came most often, and how often: sent again because nobody answered. */
  readonly mostRepeated: { readonly times: number; readonly packetBytes: number };
  /** Flags of the first segment that was seen, and the index of the link it came by. */
  readonly firstFlags: number;
  readonly link: number;
}

/** What a server sent that came by here. */
export interface ServerFlow {
  readonly server: string;
  readonly serverPort: number;
  readonly segments: number;
  readonly synAcks: number;
  readonly resets: number;
}

export interface TrafficFacts {
  readonly seconds: number;
  readonly clients: readonly ClientFlow[];
  readonly servers: readonly ServerFlow[];
  /** Flows and frames that there was no room or time for. */
  readonly leftOut: number;
}

const FLOWS_MAX = 20_000;
/** Numbers of segments that are remembered for each flow. */
const SEQUENCES_MAX = 64;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
interface Noted extends Mutable<Omit<ClientFlow, 'openings' | 'mostRepeated'>> {
  readonly initial: Set<number>;
  readonly sequences: Map<number, { times: number; packetBytes: number }>;
}

/** Collects until `finish` is called. */
export class TrafficWatch {
  readonly #clients = new Map<string, Noted>();
  readonly #servers = new Map<string, Mutable<ServerFlow>>();
  readonly #virtual: ReadonlySet<string>;
  readonly #real: ReadonlySet<string>;
  readonly #begunMs = performance.now();
  #leftOut = 0;
  readonly #stop: () => void;
  readonly #wire: WireSession | null;

  constructor(wire: WireSession | null, services: readonly ServiceStatus[]) {
    const keys = services.flatMap(({ spec: { key } }) => (isMarkKey(key) || key.protocol !== 'tcp' ? [] : [key]));
    this.#virtual = new Set(keys.map(({ address, port }) => `${address} ${port}`));
    this.#real = new Set(serversToAsk(services).map(([address, port]) => `${address} ${port}`));
    this.#wire = wire;
    this.#stop = wire?.hear((frame, link) => frame.kind === 'tcp' && this.note(frame, link)) ?? (() => {});
  }

  note(frame: TcpFrame, link: number): void {
    const { source, sourcePort, destination, destinationPort } = frame;
    const isVirtual = this.#virtual.has(`${destination} ${destinationPort}`) || this.#virtual.has(`${destination} 0`);
    if (isVirtual) this.#noteClient(frame, link);
    if (this.#real.has(`${source} ${sourcePort}`)) this.#noteServer(frame);
  }

  finish(): TrafficFacts {
    this.#stop();
    return {
      seconds: (performance.now() - this.#begunMs) / 1000,
      clients: [...this.#clients.values()].map(({ initial, sequences, ...flow }) => ({
        ...flow,
        openings: initial.size,
        mostRepeated: [...sequences.values()].reduce((most, each) => (each.times > most.times ? each : most), {
          times: 0,
          packetBytes: 0,
        }),
      })),
      servers: [...this.#servers.values()],
      leftOut: this.#leftOut + (this.#wire?.missed ?? 0),
    };
  }

  #noteClient(frame: TcpFrame, link: number): void {
    const { source, sourcePort, destination, destinationPort, flags, sequence, payloadBytes, packetBytes } = frame;
    const name = `${source} ${sourcePort} ${destination} ${destinationPort}`;
    let flow = this.#clients.get(name);
    if (flow === undefined) {
      if (this.#clients.size >= FLOWS_MAX) {
        this.#leftOut++;
        return;
      }
      flow = {
        client: source,
        clientPort: sourcePort,
        virtual: destination,
        virtualPort: destinationPort,
        syns: 0,
        acknowledgments: 0,
        dataSegments: 0,
        fins: 0,
        resets: 0,
        firstFlags: flags,
        link,
        initial: new Set(),
        sequences: new Map(),
      };
      this.#clients.set(name, flow);
    }
    if ((flags & TCP_SYN) !== 0) {
      flow.syns++;
      if (flow.initial.size < SEQUENCES_MAX) flow.initial.add(sequence);
    } else if ((flags & TCP_ACK) !== 0 && (flags & TCP_RST) === 0) flow.acknowledgments++;
    if (payloadBytes > 0) {
      flow.dataSegments++;
      const known = flow.sequences.get(sequence);
      if (known !== undefined) known.times++;
      else if (flow.sequences.size < SEQUENCES_MAX) flow.sequences.set(sequence, { times: 1, packetBytes });
    }
    if ((flags & TCP_FIN) !== 0) flow.fins++;
    if ((flags & TCP_RST) !== 0) flow.resets++;
  }

  #noteServer({ source, sourcePort, flags }: TcpFrame): void {
    const name = `${source} ${sourcePort}`;
    let flow = this.#servers.get(name);
    if (flow === undefined) {
      flow = { server: source, serverPort: sourcePort, segments: 0, synAcks: 0, resets: 0 };
      this.#servers.set(name, flow);
    }
    flow.segments++;
    if ((flags & TCP_SYN) !== 0 && (flags & TCP_ACK) !== 0) flow.synAcks++;
    if ((flags & TCP_RST) !== 0) flow.resets++;
  }
}

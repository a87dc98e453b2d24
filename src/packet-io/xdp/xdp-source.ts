/**
 * The receiving half of one link of the back end `xdp`: the ring of a packet socket, as in `packet-ring`, which gets all
 * that the XDP program lets pass, and beside it an AF_XDP socket for each receive queue, which gets what it takes.
 */
import { readdirSync, readFileSync } from 'node:fs';
import type { Bpf } from '../../native/bpf.ts';
import type { Libc } from '../../native/libc.ts';
import { HEADROOM_BYTES } from '../../wire/packet-batch.ts';
import type { Link, LinkCounters, PacketIoOptions } from '../packet-io.ts';
import type { LinkSource } from '../packet-sockets.ts';
import { RING_SLOTS_DEFAULT, type RingArena } from '../ring-source.ts';
import type { FrameMemory, Port } from './frame-memory.ts';
import { type ProgramMaps, xdpProgram } from './xdp-program.ts';

/** Queues beyond these are left to the packet socket: their frames pass. */
const QUEUES_MAX = 8;
const ETHERNET_HEADER_BYTES = 14;
/** Room behind a frame: payload may be rewritten to something longer. */
const SPARE_BYTES = 128;

export interface XdpParts {
  readonly libc: Libc;
  readonly bpf: Bpf;
  readonly memory: FrameMemory;
  readonly maps: Omit<ProgramMaps, 'sockets'>;
  readonly options: PacketIoOptions;
}

export class XdpSource implements LinkSource<RingArena> {
  readonly fd: number;
  readonly #parts: XdpParts;
  readonly #link: Link;
  readonly #ring: LinkSource<RingArena>;
  readonly #ports: Port[] = [];
  /** Descriptors of the program's link, the program and the map of its sockets: closed in this order. */
  readonly #descriptors: number[] = [];
  readonly #refused: string | null;
  /** The program takes only frames whose checksum is complete. */
  readonly #finished: boolean;
  #received = 0;
  #transmitted = 0;
  #drops = 0;
  #peak = 0;

  /** `ring`: the open packet socket, which is closed with this. */
  constructor(parts: XdpParts, link: Link, ring: LinkSource<RingArena>) {
    this.#parts = parts;
    this.#link = link;
    this.#ring = ring;
    this.fd = ring.fd;
    this.#finished = parts.options.xdpMode !== 'native' && parts.options.xdpTakesAll !== true;
    this.#refused = reasonAgainst(link) ?? this.#set();
  }

  /** Sets everything up, or leaves nothing and returns the reason why. */
  #set(): string | null {
    const { libc, bpf, memory, maps, options } = this.#parts;
    const { index, name, mac, mtu } = this.#link;
    try {
      const queues = countQueues(name);
      const entries = (options.ringSlots ?? RING_SLOTS_DEFAULT) / queues;
      for (let queue = 0; queue < queues; queue++) this.#ports.push(memory.openPort(index, queue, entries));
      const sockets = bpf.createMap({ type: 'sockets', keyBytes: 4, valueBytes: 4, entriesMax: queues });
      this.#descriptors.unshift(sockets);
      this.#ports.forEach(({ socket }, queue) => void bpf.setEntry(sockets, word(queue), word(socket.fd)));
      const instructions = xdpProgram(
        { claims: maps.claims, hostAddresses: maps.hostAddresses, sockets },
        {
          mac,
          // What is longer than the MTU is a super-frame.
          frameBytesMax: Math.min(memory.frameBytesMax(SPARE_BYTES), mtu + ETHERNET_HEADER_BYTES),
          takesAll: options.xdpTakesAll ?? false,
          // Under native XDP there are no super-frames: veth has them cut before, network cards join none.
          passesUnfinished: options.xdpMode !== 'native',
        },
      );
      const program = bpf.loadProgram('xdp', instructions, 'uipvs');
      this.#descriptors.unshift(program);
      this.#descriptors.unshift(bpf.attachXdp(program, index, options.xdpMode ?? 'generic'));
      return null;
    } catch (error) {
      this.#takeDown(libc);
      return refusal(error as Error & { code?: string }, options.xdpMode ?? 'generic');
    }
  }

  #takeDown(libc: Libc): void {
    // The program goes first: whatever it took would be lost.
    for (const descriptor of this.#descriptors.splice(0)) libc.close(descriptor);
    for (const port of this.#ports.splice(0)) port.close();
  }

  /** The socket whose send ring is used, or `null`: frames leave by the packet socket. */
  get port(): Port | null {
    return this.#ports[0] ?? null;
  }

  get link(): Link {
    return this.#link;
  }

  receive(arena: RingArena, wanted: number): number {
    // What passes is little beside what is taken; a flood of it must not push the rest aside, nor the other way round.
    let received = this.#ring.receive(arena, this.#ports.length === 0 ? wanted : wanted >> 1);
    for (const port of this.#ports) {
      if (received === wanted) break;
      received += this.#receiveFrom(port, arena, wanted - received);
    }
    return received;
  }

  #receiveFrom(port: Port, { batch, headers }: RingArena, wanted: number): number {
    const { memory } = this.#parts;
    const { index } = this.#link;
    const finished = this.#finished;
    const waiting = port.waiting;
    if (waiting === 0) return 0;
    if (waiting > this.#peak) this.#peak = waiting;
    const count = Math.min(wanted, waiting);
    const first = batch.count;
    for (let i = first; i < first + count; i++) {
      const start = port.take();
      batch.floor[i] = start - HEADROOM_BYTES;
      batch.ceiling[i] = memory.chunkEnd(start);
      headers.takeBare(i, start, start + port.takenBytes, index, finished);
    }
    port.endTaking();
    batch.count = first + count;
    this.#received += count;
    return count;
  }

  release(): void {
    this.#ring.release();
    this.#parts.memory.chunks.endFill();
    for (const port of this.#ports) {
      port.reclaim();
      port.refill();
    }
  }

  get readable(): boolean {
    return this.#ring.readable || this.#ports.some((port) => port.waiting > 0);
  }

  get ring(): LinkCounters['ring'] {
    const ring = this.#ring.ring ?? { waiting: 0, peak: 0, slots: 0 };
    let { waiting, slots } = ring;
    for (const port of this.#ports) {
      waiting += port.waiting;
      slots += port.socket.receive.entries;
    }
    this.#peak = Math.max(this.#peak, waiting);
    return { waiting, peak: Math.max(this.#peak, ring.peak), slots };
  }

  get otherFds(): readonly number[] {
    return this.#ports.map((port) => port.socket.fd);
  }

  get xdp(): LinkCounters['xdp'] {
    if (this.#refused !== null) return { refused: this.#refused };
    const mode = this.#parts.options.xdpMode ?? 'generic';
    return { mode, received: this.#received, transmitted: this.#transmitted };
  }

  countTransmitted(frames: number): void {
    this.#transmitted += frames;
  }

  takeDrops(): number {
    let drops = 0;
    for (const { socket } of this.#ports) drops += socket.counts().drops;
    const grown = drops - this.#drops;
    this.#drops = drops;
    return grown;
  }

  close(): void {
    this.#takeDown(this.#parts.libc);
    this.#ring.close();
  }
}

/** Links on which nothing is tried. */
function reasonAgainst({ name, loopback, toHost }: Link): string | null {
  if (toHost) return 'it leads to the host itself, which leaves checksums and segments to others';
  if (loopback) return 'the loopback link carries super-frames of its own';
  if (carriesVlans(name)) return 'VLANs lie on it, and an XDP program does not always see their tags';
  return null;
}

function refusal(error: Error & { code?: string }, mode: string): string {
  if (error.code === 'EBUSY' || error.code === 'EEXIST') return 'another XDP program or AF_XDP socket is at work there';
  if (error.code === 'EOPNOTSUPP' && mode === 'native') {
    return 'its driver has no native XDP; start with --xdp-mode generic';
  }
  if (error.code === 'ENOBUFS') return 'the locked memory is used up; raise it (ulimit -l, or LimitMEMLOCK=infinity)';
  return error.message;
}

function countQueues(name: string): number {
  const found = readdirSync(`/sys/class/net/${name}/queues`).filter((each) => each.startsWith('rx-')).length;
  return Math.max(1, Math.min(QUEUES_MAX, found));
}

/** `/proc/net/vlan/config` has a line for each VLAN: its name, its number, the link below. */
function carriesVlans(name: string): boolean {
  try {
    const lines = readFileSync('/proc/net/vlan/config', 'latin1').split('\n');
    return lines.some((line) => line.split('|')[2]?.trim() === name);
  } catch {
    return false;
  }
}

function word(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

/** Where frames come from and go to. One interface for a kernel socket, libpcap, memory and capture files. */
import type { BpfInstruction } from '../wire/bpf.ts';
import type { FastPath } from '../wire/fast-path.ts';
import type { PacketBatch } from '../wire/packet-batch.ts';
import type { Claims } from './claims.ts';

export interface Link {
  /** Interface index: what `PacketBatch.ingress` and `.egress` hold. */
  readonly index: number;
  readonly name: string;
  /** Six bytes. */
  readonly mac: Uint8Array;
  readonly mtu: number;
  readonly loopback: boolean;
  /** It leads to this host's own stack. */
  readonly toHost?: boolean;
}

/** Which frames the kernel lets through; `null`: all. */
export type FrameFilter = readonly BpfInstruction[] | null;

export interface PacketIo {
  readonly links: readonly Link[];
  /** Starts to serve a link. Throws a PacketIoError when it cannot be opened. */
  attach(link: Link): void;
  /** Stops to serve it; unknown indexes are ignored. */
  detach(linkIndex: number): void;
  /** A batch whose arena suits this back end. Only this back end may fill and empty it. */
  createBatch(frames: number): PacketBatch;
  /** Fills the batch from its first slot, never blocks, ends the previous fill. Returns the frames. */
  receive(batch: PacketBatch): number;
  /**
   * Sends the frames of the batch whose `egress` is an attached link, in order. Works for any batch, also one
   * that another back end or the engine made (then without super-frames). Returns frames handed to the link;
   * the others are counted in `counters`.
   */
  transmit(batch: PacketBatch): number;
  /** Blocks until frames may have come or the time is over; back ends that only poll may return at once. */
  wait(timeoutMs: number): void;
  /**
   * Event-driven back ends (`thread: 'main'`) call `onReadable` from the event loop when `receive` has frames;
   * their `wait` does not block. Absent in the others.
   */
  listen?(onReadable: () => void): void;
  /**
   * Lets the kernel choose frames: of all links, now and later, only what the program accepts is received (`null`:
   * all). What the kernel refuses, for want of memory, ends the choosing: then everything is received. Absent where
   * nobody asks the kernel.
   */
  filter?(program: FrameFilter): void;
  /** The kernel chooses now. */
  readonly filters?: boolean;
  /** Only of back ends that take frames away from the host's stack: what they may take. */
  readonly claims?: Claims | undefined;
  /** For flows that need no decision any more; absent or `null`: there is none. */
  readonly fastPath?: FastPath | null;
  readonly counters: PacketIoCounters;
  /** The same link by link, with the state of each ring. Asked about once a second; absent where nobody keeps them. */
  linkCounters?(): readonly LinkCounters[];
  close(): void;
}

export interface PacketIoCounters {
  received: number;
  transmitted: number;
  /** Frames the kernel threw away before we read them, as far as the back end can know. */
  receiveDrops: number;
  /** Frames the link refused: by errno name or a word of ours. */
  transmitErrors: Record<string, number>;
}

/** What happened on one link since it was attached. */
export interface LinkCounters extends PacketIoCounters {
  readonly link: string;
  /** Frames that wait in the receive ring now, the most that were seen waiting, and how many it holds. */
  ring: { readonly waiting: number; readonly peak: number; readonly slots: number } | null;
  /** Only where AF_XDP is wanted: how frames are taken and how many went that way, or why none do. */
  readonly xdp?: XdpCounters | { readonly refused: string };
}

export interface XdpCounters {
  readonly mode: 'generic' | 'native';
  readonly received: number;
  readonly transmitted: number;
}

/** What the operator may choose. Back ends take what means something to them. */
export interface PacketIoOptions {
  /** Microseconds to look for frames again and again before sleeping, at most; 0: never. */
  readonly spinUs?: number;
  /** Hand frames to the card past its queueing discipline. */
  readonly bypassQueue?: boolean;
  /** Frames a receive ring holds, about, on a link with the usual MTU; others get the same memory. */
  readonly ringSlots?: number;
  /** How XDP programs are attached. Absent: `generic`, which works with every driver. */
  readonly xdpMode?: 'generic' | 'native';
  /** Whether there shall be a fast path where the kernel has one. Absent: no. */
  readonly fastPath?: boolean;
  /** Which of several workers this is, from 0; absent: the only one. What another of that number left behind is its own. */
  readonly shard?: number;
  /** XDP programs take every frame, not only those that were claimed: for tests of that back end. */
  readonly xdpTakesAll?: boolean;
}

export class PacketIoError extends Error {
  override readonly name = 'PacketIoError';
}

/** How a back end presents itself to `uipvs io` and the daemon. */
export interface PacketIoKind {
  readonly name: string;
  readonly summary: string;
  /** Where it must run: in a worker thread, or on a process's main thread. */
  readonly thread: 'any' | 'main';
  /** It reads a tap, which must be set up and fed by rules before it is opened; absent: it needs nothing of the kind. */
  readonly tap?: true;
  /** `null`: works here; otherwise the reason why not, as one sentence with the way out. */
  unavailable(): Promise<string | null>;
  /** Several workers may read the same links, each the frames it is told to. */
  readonly sharable?: true;
  open(options?: PacketIoOptions): Promise<PacketIo>;
  /** `null`: it has a fast path here; otherwise why not, as one sentence. Absent: it has none anywhere. */
  fastPathRefused?(): string | null;
  /** How this process reaches the system's calls, or `null` when it does not matter. */
  provider?(): string | null;
}

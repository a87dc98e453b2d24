/**
 * What both kinds of capture files have in common: packets, interfaces, the error, and the window through
 * which a reader sees a file that arrives in pieces.
 */

/** Link types we read. Registry: https://www.tcpdump.org/linktypes.html */
export const LinkType = {
  /** BSD loopback: four bytes, the address family in the byte order of the host that captured. */
  NULL: 0,
  ETHERNET: 1,
  /** An IPv4 or IPv6 packet without a link header. */
  RAW: 101,
  /** The same as NULL in network byte order. */
  LOOP: 108,
  /** Linux "cooked" capture: 16 bytes instead of the link header. */
  LINUX_SLL: 113,
  IPV4: 228,
  IPV6: 229,
  /** Its second version, with 20 bytes: what `tcpdump -i any` writes today. */
  LINUX_SLL2: 276,
} as const;

/** Those that people meet and that hold no packets we could read, by name. */
const FOREIGN_LINK_TYPES: Readonly<Record<number, string>> = {
  9: 'PPP',
  51: 'PPP over Ethernet session',
  105: 'IEEE 802.11 wireless LAN',
  127: '802.11 with radiotap header: capture without monitor mode',
  147: 'user-defined',
  187: 'Bluetooth HCI',
  189: 'USB',
  195: 'IEEE 802.15.4',
  220: 'USB',
  227: 'CAN bus',
  253: 'netlink',
};

/** Longest packet a file may hold; the bound that libpcap uses for these link types. */
export const CAPTURE_PACKET_BYTES_MAX = 262_144;
/** Longest block a reader keeps in memory (libpcap's bound, too). Blocks it does not know may be longer. */
export const CAPTURE_BLOCK_BYTES_MAX = 16 * 1024 * 1024;
/** Interfaces in one file. */
export const CAPTURE_INTERFACES_MAX = 4_096;

export interface CaptureInterface {
  /** One of `LinkType`. */
  readonly linkType: number;
  /** Longest packet the capture kept, in bytes; 0 for no limit. */
  readonly snapBytes: number;
  /** `eth0`, when the file says. */
  readonly name?: string;
  /** Six bytes, when the file says. */
  readonly mac?: Uint8Array;
}

export type CaptureDirection = 'inbound' | 'outbound' | 'unknown';

export interface CapturedPacket {
  /** Place in the reader's `interfaces`; always 0 in a classic pcap file. */
  readonly interfaceIndex: number;
  /** Nanoseconds since 1970 (UTC). A packet without one (pcapng's simple packet) has that of the packet before it. */
  readonly timestampNs: bigint;
  /** The packet with its link header. The caller owns it. */
  readonly data: Uint8Array;
  /** Length on the wire; more than `data.length` when the capture cut the packet off. */
  readonly originalBytes: number;
  readonly direction: CaptureDirection;
  readonly comments: readonly string[];
}

/** Reads a capture file that arrives in pieces of any size. */
export interface CaptureReader {
  /** Interfaces seen so far, over all sections of the file. */
  readonly interfaces: readonly CaptureInterface[];
  /**
   * Hands over the next bytes of the file; they are copied. Memory stays bounded when `next` is called until it
   * answers `null` before more is handed over.
   */
  push(chunk: Uint8Array): void;
  /** Says that no more bytes follow. */
  end(): void;
  /** The next packet, or `null`: needs more bytes, or after `end` there are no more. Throws CaptureFileError. */
  next(): CapturedPacket | null;
}

/** A file that is no capture file, is cut off, or contradicts itself. */
export class CaptureFileError extends Error {
  override readonly name = 'CaptureFileError';
  /** Offset in the file of the structure that is wrong, in bytes. */
  readonly offset: number;
  /** Without the place. */
  readonly problem: string;
  /** The packet it is about, counted from 1, or 0: none. */
  readonly packetNumber: number;

  constructor(offset: number, problem: string, packetNumber = 0) {
    super(`capture file, ${packetNumber > 0 ? `packet ${packetNumber}, ` : ''}byte ${offset}: ${problem}`);
    this.offset = offset;
    this.problem = problem;
    this.packetNumber = packetNumber;
  }
}

export function checkLinkType(linkType: number, offset: number): void {
  for (const known of Object.values(LinkType)) if (known === linkType) return;
  const name = FOREIGN_LINK_TYPES[linkType];
  throw new CaptureFileError(
    offset,
    `link type ${linkType}${name === undefined ? '' : ` (${name})`} cannot be read, only Ethernet (1), raw IP (101, 228, ` +
      '229), Linux cooked capture (113, 276) and BSD loopback (0, 108)',
  );
}

/** The part of the file that has arrived and has not been read yet. */
export class CaptureWindow {
  #bytes = new Uint8Array(0);
  #start = 0;
  #end = 0;
  #offset = 0;
  #ended = false;
  /** The same bytes as `bytes`, for numbers in either byte order. */
  view = new DataView(this.#bytes.buffer);

  /** Holds the unread bytes at `[at, at + available)`; valid until the next `push`. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  get at(): number {
    return this.#start;
  }

  get available(): number {
    return this.#end - this.#start;
  }

  /** Offset in the file of the first unread byte. */
  get offset(): number {
    return this.#offset;
  }

  /** True when `end` was called and everything was read. */
  get finished(): boolean {
    return this.#ended && this.available === 0;
  }

  push(chunk: Uint8Array): void {
    if (this.#end + chunk.length > this.#bytes.length) this.#makeRoom(chunk.length);
    this.#bytes.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  end(): void {
    this.#ended = true;
  }

  /** True when `bytes` bytes of `what` are here, false when they may still come. Throws when the file is too short. */
  has(bytes: number, what: string): boolean {
    if (this.available >= bytes) return true;
    if (!this.#ended) return false;
    const problem = `${what} takes ${bytes} bytes, but only ${this.available} are left: the file is cut off`;
    throw new CaptureFileError(this.#offset, problem);
  }

  consume(bytes: number): void {
    this.#start += bytes;
    this.#offset += bytes;
    if (this.#start === this.#end) this.#start = this.#end = 0;
  }

  #makeRoom(chunkBytes: number): void {
    const needed = this.available + chunkBytes;
    const target = needed > this.#bytes.length ? new Uint8Array(Math.max(needed, 2 * this.available)) : this.#bytes;
    target.set(this.#bytes.subarray(this.#start, this.#end));
    this.#end = this.available;
    this.#start = 0;
    this.#bytes = target;
    this.view = new DataView(target.buffer);
  }
}

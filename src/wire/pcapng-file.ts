/**
 * Capture files of the next generation, read. The writer is in `pcapng-writer.ts`.
 * Source: draft-ietf-opsawg-pcapng (PCAP Next Generation Capture File Format).
 */
import {
  CAPTURE_BLOCK_BYTES_MAX,
  CAPTURE_INTERFACES_MAX,
  CAPTURE_PACKET_BYTES_MAX,
  type CaptureDirection,
  type CapturedPacket,
  CaptureFileError,
  type CaptureInterface,
  type CaptureReader,
  CaptureWindow,
  checkLinkType,
} from './capture-format.ts';

export const BlockType = {
  SECTION_HEADER: 0x0a0d0d0a,
  INTERFACE: 1,
  /** Obsolete, but files with it are around. */
  PACKET: 2,
  SIMPLE_PACKET: 3,
  ENHANCED_PACKET: 6,
} as const;

export const OptionCode = {
  END: 0,
  COMMENT: 1,
  /** In packet blocks: the lowest two bits tell the direction. */
  PACKET_FLAGS: 2,
  INTERFACE_NAME: 2,
  SECTION_APPLICATION: 4,
  INTERFACE_MAC: 6,
  INTERFACE_TIME_RESOLUTION: 9,
  INTERFACE_TIME_OFFSET: 14,
} as const;

export const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
/** Type and length in front; the length comes again at the end. */
export const BLOCK_HEADER_BYTES = 8;
export const BLOCK_TRAILER_BYTES = 4;
const BLOCK_BYTES_MIN = BLOCK_HEADER_BYTES + BLOCK_TRAILER_BYTES;
/** Bytes in front of the options or the data, header included. */
const SECTION_BYTES = 24;
const INTERFACE_BYTES = 16;
const SIMPLE_PACKET_BYTES = 12;
const PACKET_BYTES = 28;
const DIRECTIONS: readonly CaptureDirection[] = ['unknown', 'inbound', 'outbound', 'unknown'];

interface InterfaceClock {
  readonly unitsPerSecond: bigint;
  readonly offsetNs: bigint;
}

/** True when a file whose first four bytes are `bytes[at..at+4)` is a pcapng file. */
export function isPcapngMagic(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === 0x0a && bytes[at + 1] === 0x0d && bytes[at + 2] === 0x0d && bytes[at + 3] === 0x0a;
}

/** Fills up to a multiple of four. */
export function paddedBytes(bytes: number): number {
  return (bytes + 3) & ~3;
}

/** Reads both byte orders, any number of sections, and passes over blocks it does not know. */
export class PcapngReader implements CaptureReader {
  readonly interfaces: CaptureInterface[] = [];
  readonly #clocks: InterfaceClock[] = [];
  readonly #window = new CaptureWindow();
  readonly #text = new TextDecoder();
  #littleEndian = true;
  #inSection = false;
  /** Place in `interfaces` of the section's interface 0. */
  #sectionBase = 0;
  #lastTimestampNs = 0n;
  /** What is left of a block that is passed over. */
  #skipBytes = 0;

  push(chunk: Uint8Array): void {
    this.#window.push(chunk);
  }

  end(): void {
    this.#window.end();
  }

  next(): CapturedPacket | null {
    for (;;) {
      if (!this.#skip() || this.#window.finished) return this.#finish();
      if (!this.#window.has(BLOCK_BYTES_MIN, 'a block')) return null;
      const type = this.#blockType();
      const blockBytes = this.#blockBytes();
      if (!isKnown(type)) {
        this.#window.consume(BLOCK_HEADER_BYTES);
        this.#skipBytes = blockBytes - BLOCK_HEADER_BYTES;
        continue;
      }
      if (blockBytes > CAPTURE_BLOCK_BYTES_MAX) {
        this.#fail(4, `a block claims ${blockBytes} bytes; expected at most ${CAPTURE_BLOCK_BYTES_MAX}`);
      }
      if (!this.#window.has(blockBytes, 'a block')) return null;
      if (this.#uint32(blockBytes - BLOCK_TRAILER_BYTES) !== blockBytes) {
        this.#fail(blockBytes - BLOCK_TRAILER_BYTES, `expected the block's length, ${blockBytes}, again at its end`);
      }
      const packet = this.#readBlock(type, blockBytes);
      this.#window.consume(blockBytes);
      if (packet !== null) return packet;
    }
  }

  /** At the end of what is here: fine, unless the file is empty. */
  #finish(): null {
    if (!this.#inSection) this.#window.has(BLOCK_BYTES_MIN, 'a section header');
    return null;
  }

  /** Passes over the rest of an unknown block. False: more of it must come. */
  #skip(): boolean {
    if (this.#skipBytes === 0) return true;
    const bytes = Math.min(this.#skipBytes, this.#window.available);
    this.#window.consume(bytes);
    this.#skipBytes -= bytes;
    return this.#skipBytes === 0 || this.#window.has(this.#skipBytes, 'the rest of a block');
  }

  #blockType(): number {
    if (isPcapngMagic(this.#window.bytes, this.#window.at)) {
      const { view, at } = this.#window;
      const magic = view.getUint32(at + BLOCK_HEADER_BYTES, true);
      this.#littleEndian = magic === BYTE_ORDER_MAGIC;
      if (!this.#littleEndian && view.getUint32(at + BLOCK_HEADER_BYTES) !== BYTE_ORDER_MAGIC) {
        this.#fail(8, 'expected the byte order magic 1a2b3c4d in either byte order');
      }
      return BlockType.SECTION_HEADER;
    }
    if (!this.#inSection) this.#fail(0, 'expected a section header (0a0d0d0a)');
    return this.#uint32(0);
  }

  #blockBytes(): number {
    const bytes = this.#uint32(4);
    if (bytes >= BLOCK_BYTES_MIN && bytes % 4 === 0) return bytes;
    this.#fail(4, `a block claims ${bytes} bytes; expected a multiple of 4 from ${BLOCK_BYTES_MIN} up`);
  }

  #readBlock(type: number, blockBytes: number): CapturedPacket | null {
    const end = blockBytes - BLOCK_TRAILER_BYTES;
    if (end < fixedBytes(type)) this.#fail(4, `a block of type ${type} cannot have only ${blockBytes} bytes`);
    if (type === BlockType.SECTION_HEADER) return this.#readSection();
    if (type === BlockType.INTERFACE) return this.#readInterface(end);
    if (type === BlockType.SIMPLE_PACKET) return this.#readSimplePacket(end);
    const interfaceId = type === BlockType.PACKET ? this.#uint16(8) : this.#uint32(8);
    return this.#readPacket(interfaceId, end);
  }

  #readSection(): null {
    const major = this.#uint16(12);
    if (major !== 1) this.#fail(12, `expected version 1 of the format, found ${major}.${this.#uint16(14)}`);
    this.#inSection = true;
    this.#sectionBase = this.interfaces.length;
    return null;
  }

  #readInterface(end: number): null {
    if (this.interfaces.length >= CAPTURE_INTERFACES_MAX) {
      this.#fail(0, `expected at most ${CAPTURE_INTERFACES_MAX} interfaces`);
    }
    const linkType = this.#uint16(8);
    checkLinkType(linkType, this.#window.offset + 8);
    const described: { name?: string; mac?: Uint8Array } = {};
    let unitsPerSecond = 1_000_000n;
    let offsetNs = 0n;
    this.#forEachOption(INTERFACE_BYTES, end, (code, at, bytes) => {
      if (code === OptionCode.INTERFACE_NAME) described.name = this.#decode(at, bytes);
      if (code === OptionCode.INTERFACE_MAC && bytes === 6) described.mac = this.#copy(at, 6);
      if (code === OptionCode.INTERFACE_TIME_RESOLUTION && bytes === 1) unitsPerSecond = resolution(this.#uint8(at));
      if (code === OptionCode.INTERFACE_TIME_OFFSET && bytes === 8) offsetNs = this.#int64(at) * 1_000_000_000n;
    });
    this.interfaces.push({ linkType, snapBytes: this.#uint32(12), ...described });
    this.#clocks.push({ unitsPerSecond, offsetNs });
    return null;
  }

  #readSimplePacket(end: number): CapturedPacket {
    const interfaceIndex = this.#interfaceIndex(0);
    const originalBytes = this.#uint32(8);
    const snapBytes = (this.interfaces[interfaceIndex] as CaptureInterface).snapBytes;
    const capturedBytes = snapBytes === 0 ? originalBytes : Math.min(originalBytes, snapBytes);
    const data = this.#packetData(SIMPLE_PACKET_BYTES, capturedBytes, end);
    const timestampNs = this.#lastTimestampNs;
    return { interfaceIndex, timestampNs, data, originalBytes, direction: 'unknown', comments: [] };
  }

  /** The enhanced packet block and the obsolete one differ only in how they write the interface. */
  #readPacket(interfaceId: number, end: number): CapturedPacket {
    const interfaceIndex = this.#interfaceIndex(interfaceId);
    const { unitsPerSecond, offsetNs } = this.#clocks[interfaceIndex] as InterfaceClock;
    const units = (BigInt(this.#uint32(12)) << 32n) | BigInt(this.#uint32(16));
    const capturedBytes = this.#uint32(20);
    const data = this.#packetData(PACKET_BYTES, capturedBytes, end);
    const comments: string[] = [];
    let direction: CaptureDirection = 'unknown';
    this.#forEachOption(PACKET_BYTES + paddedBytes(capturedBytes), end, (code, at, bytes) => {
      if (code === OptionCode.COMMENT) comments.push(this.#decode(at, bytes));
      if (code === OptionCode.PACKET_FLAGS && bytes === 4) {
        direction = DIRECTIONS[this.#uint32(at) & 3] as CaptureDirection;
      }
    });
    this.#lastTimestampNs = (units * 1_000_000_000n) / unitsPerSecond + offsetNs;
    const timestampNs = this.#lastTimestampNs;
    return { interfaceIndex, timestampNs, data, originalBytes: this.#uint32(24), direction, comments };
  }

  #interfaceIndex(interfaceId: number): number {
    const index = this.#sectionBase + interfaceId;
    if (index < this.interfaces.length) return index;
    const described = this.interfaces.length - this.#sectionBase;
    this.#fail(8, `a packet names interface ${interfaceId}, but the section describes ${described} before it`);
  }

  #packetData(at: number, bytes: number, end: number): Uint8Array {
    if (bytes > CAPTURE_PACKET_BYTES_MAX || at + bytes > end) {
      const room = Math.min(end - at, CAPTURE_PACKET_BYTES_MAX);
      this.#fail(at, `a packet claims ${bytes} bytes; its block leaves room for at most ${room}`);
    }
    return this.#copy(at, bytes);
  }

  /** Walks the options in `[at, end)` of the block. Some writers leave out the option that ends the list. */
  #forEachOption(at: number, end: number, visit: (code: number, at: number, bytes: number) => void): void {
    while (end - at >= 4) {
      const code = this.#uint16(at);
      const bytes = this.#uint16(at + 2);
      if (code === OptionCode.END) return;
      if (at + 4 + bytes > end) this.#fail(at, `option ${code} claims ${bytes} bytes; ${end - at - 4} are left`);
      visit(code, at + 4, bytes);
      at += 4 + paddedBytes(bytes);
    }
  }

  // Numbers and bytes of the block in hand, at an offset from its beginning.

  #uint8(at: number): number {
    return this.#window.view.getUint8(this.#window.at + at);
  }

  #uint16(at: number): number {
    return this.#window.view.getUint16(this.#window.at + at, this.#littleEndian);
  }

  #uint32(at: number): number {
    return this.#window.view.getUint32(this.#window.at + at, this.#littleEndian);
  }

  #int64(at: number): bigint {
    return this.#window.view.getBigInt64(this.#window.at + at, this.#littleEndian);
  }

  #copy(at: number, bytes: number): Uint8Array {
    return this.#window.bytes.slice(this.#window.at + at, this.#window.at + at + bytes);
  }

  #decode(at: number, bytes: number): string {
    return this.#text.decode(this.#copy(at, bytes));
  }

  #fail(at: number, problem: string): never {
    throw new CaptureFileError(this.#window.offset + at, problem);
  }
}

function isKnown(type: number): boolean {
  return fixedBytes(type) > 0;
}

/** Bytes of a block in front of its data and options, or 0 for a type that is passed over. */
function fixedBytes(type: number): number {
  if (type === BlockType.SECTION_HEADER) return SECTION_BYTES;
  if (type === BlockType.INTERFACE) return INTERFACE_BYTES;
  if (type === BlockType.SIMPLE_PACKET) return SIMPLE_PACKET_BYTES;
  if (type === BlockType.PACKET || type === BlockType.ENHANCED_PACKET) return PACKET_BYTES;
  return 0;
}

/** Units per second: a power of ten, or of two when the highest bit is set. */
function resolution(value: number): bigint {
  const exponent = BigInt(value & 0x7f);
  return (value & 0x80) !== 0 ? 2n ** exponent : 10n ** exponent;
}

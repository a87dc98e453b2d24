/**
 * Classic capture files, read and written.
 * Source: draft-ietf-opsawg-pcap (PCAP Capture File Format), version 2.4 of the format.
 */
import {
  CAPTURE_PACKET_BYTES_MAX,
  type CapturedPacket,
  CaptureFileError,
  type CaptureInterface,
  type CaptureReader,
  CaptureWindow,
  checkLinkType,
} from './capture-format.ts';

const FILE_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
const MAGIC_MICROSECONDS = 0xa1b2c3d4;
const MAGIC_NANOSECONDS = 0xa1b23c4d;
const MAJOR = 2;
const MINOR = 4;
/** The upper bits of the link type field speak of frame check sequences. */
const LINK_TYPE_MASK = 0xffff;

/** True when a file whose first four bytes are `bytes[at..at+4)` is a classic capture file. */
export function isPcapMagic(bytes: Uint8Array, at: number): boolean {
  return magicOf(new DataView(bytes.buffer, bytes.byteOffset + at, 4)) !== null;
}

/** Byte order and unit of a file, told by its first four bytes; `null` when it is no classic capture file. */
function magicOf(view: DataView, at = 0): { littleEndian: boolean; unitNs: bigint } | null {
  for (const littleEndian of [true, false]) {
    const magic = view.getUint32(at, littleEndian);
    if (magic === MAGIC_MICROSECONDS) return { littleEndian, unitNs: 1000n };
    if (magic === MAGIC_NANOSECONDS) return { littleEndian, unitNs: 1n };
  }
  return null;
}

/** Reads both byte orders, micro- and nanoseconds. Every packet belongs to interface 0. */
export class PcapReader implements CaptureReader {
  readonly interfaces: CaptureInterface[] = [];
  readonly #window = new CaptureWindow();
  #littleEndian = true;
  #unitNs = 1000n;

  push(chunk: Uint8Array): void {
    this.#window.push(chunk);
  }

  end(): void {
    this.#window.end();
  }

  next(): CapturedPacket | null {
    if (this.interfaces.length === 0 && !this.#readFileHeader()) return null;
    const window = this.#window;
    if (window.finished || !window.has(RECORD_HEADER_BYTES, 'a packet header')) return null;
    const { view, at } = window;
    const capturedBytes = view.getUint32(at + 8, this.#littleEndian);
    if (capturedBytes > CAPTURE_PACKET_BYTES_MAX) {
      const problem = `a packet claims ${capturedBytes} bytes; expected at most ${CAPTURE_PACKET_BYTES_MAX}`;
      throw new CaptureFileError(window.offset, problem);
    }
    if (!window.has(RECORD_HEADER_BYTES + capturedBytes, 'a packet with its header')) return null;
    const seconds = BigInt(view.getUint32(at, this.#littleEndian));
    const fraction = BigInt(view.getUint32(at + 4, this.#littleEndian));
    const packet: CapturedPacket = {
      interfaceIndex: 0,
      timestampNs: seconds * 1_000_000_000n + fraction * this.#unitNs,
      data: window.bytes.slice(at + RECORD_HEADER_BYTES, at + RECORD_HEADER_BYTES + capturedBytes),
      originalBytes: view.getUint32(at + 12, this.#littleEndian),
      direction: 'unknown',
      comments: [],
    };
    window.consume(RECORD_HEADER_BYTES + capturedBytes);
    return packet;
  }

  #readFileHeader(): boolean {
    const window = this.#window;
    if (!window.has(FILE_HEADER_BYTES, 'the header of a capture file')) return false;
    const { view, at } = window;
    const magic = magicOf(view, at);
    if (magic === null) {
      const found = view.getUint32(at).toString(16).padStart(8, '0');
      throw new CaptureFileError(
        0,
        `expected the magic number a1b2c3d4 or a1b23c4d in either byte order, found ${found}`,
      );
    }
    const major = view.getUint16(at + 4, magic.littleEndian);
    const minor = view.getUint16(at + 6, magic.littleEndian);
    if (major !== MAJOR || minor !== MINOR) {
      throw new CaptureFileError(4, `expected version ${MAJOR}.${MINOR} of the format, found ${major}.${minor}`);
    }
    const linkType = view.getUint32(at + 20, magic.littleEndian) & LINK_TYPE_MASK;
    checkLinkType(linkType, 20);
    this.#littleEndian = magic.littleEndian;
    this.#unitNs = magic.unitNs;
    this.interfaces.push({ linkType, snapBytes: view.getUint32(at + 16, magic.littleEndian) });
    window.consume(FILE_HEADER_BYTES);
    return true;
  }
}

export interface PcapWriterOptions {
  /** One of `LinkType`, for every packet of the file. */
  readonly linkType: number;
  /** Default: nanoseconds. */
  readonly resolution?: 'microseconds' | 'nanoseconds';
  readonly littleEndian?: boolean;
}

/** Makes the bytes of a classic capture file; the caller puts them one after the other. */
export class PcapWriter {
  readonly #linkType: number;
  readonly #nanoseconds: boolean;
  readonly #littleEndian: boolean;

  constructor(options: PcapWriterOptions) {
    this.#linkType = options.linkType;
    this.#nanoseconds = options.resolution !== 'microseconds';
    this.#littleEndian = options.littleEndian ?? true;
  }

  /** What a file begins with. */
  header(): Uint8Array {
    const view = new DataView(new ArrayBuffer(FILE_HEADER_BYTES));
    view.setUint32(0, this.#nanoseconds ? MAGIC_NANOSECONDS : MAGIC_MICROSECONDS, this.#littleEndian);
    view.setUint16(4, MAJOR, this.#littleEndian);
    view.setUint16(6, MINOR, this.#littleEndian);
    view.setUint32(16, CAPTURE_PACKET_BYTES_MAX, this.#littleEndian);
    view.setUint32(20, this.#linkType, this.#littleEndian);
    return new Uint8Array(view.buffer);
  }

  /**
   * One packet. `originalBytes` is its length on the wire, when the packet was cut off. The format has seconds
   * in 32 bits, so times end in 2106. Throws RangeError above `CAPTURE_PACKET_BYTES_MAX` bytes.
   */
  packet(data: Uint8Array, timestampNs: bigint, originalBytes = data.length): Uint8Array {
    if (data.length > CAPTURE_PACKET_BYTES_MAX) throw new RangeError(`a packet of ${data.length} bytes is too long`);
    const bytes = new Uint8Array(RECORD_HEADER_BYTES + data.length);
    const view = new DataView(bytes.buffer);
    const fractionNs = Number(timestampNs % 1_000_000_000n);
    view.setUint32(0, Number(timestampNs / 1_000_000_000n), this.#littleEndian);
    view.setUint32(4, this.#nanoseconds ? fractionNs : Math.floor(fractionNs / 1000), this.#littleEndian);
    view.setUint32(8, data.length, this.#littleEndian);
    view.setUint32(12, originalBytes, this.#littleEndian);
    bytes.set(data, RECORD_HEADER_BYTES);
    return bytes;
  }
}

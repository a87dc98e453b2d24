/**
 * Capture files of the next generation, written: one section, nanoseconds, one enhanced packet block a packet.
 * Source: draft-ietf-opsawg-pcapng (PCAP Next Generation Capture File Format).
 */
import { CAPTURE_PACKET_BYTES_MAX, type CaptureDirection, type CaptureInterface } from './capture-format.ts';
import {
  BLOCK_HEADER_BYTES,
  BLOCK_TRAILER_BYTES,
  BlockType,
  BYTE_ORDER_MAGIC,
  OptionCode,
  paddedBytes,
} from './pcapng-file.ts';

/** What a packet may have beside its bytes and its time. */
export interface PacketNotes {
  /** Length on the wire, when the packet was cut off. */
  readonly originalBytes?: number;
  readonly direction?: CaptureDirection;
  /** Each at most 65 535 bytes as UTF-8. */
  readonly comments?: readonly string[];
}

export interface PcapngWriterOptions {
  /** Name of the program that writes, for people who look at the file. */
  readonly application?: string;
  readonly littleEndian?: boolean;
}

const textEncoder = new TextEncoder();
const NANOSECONDS = 9;
const OPTION_HEADER_BYTES = 4;
const FLAG_INBOUND = 1;
const FLAG_OUTBOUND = 2;

/** Makes the bytes of a file, block by block; the caller puts them one after the other. */
export class PcapngWriter {
  readonly #application: string;
  readonly #littleEndian: boolean;
  readonly #inbound: Option;
  readonly #outbound: Option;
  #interfaceCount = 0;

  constructor(options: PcapngWriterOptions = {}) {
    this.#application = options.application ?? '';
    this.#littleEndian = options.littleEndian ?? true;
    this.#inbound = this.#flagsOption(FLAG_INBOUND);
    this.#outbound = this.#flagsOption(FLAG_OUTBOUND);
  }

  get interfaceCount(): number {
    return this.#interfaceCount;
  }

  /** What a file begins with. */
  header(): Uint8Array {
    const options =
      this.#application === '' ? [] : [this.#textOption(OptionCode.SECTION_APPLICATION, this.#application)];
    return this.#block(BlockType.SECTION_HEADER, 16, options, (view, at) => {
      view.setUint32(at, BYTE_ORDER_MAGIC, this.#littleEndian);
      view.setUint16(at + 4, 1, this.#littleEndian);
      view.setBigInt64(at + 8, -1n, this.#littleEndian); // The section's length is not known beforehand.
    });
  }

  /** Describes the next interface; the first is number 0. It may come anywhere before its first packet. */
  interface(description: CaptureInterface): Uint8Array {
    this.#interfaceCount++;
    const options = [this.#option(OptionCode.INTERFACE_TIME_RESOLUTION, new Uint8Array([NANOSECONDS]))];
    if (description.name !== undefined) options.unshift(this.#textOption(OptionCode.INTERFACE_NAME, description.name));
    if (description.mac !== undefined) options.push(this.#option(OptionCode.INTERFACE_MAC, description.mac));
    return this.#block(BlockType.INTERFACE, 8, options, (view, at) => {
      view.setUint16(at, description.linkType, this.#littleEndian);
      view.setUint32(at + 4, description.snapBytes, this.#littleEndian);
    });
  }

  /** One packet. Throws RangeError for an interface not described yet, and for packets or comments too long. */
  packet(interfaceIndex: number, data: Uint8Array, timestampNs: bigint, notes: PacketNotes = {}): Uint8Array {
    if (interfaceIndex >= this.#interfaceCount) throw new RangeError(`interface ${interfaceIndex} is not described`);
    if (data.length > CAPTURE_PACKET_BYTES_MAX) throw new RangeError(`a packet of ${data.length} bytes is too long`);
    const options = (notes.comments ?? []).map((comment) => this.#textOption(OptionCode.COMMENT, comment));
    const direction = notes.direction ?? 'unknown';
    if (direction !== 'unknown') options.push(direction === 'inbound' ? this.#inbound : this.#outbound);
    return this.#block(BlockType.ENHANCED_PACKET, 20 + paddedBytes(data.length), options, (view, at) => {
      view.setUint32(at, interfaceIndex, this.#littleEndian);
      view.setUint32(at + 4, Number((timestampNs >> 32n) & 0xffffffffn), this.#littleEndian);
      view.setUint32(at + 8, Number(timestampNs & 0xffffffffn), this.#littleEndian);
      view.setUint32(at + 12, data.length, this.#littleEndian);
      view.setUint32(at + 16, notes.originalBytes ?? data.length, this.#littleEndian);
      new Uint8Array(view.buffer).set(data, at + 20);
    });
  }

  /** A block whose fixed part, `bodyBytes` long, is written by `fill` at the offset it is given. */
  #block(
    type: number,
    bodyBytes: number,
    options: readonly Option[],
    fill: (view: DataView, at: number) => void,
  ): Uint8Array {
    let optionBytes = options.length > 0 ? OPTION_HEADER_BYTES : 0;
    for (const { value } of options) optionBytes += OPTION_HEADER_BYTES + paddedBytes(value.length);
    const blockBytes = BLOCK_HEADER_BYTES + bodyBytes + optionBytes + BLOCK_TRAILER_BYTES;
    const bytes = new Uint8Array(blockBytes);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, type, this.#littleEndian);
    view.setUint32(4, blockBytes, this.#littleEndian);
    fill(view, BLOCK_HEADER_BYTES);
    let at = BLOCK_HEADER_BYTES + bodyBytes;
    for (const { code, value } of options) {
      view.setUint16(at, code, this.#littleEndian);
      view.setUint16(at + 2, value.length, this.#littleEndian);
      bytes.set(value, at + OPTION_HEADER_BYTES);
      at += OPTION_HEADER_BYTES + paddedBytes(value.length);
    }
    view.setUint32(blockBytes - BLOCK_TRAILER_BYTES, blockBytes, this.#littleEndian);
    return bytes;
  }

  #option(code: number, value: Uint8Array): Option {
    if (value.length > 0xffff) throw new RangeError(`an option of ${value.length} bytes is too long`);
    return { code, value };
  }

  #textOption(code: number, text: string): Option {
    return this.#option(code, textEncoder.encode(text));
  }

  #flagsOption(flags: number): Option {
    const value = new Uint8Array(4);
    new DataView(value.buffer).setUint32(0, flags, this.#littleEndian);
    return this.#option(OptionCode.PACKET_FLAGS, value);
  }
}

interface Option {
  readonly code: number;
  readonly value: Uint8Array;
}

/** A capture file of either kind, told apart by its first four bytes. */
import { type CapturedPacket, CaptureFileError, type CaptureInterface, type CaptureReader } from './capture-format.ts';
import { isPcapMagic, PcapReader } from './pcap-file.ts';
import { isPcapngMagic, PcapngReader } from './pcapng-file.ts';

const MAGIC_BYTES = 4;
const NOTHING = new Uint8Array(0);

/** A reader for pcap and pcapng files alike. */
export function createCaptureReader(): CaptureReader {
  return new AnyCaptureReader();
}

class AnyCaptureReader implements CaptureReader {
  #reader: CaptureReader | null = null;
  #head: Uint8Array = NOTHING;
  #ended = false;

  get interfaces(): readonly CaptureInterface[] {
    return this.#reader?.interfaces ?? [];
  }

  push(chunk: Uint8Array): void {
    if (this.#reader === null) this.#tell(chunk);
    else this.#reader.push(chunk);
  }

  end(): void {
    this.#ended = true;
    this.#reader?.end();
  }

  next(): CapturedPacket | null {
    if (this.#reader !== null) return this.#reader.next();
    if (this.#head.length >= MAGIC_BYTES) {
      const found = [...this.#head.subarray(0, MAGIC_BYTES)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
      throw new CaptureFileError(0, `expected a pcap or pcapng file, found one that begins with ${found}`);
    }
    if (!this.#ended) return null;
    throw new CaptureFileError(0, `expected a pcap or pcapng file, found one of ${this.#head.length} bytes`);
  }

  /** Collects the first bytes until they tell which kind of file this is. */
  #tell(chunk: Uint8Array): void {
    const head = new Uint8Array(this.#head.length + chunk.length);
    head.set(this.#head);
    head.set(chunk, this.#head.length);
    this.#head = head;
    if (head.length < MAGIC_BYTES) return;
    this.#reader = readerFor(head);
    if (this.#reader === null) return;
    this.#reader.push(head);
    this.#head = NOTHING;
  }
}

function readerFor(head: Uint8Array): CaptureReader | null {
  if (isPcapMagic(head, 0)) return new PcapReader();
  if (isPcapngMagic(head, 0)) return new PcapngReader();
  return null;
}

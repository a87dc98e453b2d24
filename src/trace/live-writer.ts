/** Packets of the running balancer into a file with two sides: checksums finished, frames that waited found again. */
import { CONSUME, DELIVER, TRANSMIT } from '../engine/verdict.ts';
import { PacketFacts } from '../wire/packet-facts.ts';
import { finishPartialChecksum } from '../wire/partial-checksum.ts';
import type { TapFrame, TapRecord } from '../wire/tap-record.ts';
import { waitingKey } from '../wire/waiting-key.ts';
import { fateNote, leftNote, type Seen, type TwoSidesWriter } from './two-sides.ts';

/** Frames that the balancer took and that may leave later, when the MAC address of the next hop is known. */
const WAITING_MAX = 1_024;

export class LiveWriter {
  /** Packets that came, and frames that left. */
  came = 0;
  left = 0;
  readonly #writer: TwoSidesWriter;
  /** By link index; more than one: the link is named with each packet. */
  links: ReadonlyMap<number, string> = new Map();
  readonly #waiting: { readonly key: string; readonly bytes: Uint8Array }[] = [];

  constructor(writer: TwoSidesWriter) {
    this.#writer = writer;
    writer.begin();
  }

  write(record: TapRecord): void {
    const timeNs = BigInt(Math.round(record.timeUs)) * 1000n;
    const came = record.came === null ? null : finished(record.came);
    const left = record.left === null ? null : finished(record.left);
    if (came !== null && record.came !== null) {
      this.came++;
      const fate = fateNote(record.verdict, record.reason);
      this.#writer.came(this.#seen(record.came, came, timeNs, record.ingress), note(fate, record.came));
      if (record.verdict === CONSUME) this.#remember(came);
    }
    if (left !== null && record.left !== null) {
      this.left++;
      const text = came === null ? this.#noteOnOwn(left) : this.#noteOn(record, came, left);
      this.#writer.left(this.#seen(record.left, left, timeNs, record.egress), note(text, record.left));
    }
  }

  #noteOn({ verdict }: TapRecord, came: Uint8Array, left: Uint8Array): string {
    if (verdict === TRANSMIT || verdict === DELIVER) return leftNote(came, left, verdict === DELIVER);
    return 'given back to the stack of this host';
  }

  #noteOnOwn(left: Uint8Array): string {
    const key = waitingKey(left, 0, left.length);
    const at = this.#waiting.findIndex((waiting) => waiting.key === key);
    if (key === null || at < 0) return 'said by the balancer itself';
    const bytes = this.#waiting[at]?.bytes as Uint8Array;
    this.#waiting.splice(at, 1);
    return `${leftNote(bytes, left, false)}; had waited for the MAC address of the next hop`;
  }

  #remember(came: Uint8Array): void {
    const key = waitingKey(came, 0, came.length);
    if (key === null) return;
    if (this.#waiting.length >= WAITING_MAX) this.#waiting.shift();
    this.#waiting.push({ key, bytes: came });
  }

  #seen(frame: TapFrame, bytes: Uint8Array, timeNs: bigint, linkIndex: number): Seen {
    const link = this.links.size > 1 ? this.links.get(linkIndex) : undefined;
    return { bytes, originalBytes: frame.originalBytes, timeNs, link };
  }
}

function note(text: string, { superFrame, originalBytes }: TapFrame): string {
  if (!superFrame) return text;
  const large = `a super-frame of ${originalBytes} bytes, cut by the card or the kernel`;
  return text === '' ? large : `${text}; ${large}`;
}

const facts = new PacketFacts();

/** With the transport checksum that the card would have put in; a frame that is not whole stays as it is. */
function finished({ bytes, originalBytes, partialChecksum }: TapFrame): Uint8Array {
  if (!partialChecksum || bytes.length < originalBytes) return bytes;
  if (!facts.read(bytes, 0, bytes.length) || facts.transportAt < 0) return bytes;
  finishPartialChecksum(bytes, facts.transportAt, facts.end, facts.protocol);
  return bytes;
}

/** The capture file that a replay writes, in either format. */
import { LinkType } from '../wire/capture-format.ts';
import { PcapWriter } from '../wire/pcap-file.ts';
import { PcapngWriter } from '../wire/pcapng-writer.ts';
import { OutputFile } from './output-file.ts';
import type { Link } from './packet-io.ts';

export class ReplayOutput {
  readonly #file: OutputFile;
  readonly #pcap: PcapWriter | null;
  readonly #pcapng = new PcapngWriter({ application: 'uipvs' });
  readonly #interfaces = new Map<Link, number>();

  constructor(path: string, format: 'pcap' | 'pcapng' = 'pcapng') {
    this.#file = new OutputFile(path);
    this.#pcap = format === 'pcap' ? new PcapWriter({ linkType: LinkType.ETHERNET }) : null;
    this.#file.write(this.#pcap === null ? this.#pcapng.header() : this.#pcap.header());
  }

  /** `bytes` is an Ethernet frame; `timeNs` counts from 1970. */
  frame(link: Link, bytes: Uint8Array, timeNs: bigint): void {
    if (this.#pcap !== null) this.#file.write(this.#pcap.packet(bytes, timeNs));
    else this.#file.write(this.#pcapng.packet(this.#interfaceIndex(link), bytes, timeNs, { direction: 'outbound' }));
  }

  close(): void {
    this.#file.close();
  }

  /** A pcapng file describes a link before its first frame. */
  #interfaceIndex(link: Link): number {
    const known = this.#interfaces.get(link);
    if (known !== undefined) return known;
    const index = this.#interfaces.size;
    this.#interfaces.set(link, index);
    this.#file.write(
      this.#pcapng.interface({ linkType: LinkType.ETHERNET, snapBytes: 0, name: link.name, mac: link.mac }),
    );
    return index;
  }
}

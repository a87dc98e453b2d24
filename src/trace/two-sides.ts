/**
 * One pcapng file with both sides of the balancer, for Wireshark: what came is on interface 0, what left on interface
 * 1, each rewritten packet with a comment that says what was changed, each that was not sent with the reason.
 */
import { DELIVER, DROP, PASS, REASON_EXPLANATIONS, REASON_NAMES, TRANSMIT } from '../engine/verdict.ts';
import { LinkType } from '../wire/capture-format.ts';
import { PcapWriter } from '../wire/pcap-file.ts';
import { PcapngWriter } from '../wire/pcapng-writer.ts';
import { rewriteNote } from '../wire/rewrite-note.ts';
import type { ByteSink } from './sink.ts';

export const CAME_NAME = 'uipvs-in';
export const LEFT_NAME = 'uipvs-out';
const CAME = 0;
const LEFT = 1;

/** A frame at one moment. The bytes may be fewer than the frame had. */
export interface Seen {
  readonly bytes: Uint8Array;
  /** What the frame had. */
  readonly originalBytes: number;
  /** Nanoseconds since 1970. */
  readonly timeNs: bigint;
  /** Of the link it came or left by; said when there are several. */
  readonly link?: string | undefined;
}

export interface TwoSidesWriter {
  begin(): void;
  came(frame: Seen, comment: string): void;
  left(frame: Seen, comment: string): void;
}

/** `pcap`: only what left, without comments, for programs that read nothing else. */
export type TwoSidesFormat = 'pcapng' | 'pcap';

export function createTwoSides(sink: ByteSink, format: TwoSidesFormat): TwoSidesWriter {
  return format === 'pcap' ? leftOnly(sink) : bothSides(sink);
}

function bothSides(sink: ByteSink): TwoSidesWriter {
  const writer = new PcapngWriter({ application: 'uipvs' });
  const write = (side: number, { bytes, originalBytes, timeNs, link }: Seen, comment: string): void => {
    const comments = [...(comment === '' ? [] : [comment]), ...(link === undefined ? [] : [`link ${link}`])];
    const direction = side === CAME ? 'inbound' : 'outbound';
    sink.write(writer.packet(side, bytes, timeNs, { originalBytes, direction, comments }));
  };
  return {
    begin() {
      sink.write(writer.header());
      for (const name of [CAME_NAME, LEFT_NAME]) {
        sink.write(writer.interface({ linkType: LinkType.ETHERNET, snapBytes: 0, name }));
      }
    },
    came: (frame, comment) => write(CAME, frame, comment),
    left: (frame, comment) => write(LEFT, frame, comment),
  };
}

function leftOnly(sink: ByteSink): TwoSidesWriter {
  const writer = new PcapWriter({ linkType: LinkType.ETHERNET });
  return {
    begin: () => sink.write(writer.header()),
    came: () => {},
    left: ({ bytes, timeNs, originalBytes }) => sink.write(writer.packet(bytes, timeNs, originalBytes)),
  };
}

/** Why a frame did not simply leave; empty for one that did. */
export function fateNote(verdict: number, reason: number): string {
  const name = REASON_NAMES[reason] ?? 'none';
  const why = name === 'none' ? '' : `: ${name} (${REASON_EXPLANATIONS[name]})`;
  if (verdict === DROP) return `dropped${why}`;
  if (verdict === PASS) return name === 'none' ? 'passed on unchanged' : `not balanced${why}`;
  if (verdict === TRANSMIT || verdict === DELIVER) return '';
  return 'taken by the balancer: answered, learned from, or kept until it can be sent';
}

/** For the frame that left. */
export function leftNote(came: Uint8Array, left: Uint8Array, delivered: boolean): string {
  const note = rewriteNote({ bytes: came, at: 0, end: came.length }, { bytes: left, at: 0, end: left.length });
  return delivered ? `${note}; to this host` : note;
}

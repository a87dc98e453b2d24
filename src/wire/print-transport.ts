/** TCP and UDP as text, for `print.ts`. Sources: RFC 9293; options RFC 7323 (window scale, timestamps), RFC 2018 (SACK). */
import { readInt32, readUint8, readUint16 } from './bytes.ts';
import { TCP_HEADER_BYTES_MIN, tcpFlags, tcpHeaderBytes } from './tcp.ts';
import { UDP_HEADER_BYTES } from './udp.ts';

/** From the lowest bit up. */
const FLAG_LETTERS = 'FSRP.UEW';
const FIN_SYN_RST = 0x07;
const ACK = 0x10;
const URG = 0x20;

/** Who talks to whom, as the IP layer writes it: with the ports where they are known. */
export type Heading = (ports?: readonly [from: number, to: number]) => string;

/** `dataBytes` is what the IP header promises after itself, `end - at` what is here. */
export function formatTcp(bytes: Uint8Array, at: number, end: number, dataBytes: number, heading: Heading): string {
  if (end - at < 4) return `${heading()} [|tcp]`;
  const pair = heading([readUint16(bytes, at), readUint16(bytes, at + 2)]);
  if (end - at < TCP_HEADER_BYTES_MIN) return `${pair} [|tcp]`;
  const headerBytes = tcpHeaderBytes(bytes, at, end);
  if (headerBytes === 0) return `${pair} tcp bad header length ${(readUint8(bytes, at + 12) >>> 4) * 4}`;
  const payloadBytes = Math.max(0, dataBytes - headerBytes);
  const flags = tcpFlags(bytes, at);
  const parts = [`Flags [${formatFlags(flags)}]`];
  const seq = readUint32(bytes, at + 4);
  if (payloadBytes > 0) parts.push(`seq ${seq}:${(seq + payloadBytes) % 0x1_0000_0000}`);
  else if ((flags & FIN_SYN_RST) !== 0) parts.push(`seq ${seq}`);
  if ((flags & ACK) !== 0) parts.push(`ack ${readUint32(bytes, at + 8)}`);
  parts.push(`win ${readUint16(bytes, at + 14)}`);
  if ((flags & URG) !== 0) parts.push(`urg ${readUint16(bytes, at + 18)}`);
  if (headerBytes > TCP_HEADER_BYTES_MIN) {
    parts.push(`options [${formatOptions(bytes, at + TCP_HEADER_BYTES_MIN, at + headerBytes)}]`);
  }
  return `${pair} ${parts.join(', ')}, length ${payloadBytes}`;
}

function formatFlags(flags: number): string {
  return [...FLAG_LETTERS].filter((_, bit) => (flags & (1 << bit)) !== 0).join('') || 'none';
}

function formatOptions(bytes: Uint8Array, at: number, end: number): string {
  const options: string[] = [];
  while (at < end) {
    const kind = readUint8(bytes, at);
    if (kind === 0) {
      options.push('eol');
      break;
    }
    const optionBytes = kind === 1 ? 1 : at + 1 < end ? readUint8(bytes, at + 1) : 0;
    if (optionBytes === 0 || (kind !== 1 && optionBytes < 2) || at + optionBytes > end) {
      options.push('[bad opt]');
      break;
    }
    options.push(formatOption(bytes, at, kind, optionBytes));
    at += optionBytes;
  }
  return options.join(',');
}

function formatOption(bytes: Uint8Array, at: number, kind: number, optionBytes: number): string {
  if (kind === 1) return 'nop';
  if (kind === 2 && optionBytes === 4) return `mss ${readUint16(bytes, at + 2)}`;
  if (kind === 3 && optionBytes === 3) return `wscale ${readUint8(bytes, at + 2)}`;
  if (kind === 4 && optionBytes === 2) return 'sackOK';
  if (kind === 5 && optionBytes % 8 === 2) return formatSack(bytes, at + 2, at + optionBytes);
  if (kind === 8 && optionBytes === 10) {
    return `TS val ${readUint32(bytes, at + 2)} ecr ${readUint32(bytes, at + 6)}`;
  }
  const data = Array.from(bytes.subarray(at + 2, at + optionBytes), (byte) => byte.toString(16).padStart(2, '0'));
  return data.length === 0 ? `unknown-${kind}` : `unknown-${kind} 0x${data.join('')}`;
}

function formatSack(bytes: Uint8Array, at: number, end: number): string {
  const ranges: string[] = [];
  for (let i = at; i < end; i += 8) ranges.push(`{${readUint32(bytes, i)}:${readUint32(bytes, i + 4)}}`);
  return `sack ${ranges.length} ${ranges.join('')}`;
}

/** The length is the header's own word: a first fragment tells that of the whole datagram. */
export function formatUdp(bytes: Uint8Array, at: number, end: number, heading: Heading): string {
  if (end - at < 4) return `${heading()} [|udp]`;
  const pair = heading([readUint16(bytes, at), readUint16(bytes, at + 2)]);
  if (end - at < UDP_HEADER_BYTES) return `${pair} [|udp]`;
  const length = readUint16(bytes, at + 4);
  return length < UDP_HEADER_BYTES
    ? `${pair} UDP, bad length ${length}`
    : `${pair} UDP, length ${length - UDP_HEADER_BYTES}`;
}

/** Sequence numbers and timestamps are unsigned. */
function readUint32(bytes: Uint8Array, at: number): number {
  return readInt32(bytes, at) >>> 0;
}

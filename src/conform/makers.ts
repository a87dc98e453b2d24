/**
 * Which outputs of a recording are IPVS's work, and which the host's: the rule is that of the recordings. `own`
 * destinations are addresses of the director, or count as such by their mark.
 */
import { parseAddress } from '../wire/address.ts';
import type { Maker } from './outputs.ts';
import type { RecordedOutput } from './recording.ts';

/** The parts of a packet that the rule looks at. */
interface Summary {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  /** ICMP or ICMPv6 type and code, else -1. */
  readonly type: number;
  readonly code: number;
}

const ICMP = 1;
const TCP = 6;
const ICMPV6 = 58;

export interface MakerContext {
  readonly isOwn: boolean;
  readonly interfaceAddresses: ReadonlySet<string>;
  /** A service covers the input's protocol, address, port or mark. */
  readonly covered: boolean;
}

export function makerOf(inputHex: string, output: RecordedOutput, context: MakerContext): Maker {
  const input = summarize(inputHex);
  const sent = summarize(output.hex);
  if (!context.isOwn) {
    if (sent.source === input.source) return 'route';
    if (isError(sent) && context.interfaceAddresses.has(sent.source)) return isPortUnreachable(sent) ? 'ipvs' : 'stack';
    return 'ipvs';
  }
  if (sent.source === input.source) return 'ipvs';
  if (sent.protocol === TCP && sent.destination === input.source) return 'stack';
  if (sent.protocol === ICMP) {
    if (sent.type === 0 || sent.type === 14 || (sent.type === 3 && sent.code === 2)) return 'stack';
    if (sent.type === 11 && sent.code === 1) return 'stack';
  }
  if (sent.protocol === ICMPV6) {
    if (sent.type === 129 || (sent.type === 4 && sent.code === 1)) return 'stack';
    if (sent.type === 3 && sent.code === 1) return 'stack';
  }
  if (isPortUnreachable(sent)) return context.covered ? 'ipvs' : 'stack';
  return 'ipvs';
}

function isError(summary: Summary): boolean {
  if (summary.protocol === ICMP) return summary.type === 3 || summary.type === 11 || summary.type === 12;
  return summary.protocol === ICMPV6 && summary.type >= 0 && summary.type < 128;
}

function isPortUnreachable(summary: Summary): boolean {
  if (summary.protocol === ICMP) return summary.type === 3 && summary.code === 3;
  return summary.protocol === ICMPV6 && summary.type === 1 && summary.code === 4;
}

export function summarize(hex: string): Summary {
  const bytes = Buffer.from(hex, 'hex');
  if (bytes.length >= 40 && bytes[0]! >>> 4 === 6) {
    const protocol = bytes[6]!;
    const icmp = protocol === ICMPV6 && bytes.length > 41;
    return {
      source: bytes.subarray(8, 24).toString('hex'),
      destination: bytes.subarray(24, 40).toString('hex'),
      protocol,
      type: icmp ? bytes[40]! : -1,
      code: icmp ? bytes[41]! : -1,
    };
  }
  const headerBytes = (bytes[0]! & 15) * 4;
  const icmp = bytes[9] === ICMP && bytes.length > headerBytes + 1;
  return {
    source: bytes.subarray(12, 16).toString('hex'),
    destination: bytes.subarray(16, 20).toString('hex'),
    protocol: bytes[9] ?? 0,
    type: icmp ? bytes[headerBytes]! : -1,
    code: icmp ? bytes[headerBytes + 1]! : -1,
  };
}

/** An address text as `summarize` writes addresses. */
export function addressKey(text: string): string {
  const address = parseAddress(text);
  if (address === null) return text;
  const words = address.family === 'ipv4' ? [address.words[3]!] : [...address.words];
  return words.map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('');
}

/**
 * How flows lie in the maps that the programs and we share. A key says what packets look like when they come, in the
 * order of the network; a record says what becomes of them, and counts. Records lie in memory that both sides map, so
 * that reading a counter costs no system call.
 */
import { writeInt32, writeUint16 } from '../../wire/bytes.ts';
import type { Flow } from '../../wire/fast-path.ts';

/** IPv4: both addresses, both ports, the protocol in a word of its own. */
export const KEY4 = { source: 0, destination: 4, ports: 8, protocol: 12, bytes: 16 } as const;
export const KEY6 = { source: 0, destination: 16, ports: 32, protocol: 36, bytes: 40 } as const;

/** 64-bit numbers first; sums as the kernel's checksum helpers take them; addresses are those of the packet that leaves. */
export const RECORD = {
  packets: 0,
  bytes: 8,
  lastNs: 16,
  link: 24,
  mtu: 28,
  /** Checksum differences by the addresses and by the ports, 0 and 0: nothing but MACs and time to live changes. */
  addressChange: 32,
  portChange: 36,
  ports: 40,
  /** As the frame begins: destination, source. */
  macs: 44,
  source4: 56,
  destination4: 60,
  source6: 56,
  destination6: 72,
  /** Two cache lines. */
  length: 128,
} as const;

export function flowKey(flow: Flow): Uint8Array {
  const { ipv6, source3, destination3 } = flow;
  const key = new Uint8Array(ipv6 ? KEY6.bytes : KEY4.bytes);
  const at = ipv6 ? KEY6 : KEY4;
  if (ipv6) {
    writeAddress(key, at.source, flow.source0, flow.source1, flow.source2, source3);
    writeAddress(key, at.destination, flow.destination0, flow.destination1, flow.destination2, destination3);
  } else {
    writeInt32(key, at.source, source3);
    writeInt32(key, at.destination, destination3);
  }
  writeUint16(key, at.ports, flow.sourcePort);
  writeUint16(key, at.ports + 2, flow.destinationPort);
  key[at.protocol] = flow.protocol;
  return key;
}

/** Writes a whole record with counters at 0. */
export function writeRecord(bytes: Uint8Array, at: number, flow: Flow): void {
  bytes.fill(0, at, at + RECORD.length);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  view.setUint32(at + RECORD.link, flow.linkIndex, true);
  view.setUint32(at + RECORD.mtu, flow.mtu, true);
  bytes.set(flow.destinationMac, at + RECORD.macs);
  bytes.set(flow.sourceMac, at + RECORD.macs + 6);
  writeUint16(bytes, at + RECORD.ports, flow.newSourcePort);
  writeUint16(bytes, at + RECORD.ports + 2, flow.newDestinationPort);
  const { newSource3, newDestination3 } = flow;
  if (flow.ipv6) {
    writeAddress(bytes, at + RECORD.source6, flow.newSource0, flow.newSource1, flow.newSource2, newSource3);
    const { newDestination0, newDestination1, newDestination2 } = flow;
    writeAddress(bytes, at + RECORD.destination6, newDestination0, newDestination1, newDestination2, newDestination3);
  } else {
    writeInt32(bytes, at + RECORD.source4, newSource3);
    writeInt32(bytes, at + RECORD.destination4, newDestination3);
  }
  const key = flowKey(flow);
  const keyAt = flow.ipv6 ? KEY6 : KEY4;
  const addressBytes = 2 * (keyAt.destination - keyAt.source);
  view.setUint32(at + RECORD.addressChange, change(key, keyAt.source, bytes, at + RECORD.source4, addressBytes), true);
  view.setUint32(at + RECORD.portChange, change(key, keyAt.ports, bytes, at + RECORD.ports, 4), true);
}

/**
 * What the sum of 16-bit words grows by when the bytes before become those after, in one's complement: the sum of ~m + m'
 * (RFC 1624), of words in this machine's order, folded to 16 bits. 0 only when nothing changes.
 */
function change(before: Uint8Array, beforeAt: number, after: Uint8Array, afterAt: number, bytes: number): number {
  let sum = 0;
  let differs = false;
  for (let i = 0; i < bytes; i += 2) {
    const m = littleEndian16(before, beforeAt + i);
    const n = littleEndian16(after, afterAt + i);
    if (m === n) continue;
    differs = true;
    sum += (~m & 0xffff) + n;
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return differs && sum === 0 ? 0xffff : sum;
}

function littleEndian16(bytes: Uint8Array, at: number): number {
  return (bytes[at] as number) | ((bytes[at + 1] as number) << 8);
}

function writeAddress(bytes: Uint8Array, at: number, w0: number, w1: number, w2: number, w3: number): void {
  writeInt32(bytes, at, w0);
  writeInt32(bytes, at + 4, w1);
  writeInt32(bytes, at + 8, w2);
  writeInt32(bytes, at + 12, w3);
}

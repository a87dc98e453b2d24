/**
 * The PROXY protocol: a header before the first byte of a connection that says who the client is. Written to servers,
 * read from a front that is trusted. Source: "The PROXY protocol, versions 1 and 2", haproxy.org. Pure.
 */
import type { Endpoint } from '../src/model/connection-status.ts';
import { formatAddress, parseAddress } from '../src/wire/address.ts';

export type ProxyVersion = 'v1' | 'v2';

/** What a header said; `null` in `client`: the front speaks for itself (LOCAL, UNKNOWN). */
export interface ProxyHeader {
  /** Bytes of the header; what follows is the client's. */
  readonly bytes: number;
  readonly client: Endpoint | null;
  readonly virtual: Endpoint | null;
}

export type ProxyHeaderResult = ProxyHeader | 'more' | 'bad';

const V2_SIGNATURE = Uint8Array.of(0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a);
const V2_FIXED_BYTES = 16;
/** Longest line of version 1, its end included. */
const V1_BYTES_MAX = 107;
/** Addresses and the extensions behind them; the specification asks receivers for at least 536 bytes. */
const V2_LENGTH_MAX = 4_096;
const STREAM_IPV4 = 0x11;
const STREAM_IPV6 = 0x21;
const PROXY_V2 = 0x21;
const LOCAL_V2 = 0x20;

/** Longest header that `readProxyHeader` takes. */
export const PROXY_HEADER_BYTES_MAX = V2_FIXED_BYTES + V2_LENGTH_MAX;

export function writeProxyHeader(version: ProxyVersion, client: Endpoint, virtual: Endpoint): Buffer {
  const from = parseAddress(client.address);
  const to = parseAddress(virtual.address);
  if (from === null || to === null || from.family !== to.family) {
    return version === 'v1' ? Buffer.from('PROXY UNKNOWN\r\n', 'latin1') : v2Header(LOCAL_V2, 0, Buffer.alloc(0));
  }
  const ipv6 = from.family === 'ipv6';
  if (version === 'v1') {
    const words = ['PROXY', ipv6 ? 'TCP6' : 'TCP4', client.address, virtual.address, client.port, virtual.port];
    return Buffer.from(`${words.join(' ')}\r\n`, 'latin1');
  }
  const addressBytes = ipv6 ? 16 : 4;
  const body = Buffer.alloc(2 * addressBytes + 4);
  for (const [place, { words }] of [from, to].entries()) {
    const used = ipv6 ? words : words.subarray(3);
    for (const [index, word] of used.entries()) body.writeInt32BE(word, place * addressBytes + 4 * index);
  }
  body.writeUInt16BE(client.port, 2 * addressBytes);
  body.writeUInt16BE(virtual.port, 2 * addressBytes + 2);
  return v2Header(PROXY_V2, ipv6 ? STREAM_IPV6 : STREAM_IPV4, body);
}

function v2Header(command: number, family: number, body: Buffer): Buffer {
  const head = Buffer.from([...V2_SIGNATURE, command, family, 0, 0]);
  head.writeUInt16BE(body.length, V2_FIXED_BYTES - 2);
  return Buffer.concat([head, body]);
}

/** Reads a header at the beginning of `bytes`; `more`: not all of it is there yet. */
export function readProxyHeader(bytes: Buffer): ProxyHeaderResult {
  if (bytes.length === 0) return 'more';
  return bytes[0] === V2_SIGNATURE[0] ? readV2(bytes) : readV1(bytes);
}

function readV1(bytes: Buffer): ProxyHeaderResult {
  const text = bytes.toString('latin1', 0, V1_BYTES_MAX);
  const end = text.indexOf('\r\n');
  if (end < 0) {
    const start = 'PROXY ';
    const possible = text.length < V1_BYTES_MAX && (text.startsWith(start) || start.startsWith(text));
    return possible ? 'more' : 'bad';
  }
  const words = text.slice(0, end).split(' ');
  if (words[0] !== 'PROXY') return 'bad';
  if (words[1] === 'UNKNOWN') return { bytes: end + 2, client: null, virtual: null };
  const family = ({ TCP4: 'ipv4', TCP6: 'ipv6' } as Record<string, string>)[words[1] ?? ''];
  const client = endpointOf(words[2], words[4], family);
  const virtual = endpointOf(words[3], words[5], family);
  if (words.length !== 6 || client === null || virtual === null) return 'bad';
  return { bytes: end + 2, client, virtual };
}

function endpointOf(address = '', port = '', family: string | undefined): Endpoint | null {
  const parsed = parseAddress(address);
  if (parsed === null || parsed.family !== family || !/^(0|[1-9]\d{0,4})$/.test(port) || Number(port) > 65_535) {
    return null;
  }
  return { address: formatAddress(parsed.family, parsed.words), port: Number(port) };
}

function readV2(bytes: Buffer): ProxyHeaderResult {
  const known = Math.min(bytes.length, V2_SIGNATURE.length);
  for (let i = 0; i < known; i++) if (bytes[i] !== V2_SIGNATURE[i]) return 'bad';
  if (bytes.length < V2_FIXED_BYTES) return 'more';
  const command = bytes[12] as number;
  const length = bytes.readUInt16BE(14);
  if ((command !== PROXY_V2 && command !== LOCAL_V2) || length > V2_LENGTH_MAX) return 'bad';
  const total = V2_FIXED_BYTES + length;
  if (bytes.length < total) return 'more';
  const none = { bytes: total, client: null, virtual: null };
  if (command === LOCAL_V2) return none;
  const family = bytes[13] as number;
  // Other families are legal; they say nothing that we could pass on.
  if (family !== STREAM_IPV4 && family !== STREAM_IPV6) return none;
  const ipv6 = family === STREAM_IPV6;
  const addressBytes = ipv6 ? 16 : 4;
  if (length < 2 * addressBytes + 4) return 'bad';
  const endpoint = (place: number): Endpoint => {
    const at = V2_FIXED_BYTES + place * addressBytes;
    const words = new Int32Array(4);
    for (let word = 0; word < addressBytes / 4; word++) {
      words[ipv6 ? word : 3] = bytes.readInt32BE(at + 4 * word);
    }
    const port = bytes.readUInt16BE(V2_FIXED_BYTES + 2 * addressBytes + 2 * place);
    return { address: formatAddress(ipv6 ? 'ipv6' : 'ipv4', words), port };
  };
  return { bytes: total, client: endpoint(0), virtual: endpoint(1) };
}

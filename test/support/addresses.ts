/** Addresses between text and bytes, for tests. Written without looking at src/wire: a second opinion. */

/** `02:00:00:00:00:01` as six bytes. */
export function macBytes(mac: string): Uint8Array {
  const bytes = Uint8Array.from(mac.split(':'), (part) => Number.parseInt(part, 16));
  if (bytes.length !== 6) throw new Error(`not a MAC address: ${mac}`);
  return bytes;
}

export function macText(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/** `10.0.0.5` as four bytes, `fd00::1` as sixteen. */
export function ipBytes(address: string): Uint8Array {
  return address.includes(':') ? ipv6Bytes(address) : ipv4Bytes(address);
}

function ipv4Bytes(address: string): Uint8Array {
  const parts = address.split('.').map(Number);
  if (parts.length !== 4 || parts.some((part) => !Number.isInteger(part) || part < 0 || part > 255)) {
    throw new Error(`not an IPv4 address: ${address}`);
  }
  return Uint8Array.from(parts);
}

function ipv6Bytes(address: string): Uint8Array {
  const [head = '', tail, more] = address.split('::');
  if (more !== undefined) throw new Error(`not an IPv6 address: ${address}`);
  const front = groups(head);
  const back = tail === undefined ? [] : groups(tail);
  const gap = 8 - front.length - back.length;
  if (tail === undefined ? gap !== 0 : gap < 1) throw new Error(`not an IPv6 address: ${address}`);
  const all = [...front, ...new Array<number>(gap).fill(0), ...back];
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}

function groups(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((part) => {
    if (!part.includes('.')) return [Number.parseInt(part, 16)];
    const [a, b, c, d] = ipv4Bytes(part) as unknown as [number, number, number, number];
    return [a * 256 + b, c * 256 + d];
  });
}

/** Text of four or sixteen bytes; IPv6 in the canonical form of RFC 5952. */
export function ipText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  const words = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] as number) << 8) | (bytes[2 * i + 1] as number));
  const text = words.map((word) => word.toString(16)).join(':');
  const zeros = [...text.matchAll(/(?<![^:])0(?::0)+(?![^:])/g)].map((match) => match[0]);
  const longest = zeros.reduce((best, run) => (run.length > best.length ? run : best), '');
  if (longest === '') return text;
  const at = text.search(new RegExp(`(?<![^:])${longest}(?![^:])`));
  const before = text.slice(0, at).replace(/:$/, '');
  const after = text.slice(at + longest.length).replace(/^:/, '');
  return `${before}::${after}`;
}

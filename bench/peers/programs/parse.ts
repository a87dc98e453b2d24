/** Addresses as text to bytes, for programs that fill in frames and socket addresses. */

export function parseIpv4(text: string): number[] {
  return text.split('.').map(Number);
}

export function parseMacBytes(text: string): number[] {
  return text.split(':').map((part) => Number.parseInt(part, 16));
}

/** struct sockaddr_in. */
export function socketAddress(address: string, port: number): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 2, true);
  view.setUint16(2, port, false);
  bytes.set(parseIpv4(address), 4);
  return bytes;
}

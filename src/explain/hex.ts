/** Hexadecimal digits and bytes. */
export function bytesOfHex(digits: string): Uint8Array {
  const bytes = new Uint8Array(digits.length >>> 1);
  for (let at = 0; at < bytes.length; at++) bytes[at] = Number.parseInt(digits.slice(2 * at, 2 * at + 2), 16);
  return bytes;
}

const ROW_BYTES = 16;

/** One row of a dump: the offset, the bytes in groups, and whether each is marked. */
export interface DumpRow {
  readonly at: number;
  readonly bytes: readonly { readonly text: string; readonly marked: boolean }[];
}

export function dumpRows(bytes: Uint8Array, marked: ReadonlySet<number>): DumpRow[] {
  const rows: DumpRow[] = [];
  for (let at = 0; at < bytes.length; at += ROW_BYTES) {
    const row = [...bytes.subarray(at, at + ROW_BYTES)];
    rows.push({
      at,
      bytes: row.map((byte, index) => ({ text: byte.toString(16).padStart(2, '0'), marked: marked.has(at + index) })),
    });
  }
  return rows;
}

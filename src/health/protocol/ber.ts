/**
 * The part of BER that LDAP uses: tags of one byte and definite lengths. Pure. Sources: X.690, RFC 4511 section 5.1.
 */
export const INTEGER = 0x02;
export const OCTET_STRING = 0x04;
export const ENUMERATED = 0x0a;
export const SEQUENCE = 0x30;

export interface BerElement {
  readonly tag: number;
  readonly value: Buffer;
}

export function berElement(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const value = Buffer.concat(parts);
  return Buffer.concat([Buffer.of(tag), lengthBytes(value.length), value]);
}

/** `value`: 0..2^31-1. */
export function berInteger(value: number, tag = INTEGER): Buffer {
  const bytes: number[] = [];
  for (let left = value; ; left = Math.floor(left / 256)) {
    bytes.unshift(left & 0xff);
    // The highest bit is the sign.
    if (left < 128) return berElement(tag, Buffer.from(bytes));
  }
}

export function berText(text: string, tag = OCTET_STRING): Buffer {
  return berElement(tag, Buffer.from(text, 'utf8'));
}

/** The elements side by side in `bytes`, or `null` when they do not fill it exactly. */
export function readElements(bytes: Buffer): BerElement[] | null {
  const elements: BerElement[] = [];
  for (let at = 0; at < bytes.length; ) {
    const header = readHeader(bytes, at);
    if (header === null || header.valueAt + header.length > bytes.length) return null;
    const end = header.valueAt + header.length;
    elements.push({ tag: header.tag, value: bytes.subarray(header.valueAt, end) });
    at = end;
  }
  return elements;
}

/** Tag, length and place of the value of the element at `at`; `null` when they are not all there or cannot be. */
export function readHeader(
  bytes: Buffer,
  at: number,
): { readonly tag: number; readonly length: number; readonly valueAt: number } | null {
  if (at + 2 > bytes.length) return null;
  const tag = bytes[at];
  const first = bytes[at + 1];
  // A tag of several bytes; a length that is not told beforehand.
  if ((tag & 0x1f) === 0x1f || first === 0x80) return null;
  if (first < 0x80) return { tag, length: first, valueAt: at + 2 };
  const count = first & 0x7f;
  if (count > 4 || at + 2 + count > bytes.length) return null;
  return { tag, length: bytes.readUIntBE(at + 2, count), valueAt: at + 2 + count };
}

/** `null` when it is none, or too large to be meant. */
export function readInteger({ value }: BerElement): number | null {
  return value.length >= 1 && value.length <= 4 ? value.readIntBE(0, value.length) : null;
}

function lengthBytes(length: number): Buffer {
  if (length < 0x80) return Buffer.of(length);
  const bytes: number[] = [];
  for (let left = length; left > 0; left = Math.floor(left / 256)) bytes.unshift(left & 0xff);
  return Buffer.from([0x80 | bytes.length, ...bytes]);
}

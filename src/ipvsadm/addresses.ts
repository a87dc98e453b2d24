/**
 * Addresses and numbers as people type them at `ipvsadm`: `host:port` with the traditional lenient forms of IPv4
 * addresses, host and service names, and IPv6 in brackets. Results are canonical text.
 */
import type { AddressFamily, ServiceProtocol } from '../model/service.ts';
import type { NameService } from './io.ts';

export interface ParsedEndpoint {
  readonly family: AddressFamily;
  readonly address: string;
  /** `null`: none given. */
  readonly port: number | null;
}

/**
 * Reads `host`, `host:port`, `[v6]:port` or a bare IPv6 address; `null` when it is none of them.
 * Service names are those of `protocol`; without one only numbers are ports.
 */
export async function parseEndpoint(
  text: string,
  protocol: ServiceProtocol | null,
  names: NameService,
): Promise<ParsedEndpoint | null> {
  if (/^[0-9]*$/.test(text)) return null;
  let host = text;
  let portText: string | null = null;
  if (text.startsWith('[')) {
    const bracketAt = text.indexOf(']');
    if (bracketAt < 0 || text[bracketAt + 1] !== ':') return null;
    host = text.slice(1, bracketAt);
    portText = text.slice(bracketAt + 2);
  }
  const words = parseIpv6(host);
  if (words !== null) {
    const port = portText === null ? null : parsePort(portText, protocol, names);
    if (portText !== null && port === null) return null;
    return { family: 'ipv6', address: formatIpv6(words), port };
  }
  // What follows the bracket is lost here: `[127.0.0.1]:80` is an address without a port.
  const colonAt = host.lastIndexOf(':');
  const address = await parseIpv4Host(colonAt < 0 ? host : host.slice(0, colonAt), names);
  if (address === null) return null;
  if (colonAt < 0) return { family: 'ipv4', address, port: null };
  const port = parsePort(host.slice(colonAt + 1), protocol, names);
  return port === null ? null : { family: 'ipv4', address, port };
}

/** An IPv4 address in one of its lenient forms, or the first IPv4 address of a host name, as dotted text. */
export async function parseIpv4Host(text: string, names: NameService): Promise<string | null> {
  const word = parseLenientIpv4(text);
  if (word !== null) return formatIpv4(word);
  // A name of digits and dots is a misspelt address; nobody need be asked about it.
  if (/^[0-9.]*$/.test(text)) return null;
  return names.findAddress(text);
}

function parsePort(text: string, protocol: ServiceProtocol | null, names: NameService): number | null {
  if (text === '') return null;
  return parseNumber(text, 0, 65_535) ?? (protocol === null ? null : names.findPort(text, protocol));
}

/** A decimal number with an optional sign, the whole word, within `min..max`; else `null`. As C's strtol reads it. */
export function parseNumber(text: string, min: number, max: number): number | null {
  if (!/^[ \t\n\v\f\r]*[+-]?[0-9]+$/.test(text)) return null;
  const value = Number(text) + 0; // "-0" is 0
  return value >= min && value <= max ? value : null;
}

/** inet_aton(3): one to four parts, each decimal, octal (`010`) or hexadecimal (`0x10`), the last one filling up. */
export function parseLenientIpv4(text: string): number | null {
  const parts = text.replace(/[ \t\n\v\f\r].*$/s, '').split('.');
  if (parts.length > 4) return null;
  let word = 0;
  for (const [index, part] of parts.entries()) {
    const last = index === parts.length - 1;
    const value = parseCNumber(part);
    const max = last ? 256 ** (4 - index) - 1 : 255;
    if (value === null || value > max) return null;
    word += last ? value : value * 256 ** (3 - index);
  }
  return word;
}

function parseCNumber(text: string): number | null {
  if (/^0[xX][0-9a-fA-F]+$/.test(text)) return Number.parseInt(text.slice(2), 16);
  if (/^0[0-7]*$/.test(text)) return Number.parseInt(text, 8);
  return /^[1-9][0-9]*$/.test(text) ? Number(text) : null;
}

/** Dotted decimal and nothing else (inet_pton), as an unsigned 32-bit number; `null` when it is not that. */
export function parseDottedIpv4(text: string): number | null {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return null;
  let word = 0;
  for (const part of match.slice(1)) {
    if (Number(part) > 255 || (part.length > 1 && part.startsWith('0'))) return null;
    word = word * 256 + Number(part);
  }
  return word;
}

export function formatIpv4(word: number): string {
  return `${word >>> 24}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}`;
}

/** RFC 4291, section 2.2, without a zone: eight groups of 16 bits, or `null`. */
export function parseIpv6(text: string): number[] | null {
  if (!text.includes(':')) return null;
  const halves = text.split('::');
  if (halves.length > 2) return null;
  const groups = halves.map((half, index) => parseGroups(half, index === halves.length - 1));
  const [head, tail] = groups;
  if (head === null || tail === null || head === undefined) return null;
  if (tail === undefined) return head.length === 8 ? head : null;
  const missing = 8 - head.length - tail.length;
  return missing < 1 ? null : [...head, ...new Array<number>(missing).fill(0), ...tail];
}

function parseGroups(text: string, mayEndInIpv4: boolean): number[] | null {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      groups.push(Number.parseInt(part, 16));
      continue;
    }
    const word = mayEndInIpv4 && index === parts.length - 1 ? parseDottedIpv4(part) : null;
    if (word === null) return null;
    groups.push(word >>> 16, word & 0xffff);
  }
  return groups;
}

/** RFC 5952: the longest run of zeros shortened; addresses that carry an IPv4 address end in its dotted form. */
export function formatIpv6(groups: readonly number[]): string {
  let bestAt = -1;
  let bestLength = 1;
  for (let at = 0; at < 8; at++) {
    let length = 0;
    while (at + length < 8 && groups[at + length] === 0) length++;
    if (length > bestLength) [bestAt, bestLength] = [at, length];
  }
  const carriesIpv4 = bestAt === 0 && (bestLength === 6 || (bestLength === 5 && groups[5] === 0xffff));
  const tail = carriesIpv4 ? [formatIpv4(((groups[6]! << 16) | groups[7]!) >>> 0)] : [];
  const texts = groups.slice(0, carriesIpv4 ? 6 : 8).map((group) => group.toString(16));
  if (bestAt < 0) return texts.join(':');
  return `${texts.slice(0, bestAt).join(':')}::${[...texts.slice(bestAt + bestLength), ...tail].join(':')}`;
}

/** Four unsigned 32-bit words for comparing; an IPv4 address is the first of them. */
export function addressWords(address: string): readonly number[] {
  const groups = parseIpv6(address);
  if (groups === null) return [parseDottedIpv4(address) ?? 0, 0, 0, 0];
  return [0, 2, 4, 6].map((at) => ((groups[at]! << 16) | groups[at + 1]!) >>> 0);
}

/** A multicast group (224.0.0.0/4 dotted, or ff00::/8) in canonical text, or `null`. */
export function parseMulticastGroup(text: string): string | null {
  if (!text.includes(':')) {
    const word = parseDottedIpv4(text);
    return word !== null && word >>> 28 === 14 ? formatIpv4(word) : null;
  }
  const groups = parseIpv6(text);
  return groups !== null && groups[0]! >>> 8 === 0xff ? formatIpv6(groups) : null;
}

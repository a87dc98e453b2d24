/**
 * Questions and answers of DNS as bytes: the only file that imports the package `dns-packet`. Pure; nothing here
 * throws, whatever the bytes. Sources: RFC 1035, RFC 3596.
 */
import { isIP, isIPv4, SocketAddress } from 'node:net';
import { domainToASCII } from 'node:url';
import { type DecodedPacket, decode, encode, RECURSION_DESIRED } from 'dns-packet';

const HEADER_BYTES = 12;
const RESPONSE = 0x8000;
const TRUNCATED = 0x0200;
const LABEL_BYTES_MAX = 63;
const NAME_BYTES_MAX = 253;

export type DnsType = 'A' | 'AAAA' | 'PTR';

export interface DnsQuestion {
  readonly name: string;
  readonly type: DnsType;
}

export type DnsAnswer =
  /** To somebody else's question, or to an earlier one. */
  | { readonly kind: 'stranger' }
  /** `problem`: what it is instead of an answer, as the end of a sentence that begins with `answered`. */
  | { readonly kind: 'bad'; readonly problem: string }
  | {
      readonly kind: 'answer';
      /** `NOERROR`, `NXDOMAIN`, ... */
      readonly code: string;
      readonly isTruncated: boolean;
      /** Addresses in canonical form and names, of the types asked for, in the order of the answer. */
      readonly values: readonly string[];
    };

/** What to ask about a name or, backwards, about an address. `null`: it is neither. */
export function questionsAbout(request: string): readonly DnsQuestion[] | null {
  const address = request.replace(/^\[(.*)\]$/, '$1');
  if (isIP(address) !== 0) return [{ name: reverseName(address), type: 'PTR' }];
  const name = /^[\x21-\x7e]+$/.test(request) ? request : domainToASCII(request);
  const bare = name.replace(/\.$/, '');
  if (name !== '.' && !bare.split('.').every((label) => label.length > 0 && label.length <= LABEL_BYTES_MAX))
    return null;
  if (name === '' || bare.length > NAME_BYTES_MAX) return null;
  return [
    { name: bare, type: 'A' },
    { name: bare, type: 'AAAA' },
  ];
}

/** `id`: 0..65535. */
export function encodeQuestion(id: number, { name, type }: DnsQuestion): Buffer {
  return encode({ type: 'query', id, flags: RECURSION_DESIRED, questions: [{ name, type }] });
}

export function decodeAnswer(bytes: Buffer, id: number, question: DnsQuestion): DnsAnswer {
  if (bytes.length < HEADER_BYTES) return bad('something that is not DNS');
  if (bytes.readUInt16BE(0) !== id) return { kind: 'stranger' };
  const flags = bytes.readUInt16BE(2);
  if ((flags & RESPONSE) === 0) return bad('with a question');
  let packet: DecodedPacket;
  try {
    packet = decode(bytes);
  } catch (error) {
    return bad(`something that is not DNS: ${(error as Error).message}`);
  }
  // The package reads addresses beyond the end, as zeros.
  if (decode.bytes > bytes.length) return bad('something that is not DNS: it breaks off');
  // Some servers do not repeat a question that they refuse.
  const { rcode: code } = packet as DecodedPacket & { readonly rcode: string };
  const [asked] = packet.questions ?? [];
  if (asked === undefined ? code === 'NOERROR' : !isSame(asked, question)) return bad('another question');
  const values = (packet.answers ?? []).flatMap((record) =>
    record.type === question.type && typeof record.data === 'string' ? [readable(record.type, record.data)] : [],
  );
  return { kind: 'answer', code, isTruncated: (flags & TRUNCATED) !== 0, values };
}

function bad(problem: string): DnsAnswer {
  return { kind: 'bad', problem };
}

function isSame(asked: { readonly name: string; readonly type: string }, { name, type }: DnsQuestion): boolean {
  return asked.type === type && asked.name.toLowerCase() === (name === '' ? '.' : name.toLowerCase());
}

function readable(type: string, data: string): string {
  return type === 'AAAA' ? new SocketAddress({ address: data, family: 'ipv6' }).address : data;
}

function reverseName(address: string): string {
  if (isIPv4(address)) return `${address.split('.').reverse().join('.')}.in-addr.arpa`;
  const nibbles = groupsOf(address.replace(/%.*/, '')).map((group) => group.toString(16).padStart(4, '0'));
  return `${[...nibbles.join('')].reverse().join('.')}.ip6.arpa`;
}

/** The eight groups of an IPv6 address. */
function groupsOf(address: string): number[] {
  const { address: canonical } = new SocketAddress({ address, family: 'ipv6' });
  const [before, after] = canonical.split('::').map((half) => half.split(':').filter(Boolean).flatMap(groups));
  if (after === undefined) return before;
  return [...before, ...Array<number>(8 - before.length - after.length).fill(0), ...after];
}

/** One group, or the two of an address that ends in dotted form. */
function groups(part: string): number[] {
  if (!part.includes('.')) return [Number.parseInt(part, 16)];
  const [a, b, c, d] = part.split('.').map(Number);
  return [a * 256 + b, c * 256 + d];
}

/**
 * A checksum repaired on paper: RFC 1624, equation 3, HC' = ~(~HC + ~m + m'), for each 16-bit word m that became m'.
 * The result is compared with what the packet really carries, so a sum that does not come out is seen.
 */
import { readUint16 } from '../wire/bytes.ts';
import { fold } from '../wire/checksum.ts';
import type { HeaderPair } from './difference.ts';
import { hex, type Layer } from './layers.ts';

export interface ChangedWord {
  /** The field it belongs to. */
  readonly name: string;
  readonly before: number;
  readonly after: number;
}

export interface ChecksumRepair {
  /** `IPv4 header checksum` */
  readonly name: string;
  readonly before: number;
  /** What the packet carries afterwards. */
  readonly after: number;
  readonly words: readonly ChangedWord[];
  /** ~HC plus all of ~m + m', and the same in 16 bits; 0 where nothing is repaired. */
  readonly sum: number;
  readonly folded: number;
  /** What the equation gives; `null`: it does not apply, and `remark` says why. */
  readonly computed: number | null;
  readonly agrees: boolean;
  readonly remark: string;
}

const FIELD_AT: Readonly<Record<string, number>> = { ipv4: 10, tcp: 16, udp: 6, icmp: 2, icmpv6: 2 };
const WORDS_MAX = 24;

export interface RepairFacts {
  /** The field holds the sum of the pseudo-header only, to be finished by a card. */
  readonly partial: boolean;
}

export function checksumRepairs(
  headers: readonly HeaderPair[],
  before: Uint8Array,
  after: Uint8Array,
  facts: RepairFacts,
): ChecksumRepair[] {
  const repairs: ChecksumRepair[] = [];
  let ip: HeaderPair | null = null;
  for (const header of headers) {
    const { layerBefore: left, layerAfter: right } = header;
    if (right?.kind === 'ipv4' || right?.kind === 'ipv6') ip = header;
    if (left === null || right === null || left.kind !== right.kind) continue;
    const fieldAt = FIELD_AT[right.kind];
    if (fieldAt === undefined || left.headerEnd - left.at < fieldAt + 2 || right.headerEnd - right.at < fieldAt + 2)
      continue;
    // A quoted packet's own transport checksum is left alone: most quotes are cut, so nobody could verify it.
    if (right.quoted && right.kind !== 'ipv4') continue;
    const repair = repairOf(left, right, fieldAt, ip, headers, before, after, facts);
    if (repair !== null) repairs.push(repair);
  }
  return repairs;
}

function repairOf(
  left: Layer,
  right: Layer,
  fieldAt: number,
  ip: HeaderPair | null,
  headers: readonly HeaderPair[],
  before: Uint8Array,
  after: Uint8Array,
  facts: RepairFacts,
): ChecksumRepair | null {
  const old = readUint16(before, left.at + fieldAt);
  const now = readUint16(after, right.at + fieldAt);
  const isTransport = right.kind === 'tcp' || right.kind === 'udp' || right.kind === 'icmpv6';
  const isPartial = facts.partial && isTransport;
  // Of the pseudo-header only the addresses change; ports stand outside of it.
  const own = isPartial ? [] : changedWords(left, right, fieldAt, headers, before, after);
  const words = isTransport && ip !== null ? [...pseudoHeaderWords(ip, before, after), ...own] : own;
  if (words.length === 0 && old === now) return null;
  const kind = right.kind === 'ipv4' ? 'header checksum' : 'checksum';
  const base = {
    name: `${right.title} ${kind}`,
    before: old,
    after: now,
    words: words.slice(0, WORDS_MAX),
    sum: 0,
    folded: 0,
  };
  const isWhole = lengthOf(left) === lengthOf(right);
  if (right.kind === 'udp' && old === 0) {
    const remark = now === 0 ? 'none came, and none is sent' : 'none came: it is computed anew over the whole datagram';
    return { ...base, computed: null, agrees: true, remark };
  }
  if (!isWhole || words.length > WORDS_MAX) {
    return {
      ...base,
      computed: null,
      agrees: true,
      remark: 'so much has changed that it is computed anew over all of it',
    };
  }
  const change = words.reduce((sum, { before: m, after: other }) => sum + (~m & 0xffff) + other, 0);
  const sum = (isPartial ? old : ~old & 0xffff) + change;
  const folded = fold(sum);
  const computed = isPartial ? folded : ~folded & 0xffff;
  const agrees = isSameSum(computed, now);
  const remark = isPartial
    ? "the field holds the pseudo-header's sum only, which the sender's card was to finish: it is adjusted without complements"
    : agrees
      ? ''
      : 'the packet carries another value: this checksum was not adjusted but computed anew, or was wrong before';
  return { ...base, sum, folded, computed, agrees, remark };
}

function changedWords(
  left: Layer,
  right: Layer,
  fieldAt: number,
  headers: readonly HeaderPair[],
  before: Uint8Array,
  after: Uint8Array,
): ChangedWord[] {
  const words: ChangedWord[] = [];
  // An IPv4 header's checksum covers the header, the others all that follows.
  const bytes = right.kind === 'ipv4' ? right.headerEnd - right.at : Math.min(lengthOf(left), lengthOf(right));
  for (let offset = 0; offset < bytes && words.length <= WORDS_MAX; offset += 2) {
    if (offset === fieldAt) continue;
    const m = wordAt(before, left.at + offset, left.end);
    const other = wordAt(after, right.at + offset, right.end);
    if (m !== other) words.push({ name: nameAt(right, right.at + offset, headers), before: m, after: other });
  }
  return words;
}

/** Source and destination of the IP header count in the transport's checksum, too. */
function pseudoHeaderWords(ip: HeaderPair, before: Uint8Array, after: Uint8Array): ChangedWord[] {
  const { layerBefore: left, layerAfter: right } = ip;
  if (left === null || right === null || left.kind !== right.kind) return [];
  const [from, to] = right.kind === 'ipv4' ? [12, 20] : [8, 40];
  const words: ChangedWord[] = [];
  for (let offset = from; offset < to; offset += 2) {
    const m = readUint16(before, left.at + offset);
    const other = readUint16(after, right.at + offset);
    if (m !== other) words.push({ name: nameAt(right, right.at + offset, []), before: m, after: other });
  }
  return words;
}

/** The fields that the word at `at` lies in, of the layer itself or of what it quotes. */
function nameAt(layer: Layer, at: number, headers: readonly HeaderPair[]): string {
  for (const each of [layer, ...headers.map(({ layerAfter }) => layerAfter)]) {
    if (each === null || each.kind === 'payload') continue;
    const names = each.fields
      .filter((field) => field.at < at + 2 && at < field.at + field.bytes)
      .map(({ name }) => name);
    if (names.length > 0) return names.join(', ') + (each.quoted && !layer.quoted ? ' (quoted)' : '');
  }
  return 'payload';
}

/** An odd last byte counts as the high half of a word. */
function wordAt(bytes: Uint8Array, at: number, end: number): number {
  return at + 1 < end ? readUint16(bytes, at) : (bytes[at] as number) << 8;
}

function lengthOf(layer: Layer): number {
  return layer.end - layer.at;
}

/** 0x0000 and 0xffff are the same sum. */
function isSameSum(a: number, b: number): boolean {
  return a === b || (a % 0xffff === 0 && b % 0xffff === 0);
}

/** The computation as lines, as one writes it down. */
export function formatRepair(repair: ChecksumRepair): string[] {
  const { before, after, words, sum, folded, computed, remark, agrees } = repair;
  const lines = [`HC = ${hex(before, 4)}${computed === null ? '' : `, ~HC = ${hex(~before & 0xffff, 4)}`}`];
  const width = Math.max(0, ...words.map(({ name }) => name.length));
  for (const { name, before: m, after: other } of words) {
    lines.push(
      `${name.padEnd(width)}  m = ${hex(m, 4)}, m' = ${hex(other, 4)}: ~m + m' = ${hex((~m & 0xffff) + other, 5)}`,
    );
  }
  if (computed !== null) {
    const carry = sum > 0xffff ? `, with the carry added ${hex(folded, 4)}` : '';
    lines.push(
      `sum ${hex(sum, 5)}${carry}; HC' = ${hex(computed, 4)}${agrees ? ', as in the packet' : `, the packet has ${hex(after, 4)}`}`,
    );
  } else {
    lines.push(`the packet has ${hex(after, 4)}`);
  }
  if (remark !== '') lines.push(remark);
  return lines;
}

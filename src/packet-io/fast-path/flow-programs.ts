/**
 * The two programs of the fast path. The filter of the packet socket hears a frame first. It alone decides whether a flow
 * has it, keeps it from the engine then, and leaves a note for the program on the link, which the same processor asks
 * about the same frame next: that one rewrites the frame where it lies, super-frame or not, and sends it on. So no frame
 * is carried twice or not at all while flows come and go. A frame that is not of a flow reaches the engine and then
 * whatever else looks at the link, as if neither was there.
 *
 * Sources: bpf-helpers(7), linux/bpf.h (struct __sk_buff, tcx), RFC 1624 (checksums).
 */
import { appendBpf, BPF_MEMORY_BYTES } from '../../wire/bpf-to-ebpf.ts';
import { EbpfAssembler, type Register, STACK } from '../../wire/ebpf.ts';
import type { FrameFilter } from '../packet-io.ts';
import { KEY4, KEY6, RECORD } from './flow-record.ts';

/** Descriptors of the maps that both read. */
export interface FlowMaps {
  /** Hash: key -> number of the record. */
  readonly flows4: number;
  readonly flows6: number;
  /** Array of records; the one behind them begins with how many flows there are. */
  readonly records: number;
  readonly countAt: number;
  /** The note, one for each processor. */
  readonly notes: number;
}

/** What the note says: that it holds, the record's number, and by what the frame is known again. */
const NOTE = {
  holds: 0,
  record: 4,
  frameBytes: 8,
  packetBytes: 12,
  ports: 16,
  /** TCP: sequence number; UDP: length and checksum. */
  afterPorts: 20,
  source: 24,
  destination: 28,
  /** IPv4: identification and fragment field. */
  identification: 32,
} as const;
export const NOTE_BYTES = 40;

/** struct __sk_buff */
const CONTEXT = { length: 0, packetType: 4, vlanPresent: 20, segmentBytes: 176 } as const;
/** Helpers of the kernel, by number. */
const HELPER = {
  mapLookup: 1,
  storeBytes: 9,
  replaceTransportChecksum: 11,
  redirect: 23,
  loadBytes: 26,
  coarseNs: 160,
} as const;
/** To replaceTransportChecksum: the change belongs to the pseudo-header; a result of 0 would mean "none". */
const IN_PSEUDO_HEADER = 0x10;
const ZERO_MEANS_NONE = 0x20;

/** What a filter returns: bytes of the frame that the socket gets. */
const NOTHING = 0;
const WHOLE_FRAME = 0x4_0000;
/** What a program on a link returns: the next one may look, or the frame is gone. */
const TCX_NEXT = -1;
const TCX_DROP = 2;

const TCP = 6;
const UDP = 17;
const ETHERNET_BYTES = 14;
const ETHERTYPE_AT = 12;
const UDP_CHECKSUM_AT = 6;
const TCP_CHECKSUM_AT = 16;
/** Where the length of the header and the flags of TCP are, one behind the other. */
const TCP_LENGTH_AT = 12;
const TCP_HEADER_BYTES_MIN = 20;
/** Shorter frames are padded on the wire: what is behind the packet then is the same when it leaves. */
const PADDED_FRAME_BYTES = 60;

interface Family {
  readonly name: 'ipv4' | 'ipv6';
  readonly headerBytes: number;
  readonly protocolAt: number;
  readonly hopsAt: number;
  readonly sourceAt: number;
  readonly addressBytes: number;
}
const IPV4: Family = { name: 'ipv4', headerBytes: 20, protocolAt: 9, hopsAt: 8, sourceAt: 12, addressBytes: 4 };
const IPV6: Family = { name: 'ipv6', headerBytes: 40, protocolAt: 6, hopsAt: 7, sourceAt: 8, addressBytes: 16 };
const IPV4_CHECKSUM_AT = 10;

/** The stack, down from its end: number in an array, TCP's length and flags, begin of the frame, key. */
const NUMBER = -4;
const TCP_LENGTH = -8;
/** So that the IP header, 14 bytes on, begins at a multiple of four. */
const FRAME = -74;
const IP = FRAME + ETHERNET_BYTES;
/** Headers and the first eight bytes behind them, which UDP and TCP both have. */
const LOADED4 = ETHERNET_BYTES + IPV4.headerBytes + 8;
const LOADED6 = ETHERNET_BYTES + IPV6.headerBytes + 8;
const KEY = -120;
/** What the filter of the socket remembers. */
const MEMORY = KEY - BPF_MEMORY_BYTES;

const context: Register = 6;
const record: Register = 7;
/** Of the IP packet. */
const packetBytes: Register = 8;
/** Of the filter: bytes of the largest packet that the frame becomes on the wire. */
const wireBytes: Register = 9;
/** Of the program on the link. */
const note: Register = 9;

/** Of type "socket filter". `chosen`: which of the frames that no flow has the socket hears. */
export function socketFilter(maps: FlowMaps, chosen: FrameFilter): Uint8Array {
  const code = new EbpfAssembler();
  code.register('move', context, 1);
  // The tag of a VLAN is in metadata only and would be lost.
  code.load('word', 2, context, CONTEXT.vlanPresent).jumpIf('notEqual', 2, 0, 'theirs');
  // A note that nobody has carried out, since somebody else's program took the frame, must not be one about this frame.
  findNote(code, maps, 'ours');
  code.storeValue('word', 0, NOTE.holds, 0);
  // While there is no flow at all nobody pays for looking.
  code.storeValue('word', STACK, NUMBER, maps.countAt);
  findRecord(code, maps, 'ours');
  code.load('word', 2, record, 0).jumpIf('equal', 2, 0, 'ours');
  ask(code, maps, 'ours');
  code.label('theirs').value('move', 0, NOTHING).exit().label('ours');
  if (chosen === null) code.value('move', 0, WHOLE_FRAME).exit();
  else appendBpf(code, chosen, { labels: 'chosen ', memoryAt: MEMORY });
  return code.finish();
}

/** Of type "traffic classifier", for the way in of a link. */
export function linkProgram(maps: FlowMaps): Uint8Array {
  const code = new EbpfAssembler();
  code.register('move', context, 1);
  findNote(code, maps, 'next');
  code
    .register('move', note, 0)
    .load('word', 2, note, NOTE.holds)
    .jumpIf('equal', 2, 0, 'next')
    .storeValue('word', note, NOTE.holds, 0)
    .load('word', 2, note, NOTE.frameBytes)
    .load('word', 3, context, CONTEXT.length)
    .jumpIfRegister('notEqual', 2, 3, 'next')
    .load('word', 2, note, NOTE.record)
    .store('word', STACK, NUMBER, 2);
  findRecord(code, maps, 'next');
  loadBytes(code, 0, FRAME, LOADED4, 'next');
  code
    .load('word', packetBytes, note, NOTE.packetBytes)
    .load('half', 2, STACK, FRAME + ETHERTYPE_AT)
    .jumpIf('equal', 2, networkOrder(0x86dd), 'ipv6');
  rewrite(code, IPV4);
  code.label('ipv6');
  loadBytes(code, LOADED4, FRAME + LOADED4, LOADED6 - LOADED4, 'next');
  rewrite(code, IPV6);
  return code.label('next').value('move', 0, TCX_NEXT).exit().label('drop').value('move', 0, TCX_DROP).exit().finish();
}

/** Goes to `no` unless the frame is of a flow; otherwise leaves the note and goes on behind. */
function ask(code: EbpfAssembler, maps: FlowMaps, no: string): void {
  code.load('word', 2, context, CONTEXT.packetType).jumpIf('notEqual', 2, 0, no);
  loadBytes(code, 0, FRAME, LOADED4, no);
  code
    .load('half', 2, STACK, FRAME + ETHERTYPE_AT)
    .jumpIf('equal', 2, networkOrder(0x86dd), 'ipv6')
    .jumpIf('notEqual', 2, networkOrder(0x0800), no)
    .load('byte', 2, STACK, IP)
    .jumpIf('notEqual', 2, 0x45, no)
    .load('half', 2, STACK, IP + 6)
    .value('and', 2, networkOrder(0x3fff))
    .jumpIf('notEqual', 2, 0, no);
  headerMustBeIntact(code, no);
  code.load('half', packetBytes, STACK, IP + 2).networkHalf(packetBytes);
  lookAtTransport(code, IPV4, no);
  lookUp(code, maps.flows4, IPV4, KEY4, no);
  leaveNote(code, maps, IPV4, no);
  code.jump('noted').label('ipv6');
  loadBytes(code, LOADED4, FRAME + LOADED4, LOADED6 - LOADED4, no);
  code
    .load('byte', 2, STACK, IP)
    .value('and', 2, 0xf0)
    .jumpIf('notEqual', 2, 0x60, no)
    .load('half', packetBytes, STACK, IP + 4)
    .networkHalf(packetBytes)
    .value('add', packetBytes, IPV6.headerBytes);
  lookAtTransport(code, IPV6, no);
  lookUp(code, maps.flows6, IPV6, KEY6, no);
  leaveNote(code, maps, IPV6, no);
  code.label('noted');
}

function leaveNote(code: EbpfAssembler, maps: FlowMaps, family: Family, no: string): void {
  findRecord(code, maps, no);
  code.load('word', 2, record, RECORD.mtu).jumpIfRegister('above', wireBytes, 2, no);
  // The number of the record is where the number of the note has to be.
  code.load('word', record, STACK, NUMBER);
  findNote(code, maps, no);
  code
    .store('word', 0, NOTE.record, record)
    .load('word', 2, context, CONTEXT.length)
    .store('word', 0, NOTE.frameBytes, 2)
    .store('word', 0, NOTE.packetBytes, packetBytes);
  for (const [at, field] of knownBy(family)) code.load('word', 2, STACK, IP + at).store('word', 0, field, 2);
  code.storeValue('word', 0, NOTE.holds, 1);
}

/** Where in the packet the words are that the note keeps. */
function knownBy({ headerBytes, sourceAt, addressBytes }: Family): readonly (readonly [at: number, field: number])[] {
  return [
    [headerBytes, NOTE.ports],
    [headerBytes + 4, NOTE.afterPorts],
    [4, NOTE.identification],
    [sourceAt + addressBytes - 4, NOTE.source],
    [sourceAt + 2 * addressBytes - 4, NOTE.destination],
  ];
}

/** Leaves it in register 0. */
function findNote(code: EbpfAssembler, { notes }: FlowMaps, no: string): void {
  code
    .storeValue('word', STACK, NUMBER, 0)
    .map(1, notes)
    .register('move', 2, STACK)
    .value('add', 2, NUMBER)
    .call(HELPER.mapLookup)
    .jumpIf('equal', 0, 0, no);
}

/** The sum over an IPv4 header without options, its checksum included, is all ones. */
function headerMustBeIntact(code: EbpfAssembler, no: string): void {
  code.value('move', 2, 0);
  for (let at = 0; at < IPV4.headerBytes; at += 4) code.load('word', 3, STACK, IP + at).register('add', 2, 3);
  code.register('move', 3, 2).value('shiftRight', 3, 32).value('shiftLeft', 2, 32).value('shiftRight', 2, 32);
  code.register('add', 2, 3);
  for (let i = 0; i < 3; i++) foldOnce(code, 2, 3);
  code.jumpIf('notEqual', 2, 0xffff, no);
}

function foldOnce(code: EbpfAssembler, sum: Register, spare: Register): void {
  code
    .register('move', spare, sum)
    .value('shiftRight', spare, 16)
    .value('and', sum, 0xffff)
    .register('add', sum, spare);
}

/** Lengths, hops, and what is behind the IP header. Leaves `wireBytes`. */
function lookAtTransport(code: EbpfAssembler, { name, headerBytes, protocolAt, hopsAt }: Family, no: string): void {
  const transport = IP + headerBytes;
  // All of the packet is there, and nothing is behind it but padding.
  code
    .load('word', 2, context, CONTEXT.length)
    .register('move', 3, 2)
    .value('subtract', 3, ETHERNET_BYTES)
    .jumpIfRegister('above', packetBytes, 3, no)
    .jumpIf('atMost', 2, PADDED_FRAME_BYTES, `${name} whole`)
    .jumpIfRegister('notEqual', packetBytes, 3, no)
    .label(`${name} whole`)
    .load('byte', 2, STACK, IP + hopsAt)
    .jumpIf('atMost', 2, 1, no)
    .load('byte', 2, STACK, IP + protocolAt)
    .jumpIf('equal', 2, TCP, `${name} tcp`)
    .jumpIf('notEqual', 2, UDP, no)
    // A datagram without a checksum gets one, which is the engine's business.
    .load('half', 2, STACK, transport + UDP_CHECKSUM_AT)
    .jumpIf('equal', 2, 0, no)
    .value('move', wireBytes, headerBytes + 8)
    .jump(`${name} segments`)
    .label(`${name} tcp`);
  loadBytes(code, ETHERNET_BYTES + headerBytes + TCP_LENGTH_AT, TCP_LENGTH, 2, no);
  code
    // ACK, and none of SYN, FIN and RST.
    .load('byte', 2, STACK, TCP_LENGTH + 1)
    .value('and', 2, 0x17)
    .jumpIf('notEqual', 2, 0x10, no)
    .load('byte', wireBytes, STACK, TCP_LENGTH)
    .value('shiftRight', wireBytes, 4)
    .value('shiftLeft', wireBytes, 2)
    .jumpIf('below', wireBytes, TCP_HEADER_BYTES_MIN, no)
    .value('add', wireBytes, headerBytes)
    .label(`${name} segments`)
    .jumpIfRegister('above', wireBytes, packetBytes, no)
    .load('word', 2, context, CONTEXT.segmentBytes)
    .register('add', wireBytes, 2)
    .jumpIf('notEqual', 2, 0, `${name} measured`)
    .register('move', wireBytes, packetBytes)
    .label(`${name} measured`);
}

/** The number of the record lies in the map under the ends of the packet. */
function lookUp(
  code: EbpfAssembler,
  map: number,
  { headerBytes, protocolAt, sourceAt, addressBytes }: Family,
  key: typeof KEY4 | typeof KEY6,
  no: string,
): void {
  for (let at = 0; at < 2 * addressBytes; at += 4) {
    code.load('word', 2, STACK, IP + sourceAt + at).store('word', STACK, KEY + key.source + at, 2);
  }
  code
    .load('word', 2, STACK, IP + headerBytes)
    .store('word', STACK, KEY + key.ports, 2)
    .load('byte', 2, STACK, IP + protocolAt)
    .store('word', STACK, KEY + key.protocol, 2)
    .map(1, map)
    .register('move', 2, STACK)
    .value('add', 2, KEY)
    .call(HELPER.mapLookup)
    .jumpIf('equal', 0, 0, no)
    .load('word', 2, 0, 0)
    .store('word', STACK, NUMBER, 2);
}

function findRecord(code: EbpfAssembler, { records }: FlowMaps, no: string): void {
  code
    .map(1, records)
    .register('move', 2, STACK)
    .value('add', 2, NUMBER)
    .call(HELPER.mapLookup)
    .jumpIf('equal', 0, 0, no)
    .register('move', record, 0);
}

/** Knows the frame again, counts it, gives it its new headers, and sends it. */
function rewrite(code: EbpfAssembler, family: Family): void {
  const { name, headerBytes, protocolAt, hopsAt, sourceAt, addressBytes } = family;
  for (const [at, field] of knownBy(family)) {
    code
      .load('word', 2, STACK, IP + at)
      .load('word', 3, note, field)
      .jumpIfRegister('notEqual', 2, 3, 'next');
  }
  code
    .value('move', 2, 1)
    .atomicAdd(record, RECORD.packets, 2)
    .atomicAdd(record, RECORD.bytes, packetBytes)
    .call(HELPER.coarseNs)
    .store('double', record, RECORD.lastNs, 0);
  for (let at = 0; at < 12; at += 2) {
    code.load('half', 2, record, RECORD.macs + at).store('half', STACK, FRAME + at, 2);
  }
  code
    .load('byte', 2, STACK, IP + hopsAt)
    .value('add', 2, -1)
    .store('byte', STACK, IP + hopsAt, 2);
  if (name === 'ipv4') repairHeaderChecksum(code);
  const newAddresses = name === 'ipv4' ? RECORD.source4 : RECORD.source6;
  for (let at = 0; at < 2 * addressBytes; at += 4) {
    code.load('word', 2, record, newAddresses + at).store('word', STACK, IP + sourceAt + at, 2);
  }
  code.load('word', 2, record, RECORD.ports).store('word', STACK, IP + headerBytes, 2);

  const transportAt = ETHERNET_BYTES + headerBytes;
  code.load('byte', 2, STACK, IP + protocolAt).jumpIf('equal', 2, UDP, `${name} datagram`);
  replaceChecksum(code, `${name} segment`, transportAt + TCP_CHECKSUM_AT, 0);
  code.jump(`${name} store`).label(`${name} datagram`);
  replaceChecksum(code, `${name} udp`, transportAt + UDP_CHECKSUM_AT, ZERO_MEANS_NONE);
  code
    .label(`${name} store`)
    .register('move', 1, context)
    .value('move', 2, 0)
    .register('move', 3, STACK)
    .value('add', 3, FRAME)
    .value('move', 4, transportAt + 4)
    .value('move', 5, 0)
    .call(HELPER.storeBytes)
    .jumpIf('notEqual', 0, 0, 'drop')
    .load('word', 1, record, RECORD.link)
    .value('move', 2, 0)
    .call(HELPER.redirect)
    .exit();
}

/** HC' = ~(~HC + ~m + m') for addresses and time to live; taking one from the latter adds 0xfffe. */
function repairHeaderChecksum(code: EbpfAssembler): void {
  code
    .load('half', 2, STACK, IP + IPV4_CHECKSUM_AT)
    .value('xor', 2, 0xffff)
    .load('word', 3, record, RECORD.addressChange)
    .register('add', 2, 3)
    .value('add', 2, 0xfffe);
  for (let i = 0; i < 2; i++) foldOnce(code, 2, 3);
  code.value('xor', 2, 0xffff).store('half', STACK, IP + IPV4_CHECKSUM_AT, 2);
}

/** By the kernel, which knows whether the checksum is finished. */
function replaceChecksum(code: EbpfAssembler, name: string, at: number, flags: number): void {
  for (const [what, change, flag] of [
    ['addresses', RECORD.addressChange, IN_PSEUDO_HEADER],
    ['ports', RECORD.portChange, 0],
  ] as const) {
    code
      .load('word', 4, record, change)
      .jumpIf('equal', 4, 0, `${name} ${what} replaced`)
      .register('move', 1, context)
      .value('move', 2, at)
      .value('move', 3, 0)
      .value('move', 5, flag | flags)
      .call(HELPER.replaceTransportChecksum)
      .jumpIf('notEqual', 0, 0, 'drop')
      .label(`${name} ${what} replaced`);
  }
}

function loadBytes(code: EbpfAssembler, at: number, to: number, bytes: number, no: string): void {
  code
    .register('move', 1, context)
    .value('move', 2, at)
    .register('move', 3, STACK)
    .value('add', 3, to)
    .value('move', 4, bytes)
    .call(HELPER.loadBytes)
    .jumpIf('notEqual', 0, 0, no);
}

/** A 16-bit number as a little-endian load reads it from the network. */
function networkOrder(value: number): number {
  return ((value & 0xff) << 8) | (value >> 8);
}

/**
 * Tolerance `sync-ports`: with several sync ports, nobody can say which port a connection goes by. What all ports sent
 * together is compared as a set of connections; each message must be whole, and a connection stays with its port.
 */
import { addBytes, checksum } from '../wire/checksum.ts';
import type { Difference } from './difference.ts';
import { packetFacts, UDP } from './packet-facts.ts';
import type { PairContext } from './packet-tolerances.ts';
import type { RecordedOutput } from './recording.ts';

const VERSION_0_CONNECTION_BYTES = 24;
const VERSION_0_SEQUENCE_BYTES = 24;
/** Of the flags in a version 0 message: sequence numbers follow. */
const SEQUENCE_FLAGS = 0x0600;

/** Tolerance `sync-time`: seconds by which a message may leave earlier or later. */
const SYNC_SECONDS = 1.1;

/** Compares when two messages left; during a wait only. */
export function compareTimes(
  kernel: RecordedOutput,
  came: RecordedOutput,
  { leniency }: PairContext,
): Difference | null {
  if (kernel.dt === undefined) return null;
  const seconds = Math.abs(kernel.dt - (came.dt ?? 0));
  if (seconds > SYNC_SECONDS)
    return { field: 'seconds since the wait began', kernel: `${kernel.dt}`, came: `${came.dt}` };
  if (seconds > 0) leniency.use('sync-time');
  return null;
}

interface SyncMessage {
  /** Everything about it that does not depend on the port and the connections inside. */
  readonly head: string;
  readonly port: number;
  readonly connections: readonly SyncedConnection[];
}

interface SyncedConnection {
  /** Protocol, addresses and ports in hexadecimal. */
  readonly ends: string;
  readonly hex: string;
}

export function isSyncMessage({ hex }: RecordedOutput): boolean {
  const { protocol, multicast } = packetFacts(Buffer.from(hex, 'hex'));
  return protocol === UDP && multicast;
}

export function compareSyncMessages(
  kernel: readonly RecordedOutput[],
  came: readonly RecordedOutput[],
  context: PairContext,
): Difference | null {
  const { leniency } = context;
  const want = kernel.map(readMessage);
  const have = came.map(readMessage);
  const broken = [...want, ...have].indexOf(null);
  if (broken >= 0) {
    const { hex } = [...kernel, ...came][broken] as RecordedOutput;
    const [kernelText, cameText] = broken < kernel.length ? [hex, 'not whole'] : ['whole messages', hex];
    return { field: 'sync message', kernel: kernelText, came: cameText };
  }
  const messages = [want, have] as readonly (readonly SyncMessage[])[];
  const heads = messages.map((side) => [...new Set(side.map(({ head }) => head))].sort());
  const connections = messages.map((side) =>
    side.flatMap((message) => message.connections.map(({ hex }) => hex)).sort(),
  );
  leniency.use('sync-ports');
  return (
    firstDifference('heads of sync messages', heads) ??
    firstDifference('synchronised connection', connections) ??
    wandering(messages, leniency) ??
    compareAllTimes(kernel, came, context)
  );
}

/** Every message must have left when one of the other side did. */
function compareAllTimes(
  kernel: readonly RecordedOutput[],
  came: readonly RecordedOutput[],
  context: PairContext,
): Difference | null {
  const nearest = (output: RecordedOutput, others: readonly RecordedOutput[]): RecordedOutput =>
    [...others].sort((a, b) => distance(a, output) - distance(b, output))[0] ?? output;
  for (const output of kernel) {
    const difference = compareTimes(output, nearest(output, came), context);
    if (difference !== null) return difference;
  }
  for (const output of came) {
    const difference = compareTimes(nearest(output, kernel), output, context);
    if (difference !== null) return difference;
  }
  return null;
}

function distance(a: RecordedOutput, b: RecordedOutput): number {
  return Math.abs((a.dt ?? 0) - (b.dt ?? 0));
}

function firstDifference(field: string, [kernel, came]: readonly (readonly string[])[]): Difference | null {
  const count = Math.max(kernel!.length, came!.length);
  for (let index = 0; index < count; index++) {
    if (kernel![index] === came![index]) continue;
    return { field, kernel: kernel![index] ?? 'none', came: came![index] ?? 'none' };
  }
  return null;
}

/** A connection that goes by another port than before. */
function wandering(
  messages: readonly (readonly SyncMessage[])[],
  leniency: PairContext['leniency'],
): Difference | null {
  for (const [side, list] of messages.entries()) {
    for (const { port, connections } of list) {
      const moved = connections.find(({ ends }) => !leniency.isConstant(`sync port ${side} of ${ends}`, `${port}`));
      if (moved === undefined) continue;
      const text = `port ${port}, and before another one: ${moved.ends}`;
      const kept = 'one port for each connection';
      return { field: 'sync port', kernel: side === 0 ? text : kept, came: side === 0 ? kept : text };
    }
  }
  return null;
}

/** `null`: lengths, counts or checksums are wrong. */
function readMessage({ dev, to, hex }: RecordedOutput): SyncMessage | null {
  const packet = Buffer.from(hex, 'hex');
  const { ipv6, transportAt, destinationPort, isFragment } = packetFacts(packet);
  if (isFragment || !isWhole(packet, ipv6, transportAt)) return null;
  const message = packet.subarray(transportAt + 8);
  const isVersion1 = message[0] === 0 && message[5] === 1;
  const connections = message.length < 8 ? null : readConnections(message, isVersion1);
  if (connections === null || connections.length !== message[isVersion1 ? 4 : 0]) return null;
  // Version, class or TOS, flags, TTL, protocol, addresses; not lengths, id and flow label.
  const ip = ipv6
    ? [packet.readUInt16BE(0) & 0xfff0, packet.readUInt16BE(6), packet.toString('hex', 8, 40)]
    : [packet.readUInt16BE(0), packet.readUInt32BE(6), packet.toString('hex', 12, 20)];
  const sync = isVersion1 ? [message[1], message.readUInt32BE(4) & 0xff_ffff] : [message[1]];
  return { head: [dev, to, ...ip, ...sync].join(' '), port: destinationPort, connections };
}

function isWhole(packet: Buffer, ipv6: boolean, transportAt: number): boolean {
  const bytes = packet.length - transportAt;
  if (bytes < 8 || packet.readUInt16BE(transportAt + 4) !== bytes) return false;
  if (ipv6 ? packet.readUInt16BE(4) !== bytes : packet.readUInt16BE(2) !== packet.length) return false;
  if (!ipv6 && checksum(packet, 0, transportAt) !== 0) return false;
  const message = packet.subarray(transportAt + 8);
  if (message.length < 4 || message.readUInt16BE(2) !== message.length) return false;
  const addresses = addBytes(0, packet, ipv6 ? 8 : 12, ipv6 ? 40 : 20);
  return checksum(packet, transportAt, packet.length, addresses + UDP + bytes) === 0;
}

function readConnections(message: Buffer, isVersion1: boolean): SyncedConnection[] | null {
  const connections: SyncedConnection[] = [];
  let at = isVersion1 ? 8 : 4;
  while (at < message.length) {
    const bytes = isVersion1 ? version1Bytes(message, at) : version0Bytes(message, at);
    if (bytes === 0 || at + bytes > message.length) return null;
    const piece = message.subarray(at, at + bytes);
    connections.push({ ends: endsOf(piece, isVersion1), hex: piece.toString('hex') });
    at += isVersion1 ? (bytes + 3) & ~3 : bytes;
  }
  return connections;
}

function version1Bytes(message: Buffer, at: number): number {
  return at + 4 > message.length ? 0 : message.readUInt16BE(at + 2) & 0xfff;
}

function version0Bytes(message: Buffer, at: number): number {
  if (at + VERSION_0_CONNECTION_BYTES > message.length) return 0;
  const flags = message.readUInt16BE(at + 20);
  return VERSION_0_CONNECTION_BYTES + ((flags & SEQUENCE_FLAGS) !== 0 ? VERSION_0_SEQUENCE_BYTES : 0);
}

function endsOf(piece: Buffer, isVersion1: boolean): string {
  if (!isVersion1) return piece.toString('hex', 1, 20);
  const addressBytes = (piece[0]! & 1) !== 0 ? 48 : 12;
  return `${piece.toString('hex', 1, 2)} ${piece.toString('hex', 10, 16)} ${piece.toString('hex', 24, 24 + addressBytes)}`;
}

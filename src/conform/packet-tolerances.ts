/**
 * The tolerances that concern the bytes of packets. Each copies a value that cannot be the same from the recorded
 * packet into ours and repairs our checksum for that change; then all bytes must be equal. So a checksum that does not
 * fit its packet is noticed on either side, and nothing else is forgiven along with the value.
 */
import { adjustChecksum, changeOf16 } from '../wire/checksum.ts';
import { ICMP, ICMPV6, isIcmpError, type PacketFacts, packetFacts, UDP } from './packet-facts.ts';
import type { Leniency, ToleranceName } from './tolerances.ts';

/** What is known when a pair of packets is compared. */
export interface PairContext {
  readonly leniency: Leniency;
  /** The packet that arrived in this step, if one did. */
  readonly input: Buffer | null;
  readonly isOwnAddress: (address: string) => boolean;
  readonly isInterfaceAddress: (address: string) => boolean;
  /** MASQUERADE is set up on the host. */
  readonly masquerade: boolean;
  /** The setting sync_ports. */
  readonly syncPorts: number;
  /** Names the step, so that what must be alike within it can be. */
  readonly step: string;
}

interface Pair {
  readonly kernel: Buffer;
  /** A copy that may be changed. */
  readonly ours: Buffer;
  readonly facts: PacketFacts;
  readonly oursFacts: PacketFacts;
  /** The packet passes on the first error about a tunnel to one server. */
  readonly isFirstError: boolean;
}

/** Makes the one value alike, if it may differ here and does. */
type Rule = (pair: Pair, context: PairContext) => boolean;

const RULES: readonly (readonly [ToleranceName, Rule])[] = [
  ['own-ip-id', ownIpId],
  ['own-flow-label', ownFlowLabel],
  ['own-fragment-id', ownFragmentId],
  ['gue-source-port', gueSourcePort],
  ['sync-source-port', syncSourcePort],
  ['masquerade-source-port', masqueradeSourcePort],
  ['filled-options', filledOptions],
  ['first-path-mtu', firstPathMtu],
];

const IP_ID = 4;
const IP_FLAGS = 6;
const IP_CHECKSUM = 10;
const DONT_FRAGMENT = 0x40;
const UDP_CHECKSUM = 6;
const TCP_CHECKSUM = 16;
const ICMP_CHECKSUM = 2;
const ICMP_MTU = 6;
const OWN_TTL = 64;
/** Precedence "internetwork control", which the host gives its ICMP errors. */
const OWN_ERROR_TOS = 0xc0;
const EPHEMERAL_PORTS: readonly [number, number] = [32_768, 60_999];

/** Whether the packets are the same under the tolerances; those that were needed are noted. */
export function isSamePacket(kernelHex: string, oursHex: string, context: PairContext): boolean {
  const kernel = Buffer.from(kernelHex, 'hex');
  const ours = Buffer.from(oursHex, 'hex');
  if (kernel.length < 20) return kernel.equals(ours);
  const facts = packetFacts(kernel);
  const quotedServer = serverOfTunnelError(facts, context);
  const isFirstError =
    quotedServer !== null && context.leniency.isConstant(`first error about ${quotedServer}`, context.step);
  if (kernel.equals(ours)) return isConsistent(kernel, facts, context);
  if (kernel.length !== ours.length) return false;
  const pair: Pair = { kernel, ours, facts, oursFacts: packetFacts(ours), isFirstError };
  const needed = RULES.filter(([, rule]) => rule(pair, context)).map(([name]) => name);
  if (!kernel.equals(ours)) return false;
  for (const name of needed) context.leniency.use(name);
  return true;
}

/** Equal by chance: the values still count as seen. */
function isConsistent(kernel: Buffer, facts: PacketFacts, context: PairContext): boolean {
  const key = gueFlow(kernel, facts, context);
  if (key === null) return true;
  const port = String(facts.sourcePort);
  return context.leniency.isConstant(`gue kernel ${key}`, port) && context.leniency.isConstant(`gue ours ${key}`, port);
}

function ownIpId({ kernel, ours, facts }: Pair, context: PairContext): boolean {
  if (facts.ipv6 || kernel.readUInt16BE(IP_ID) === ours.readUInt16BE(IP_ID)) return false;
  const random = isOwnError(kernel, facts, context) || isSyncMessage(facts) || isOuterHeader(kernel, facts, context);
  if (!random) return false;
  if (facts.isFragment) {
    const ids = [kernel.readUInt16BE(IP_ID), ours.readUInt16BE(IP_ID)] as const;
    if (!context.leniency.isPair(`${context.step} id`, ...ids)) return false;
  }
  copyWord(kernel, ours, IP_ID, IP_CHECKSUM);
  return true;
}

function isOwnError(kernel: Buffer, facts: PacketFacts, context: PairContext): boolean {
  if (!isIcmpError(facts) || !context.isOwnAddress(facts.source)) return false;
  if (facts.ipv6) return kernel[7] === OWN_TTL;
  return kernel[8] === OWN_TTL && kernel[1] === OWN_ERROR_TOS && (kernel[IP_FLAGS]! & DONT_FRAGMENT) === 0;
}

function isSyncMessage({ protocol, multicast }: PacketFacts): boolean {
  return protocol === UDP && multicast;
}

/** The outer header of a tunnel, without DF: with it the id is 0. */
function isOuterHeader(kernel: Buffer, { protocol, source }: PacketFacts, context: PairContext): boolean {
  if (![4, 41, 47, UDP].includes(protocol) || !context.isInterfaceAddress(source)) return false;
  return (kernel[IP_FLAGS]! & DONT_FRAGMENT) === 0;
}

function ownFlowLabel({ kernel, ours, facts }: Pair, context: PairContext): boolean {
  if (!facts.ipv6) return false;
  const label = (packet: Buffer): number => packet.readUInt32BE(0) & 0xfffff;
  if (label(kernel) === label(ours)) return false;
  if (!isSyncMessage(facts) && !(facts.protocol === ICMPV6 && isOwnError(kernel, facts, context))) return false;
  // The kernel's own packets always have one, unless the hash happens to be 0.
  ours.writeUInt32BE(((ours.readUInt32BE(0) & 0xfff0_0000) | label(kernel)) >>> 0, 0);
  return true;
}

function ownFragmentId({ kernel, ours, facts, oursFacts }: Pair, context: PairContext): boolean {
  if (!facts.ipv6 || kernel[6] !== 44 || ours[6] !== 44 || !facts.isFragment || !oursFacts.isFragment) return false;
  const id = (packet: Buffer): number => packet.readUInt32BE(44);
  if (id(kernel) === id(ours)) return false;
  if (!context.leniency.isPair(`${context.step} id`, id(kernel), id(ours))) return false;
  ours.writeUInt32BE(id(kernel), 44);
  return true;
}

function gueSourcePort({ kernel, ours, facts, oursFacts }: Pair, context: PairContext): boolean {
  const key = gueFlow(kernel, facts, context);
  if (key === null) return false;
  const { leniency } = context;
  const sameAsBefore =
    leniency.isConstant(`gue kernel ${key}`, String(facts.sourcePort)) &&
    leniency.isConstant(`gue ours ${key}`, String(oursFacts.sourcePort));
  if (!sameAsBefore || facts.sourcePort === oursFacts.sourcePort) return false;
  if (!isEphemeral(facts.sourcePort) || !isEphemeral(oursFacts.sourcePort)) return false;
  copyUdpWord(kernel, ours, facts.transportAt, 0);
  return true;
}

/** The flow inside a GUE packet as text, or `null` when it is none (or a later fragment, which has no UDP header). */
function gueFlow(kernel: Buffer, facts: PacketFacts, context: PairContext): string | null {
  const { protocol, source, multicast, fragmentOffset, transportAt } = facts;
  if (protocol !== UDP || multicast || fragmentOffset > 0 || !context.isInterfaceAddress(source)) return null;
  const gueAt = transportAt + 8;
  if (kernel.length < gueAt + 24) return null;
  const innerAt = gueAt + 4 + (kernel[gueAt]! & 31) * 4;
  const inner = packetFacts(kernel.subarray(innerAt));
  // The hash of an IPv6 flow takes its label in.
  const label = inner.ipv6 ? kernel.readUInt32BE(innerAt) & 0xfffff : 0;
  return `${label} ${inner.source} ${inner.destination} ${inner.protocol} ${inner.sourcePort} ${inner.destinationPort}`;
}

function isEphemeral(port: number): boolean {
  return port >= EPHEMERAL_PORTS[0] && port <= EPHEMERAL_PORTS[1];
}

function syncSourcePort({ kernel, ours, facts, oursFacts }: Pair, { leniency }: PairContext): boolean {
  if (!isSyncMessage(facts) || facts.sourcePort === oursFacts.sourcePort) return false;
  if (!leniency.isPair('sync port', facts.sourcePort, oursFacts.sourcePort)) return false;
  copyUdpWord(kernel, ours, facts.transportAt, 0);
  return true;
}

/** Where the recorded port is the input's own, ours must be too. */
function masqueradeSourcePort({ kernel, ours, facts, oursFacts }: Pair, context: PairContext): boolean {
  if (!context.masquerade || context.input === null || !context.isInterfaceAddress(facts.source)) return false;
  if (facts.sourcePort === oursFacts.sourcePort || facts.sourcePort < 0) return false;
  const input = packetFacts(context.input);
  if (facts.sourcePort === input.sourcePort) return false;
  const client = `masquerade ${input.source} ${input.sourcePort} ${facts.destination}`;
  if (!context.leniency.isConstant(`${client} kernel`, String(facts.sourcePort))) return false;
  if (!context.leniency.isConstant(`${client} ours`, String(oursFacts.sourcePort))) return false;
  if (facts.protocol === UDP) copyUdpWord(kernel, ours, facts.transportAt, 0);
  else copyWord(kernel, ours, facts.transportAt, facts.transportAt + TCP_CHECKSUM);
  return true;
}

const IPIP = 4;
const GRE = 47;
const RECORD_ROUTE = 7;
const TIMESTAMP = 68;

/** In the outermost header, and in the one inside a tunnel. */
function filledOptions({ kernel, ours, facts }: Pair): boolean {
  let changed = fillOptions(kernel, ours, 0);
  const innerAt = innerHeaderAt(kernel, facts);
  // The header's own checksum takes up every change, so no checksum round it changes.
  if (innerAt > 0 && fillOptions(kernel, ours, innerAt)) changed = true;
  return changed;
}

/** Copies what was filled into the options of the IPv4 header at `headerAt`; type and length of options compare. */
function fillOptions(kernel: Buffer, ours: Buffer, headerAt: number): boolean {
  const end = headerAt + (kernel[headerAt]! & 15) * 4;
  if (kernel[headerAt]! >>> 4 !== 4 || end > kernel.length) return false;
  let changed = false;
  for (let at = headerAt + 20; at < end && kernel[at] !== 0; ) {
    const type = kernel[at]!;
    const bytes = type === 1 ? 1 : Math.max(2, kernel[at + 1]!);
    if (type === RECORD_ROUTE || type === TIMESTAMP) {
      for (let filled = at + 2; filled < Math.min(at + bytes, end); filled++) {
        changed = copyByte(kernel, ours, filled, headerAt + IP_CHECKSUM) || changed;
      }
    }
    at += bytes;
  }
  return changed;
}

/** Where the packet inside a tunnel begins, or 0. */
function innerHeaderAt(kernel: Buffer, { protocol, transportAt, fragmentOffset }: PacketFacts): number {
  if (fragmentOffset > 0) return 0;
  if (protocol === IPIP) return transportAt;
  const greAt = transportAt + ((kernel[transportAt] ?? 0) & 0x80 ? 8 : 4);
  if (protocol === GRE) return kernel.length > greAt ? greAt : 0;
  const gueAt = transportAt + 8;
  if (protocol !== UDP || kernel.length <= gueAt + 4) return 0;
  return kernel[gueAt + 1] === IPIP ? gueAt + 4 + (kernel[gueAt]! & 31) * 4 : 0;
}

function firstPathMtu({ kernel, ours, facts, isFirstError }: Pair): boolean {
  const mtuAt = facts.transportAt + ICMP_MTU;
  if (!isFirstError || kernel.readUInt16BE(mtuAt) === ours.readUInt16BE(mtuAt)) return false;
  copyWord(kernel, ours, mtuAt, facts.transportAt + ICMP_CHECKSUM);
  return true;
}

/** "Fragmentation needed" about a tunnel packet came in, and goes on to the client: the server of the tunnel. */
function serverOfTunnelError(facts: PacketFacts, { input, isInterfaceAddress }: PairContext): string | null {
  if (input === null || !isFragmentationNeeded(facts)) return null;
  const error = packetFacts(input);
  if (!isFragmentationNeeded(error) || !isInterfaceAddress(error.destination)) return null;
  return packetFacts(input.subarray(error.transportAt + 8)).destination;
}

function isFragmentationNeeded({ protocol, type, code }: PacketFacts): boolean {
  return protocol === ICMP && type === 3 && code === 4;
}

/** Copies a byte and repairs the checksum at `checksumAt`. Says whether there was a difference. */
function copyByte(from: Buffer, to: Buffer, at: number, checksumAt: number): boolean {
  if (from[at] === to[at]) return false;
  const word = at & ~1;
  const before = to.readUInt16BE(word);
  to[at] = from[at]!;
  const change = changeOf16(before, to.readUInt16BE(word));
  to.writeUInt16BE(adjustChecksum(to.readUInt16BE(checksumAt), change), checksumAt);
  return true;
}

/** Copies a 16-bit word and repairs the checksum at `checksumAt` for that change alone. */
function copyWord(from: Buffer, to: Buffer, at: number, checksumAt: number): void {
  const change = changeOf16(to.readUInt16BE(at), from.readUInt16BE(at));
  to.writeUInt16BE(from.readUInt16BE(at), at);
  to.writeUInt16BE(adjustChecksum(to.readUInt16BE(checksumAt), change), checksumAt);
}

/** The same for UDP, where a checksum of 0 means that there is none. */
function copyUdpWord(from: Buffer, to: Buffer, transportAt: number, offset: number): void {
  const checksumAt = transportAt + UDP_CHECKSUM;
  const without = to.readUInt16BE(checksumAt) === 0;
  copyWord(from, to, transportAt + offset, checksumAt);
  if (without) to.writeUInt16BE(0, checksumAt);
  else if (to.readUInt16BE(checksumAt) === 0) to.writeUInt16BE(0xffff, checksumAt);
}

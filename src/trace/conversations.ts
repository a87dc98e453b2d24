/**
 * What packets tell about connections, seen from between clients and servers: who was given to whom, who answered and
 * how soon, what was sent again, what ended badly. Fed with the records of the tap, in their order; TCP is followed
 * from its SYN on (RFC 9293), UDP by its two ends.
 */
import { DROP, REASON_NAMES } from '../engine/verdict.ts';
import { formatEndpoint } from '../model/service.ts';
import { formatMac } from '../wire/address.ts';
import { readInt32 } from '../wire/bytes.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/ipv4.ts';
import { PacketFacts } from '../wire/packet-facts.ts';
import type { TapFrame, TapRecord } from '../wire/tap-record.ts';
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, tcpFlags } from '../wire/tcp.ts';

/** Connections that are followed; of more only the number is known. */
const FOLLOWED_MAX = 262_144;
const TCP_SEQUENCE = 4;

export type Side = 'client' | 'server';

export interface Conversation {
  readonly protocol: 'tcp' | 'udp';
  /** `10.0.0.100:40000` */
  readonly client: string;
  readonly virtual: string;
  /** `192.168.1.11:80`; `null`: it was given to none. */
  server: string | null;
  /** The server's answers do not pass here (direct routing, tunnels): nothing is known about them. */
  oneWay: boolean;
  /** Requests to open it, or the first datagrams: more than 1 were sent again. */
  opens: number;
  /** The server said yes (SYN with ACK), or anything at all (UDP). */
  answered: boolean;
  /** The client took it. */
  established: boolean;
  resetBy: Side | null;
  /** The server said no to the first packet. */
  refused: boolean;
  clientEnded: boolean;
  serverEnded: boolean;
  /** Segments with payload, and those of them that had been sent before. */
  segments: number;
  sentAgain: number;
  /** Microseconds: the first payload of the client, the first of the server. */
  requestUs: number | null;
  answerUs: number | null;
  /** Next number each side is expected to use. */
  nextFromClient: number | null;
  nextFromServer: number | null;
  firstSequence: number;
}

export class Conversations {
  /** Ended and running ones, in the order they began. */
  readonly all: Conversation[] = [];
  /** Connections that began from ends that had been used before. */
  reused = 0;
  /** Connections that were too many to be followed. */
  notFollowed = 0;
  packets = 0;
  /** Dropped by the balancer, by reason. */
  readonly drops = new Map<string, number>();
  /** Segments to a virtual address that belong to no connection. */
  strays = 0;
  readonly #byEnds = new Map<string, Conversation>();
  readonly #byServer = new Map<string, Conversation>();

  add(record: TapRecord): void {
    const { came, left } = record;
    if (came === null && left === null) return;
    if (came !== null) this.packets++;
    if (came !== null && record.verdict === DROP) {
      const reason = REASON_NAMES[record.reason] ?? 'none';
      this.drops.set(reason, (this.drops.get(reason) ?? 0) + 1);
    }
    if (came !== null && REASON_NAMES[record.reason] === 'no-connection') this.strays++;
    // What had waited for its next hop was told when it came, but for where it went.
    if (came === null) this.#learnServer(left as TapFrame);
    else this.#follow(record.timeUs, came, left);
  }

  #follow(timeUs: number, came: TapFrame, left: TapFrame | null): void {
    if (!cameFacts.read(came.bytes, 0, came.bytes.length)) return;
    const { protocol, sourcePort, transportAt } = cameFacts;
    if (sourcePort < 0 || (protocol !== PROTOCOL_TCP && protocol !== PROTOCOL_UDP)) return;
    if (protocol === PROTOCOL_TCP && came.bytes.length - transportAt < 20) return;
    const leftIsIp = left !== null && leftFacts.read(left.bytes, 0, left.bytes.length);
    const from = sourceOf(cameFacts, came.bytes);
    const to = destinationOf(cameFacts, came.bytes);
    const isTcp = protocol === PROTOCOL_TCP;
    const flags = isTcp ? tcpFlags(came.bytes, transportAt) : 0;
    const segment = segmentOf(came, cameFacts, isTcp);
    const opens = isTcp ? (flags & (TCP_SYN | TCP_ACK)) === TCP_SYN : !this.#isAnswer(from, to, left, leftIsIp);
    const inbound = opens ? this.#open(isTcp, from, to, segment.sequence) : this.#byEnds.get(keyOf(isTcp, from, to));
    if (inbound !== undefined) {
      if (leftIsIp && inbound.server === null) {
        placeAt(inbound, left as TapFrame, cameFacts, leftFacts);
        if (inbound.server !== null) this.#byServer.set(keyOf(isTcp, from, inbound.server), inbound);
      }
      fromClient(inbound, flags, segment, timeUs, opens);
      return;
    }
    const answered = leftIsIp
      ? this.#byEnds.get(
          keyOf(
            isTcp,
            destinationOf(leftFacts, (left as TapFrame).bytes),
            sourceOf(leftFacts, (left as TapFrame).bytes),
          ),
        )
      : // Kept until the client's next hop is known: only the server has another name.
        this.#answeredBy(isTcp, from, to);
    if (answered !== undefined) fromServer(answered, flags, segment, timeUs);
  }

  /** A datagram whose sender was rewritten comes from a server. */
  #isAnswer(from: string, to: string, left: TapFrame | null, leftIsIp: boolean): boolean {
    if (this.#byEnds.has(keyOf(false, from, to))) return false;
    if (left !== null && leftIsIp) {
      const key = keyOf(false, destinationOf(leftFacts, left.bytes), sourceOf(leftFacts, left.bytes));
      if (this.#byEnds.has(key)) return true;
    }
    return this.#answeredBy(false, from, to) !== undefined;
  }

  /** The youngest connection from `client` that `server` was given. */
  #answeredBy(isTcp: boolean, server: string, client: string): Conversation | undefined {
    return this.#byServer.get(keyOf(isTcp, client, server));
  }

  #open(isTcp: boolean, client: string, virtual: string, sequence: number): Conversation | undefined {
    const key = keyOf(isTcp, client, virtual);
    const known = this.#byEnds.get(key);
    if (known !== undefined) {
      const isSame = !isTcp || known.firstSequence === sequence;
      if (isSame) {
        if (isTcp) known.opens++;
        return known;
      }
      this.reused++;
    }
    if (this.all.length >= FOLLOWED_MAX) {
      this.notFollowed++;
      return undefined;
    }
    const conversation = begin(isTcp ? 'tcp' : 'udp', client, virtual, sequence);
    this.all.push(conversation);
    this.#byEnds.set(key, conversation);
    return conversation;
  }

  #learnServer(left: TapFrame): void {
    if (!leftFacts.read(left.bytes, 0, left.bytes.length) || leftFacts.sourcePort < 0) return;
    const isTcp = leftFacts.protocol === PROTOCOL_TCP;
    const client = sourceOf(leftFacts, left.bytes);
    const server = destinationOf(leftFacts, left.bytes);
    // By its sequence number, since its destination is another now.
    const { sequence } = segmentOf(left, leftFacts, isTcp);
    for (let i = this.all.length - 1; i >= 0 && i >= this.all.length - 1_000; i--) {
      const each = this.all[i] as Conversation;
      if (each.server !== null || each.client !== client || (isTcp && each.firstSequence !== sequence)) continue;
      each.server = server;
      this.#byServer.set(keyOf(isTcp, client, server), each);
      return;
    }
  }
}

const cameFacts = new PacketFacts();
const leftFacts = new PacketFacts();

interface Segment {
  readonly sequence: number;
  readonly payloadBytes: number;
}

function begin(protocol: 'tcp' | 'udp', client: string, virtual: string, sequence: number): Conversation {
  return {
    protocol,
    client,
    virtual,
    server: null,
    oneWay: false,
    opens: protocol === 'tcp' ? 1 : 0,
    answered: false,
    established: false,
    resetBy: null,
    refused: false,
    clientEnded: false,
    serverEnded: false,
    segments: 0,
    sentAgain: 0,
    requestUs: null,
    answerUs: null,
    nextFromClient: null,
    nextFromServer: null,
    firstSequence: sequence,
  };
}

function fromClient(each: Conversation, flags: number, segment: Segment, timeUs: number, opens: boolean): void {
  if (each.protocol === 'udp') {
    each.opens++;
    each.segments++;
    each.requestUs ??= timeUs;
    return;
  }
  if (opens) {
    each.nextFromClient = (segment.sequence + 1) | 0;
    return;
  }
  if ((flags & TCP_RST) !== 0) each.resetBy ??= 'client';
  if ((flags & TCP_ACK) !== 0 && (flags & TCP_RST) === 0 && (each.answered || each.oneWay)) each.established = true;
  if (segment.payloadBytes > 0) each.requestUs ??= timeUs;
  each.nextFromClient = count(each, segment, each.nextFromClient);
  if ((flags & TCP_FIN) !== 0) each.clientEnded = true;
}

function fromServer(each: Conversation, flags: number, segment: Segment, timeUs: number): void {
  if (each.protocol === 'udp') {
    each.answered = true;
    each.answerUs ??= timeUs;
    each.segments++;
    return;
  }
  if ((flags & TCP_RST) !== 0) {
    if (!each.answered) each.refused = true;
    // A server that has nothing left to say may end so what its client has ended.
    const isDone = each.clientEnded && (each.requestUs === null || each.answerUs !== null);
    if (!isDone) each.resetBy ??= 'server';
  }
  if ((flags & (TCP_SYN | TCP_ACK)) === (TCP_SYN | TCP_ACK)) {
    each.answered = true;
    each.nextFromServer = (segment.sequence + 1) | 0;
    return;
  }
  if (segment.payloadBytes > 0) each.answerUs ??= timeUs;
  each.nextFromServer = count(each, segment, each.nextFromServer);
  if ((flags & TCP_FIN) !== 0) each.serverEnded = true;
}

/** Returns the number that is expected next. Sequence numbers wrap, so differences are compared. */
function count(each: Conversation, { sequence, payloadBytes }: Segment, expected: number | null): number | null {
  if (payloadBytes === 0) return expected;
  each.segments++;
  const end = (sequence + payloadBytes) | 0;
  if (expected !== null && ((end - expected) | 0) <= 0) {
    each.sentAgain++;
    return expected;
  }
  return end;
}

/** Where the balancer sent it: by its new destination, that of the tunnel, or the MAC address it went to. */
function placeAt(each: Conversation, left: TapFrame, came: PacketFacts, facts: PacketFacts): void {
  if (facts.protocol !== came.protocol) {
    each.oneWay = true;
    each.server = `${facts.destination(left.bytes)} (tunnel)`;
    return;
  }
  const server = destinationOf(facts, left.bytes);
  each.oneWay = server === each.virtual;
  each.server = each.oneWay ? `MAC ${formatMac(left.bytes, 0)}` : server;
}

function segmentOf({ bytes, originalBytes }: TapFrame, facts: PacketFacts, isTcp: boolean): Segment {
  if (!isTcp) return { sequence: 0, payloadBytes: 0 };
  const sequence = readInt32(bytes, facts.transportAt + TCP_SEQUENCE);
  if (facts.payloadAt < 0) return { sequence, payloadBytes: 0 };
  // Only the beginning of a frame may be here: its length is what the IP header says, else that of the frame.
  const ipBytes = facts.ipv6 ? 40 + uint16(bytes, facts.ipAt + 4) : uint16(bytes, facts.ipAt + 2);
  const end = ipBytes > (facts.ipv6 ? 40 : 0) ? facts.ipAt + ipBytes : originalBytes;
  return { sequence, payloadBytes: Math.max(0, end - facts.payloadAt) };
}

function uint16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

function sourceOf(facts: PacketFacts, bytes: Uint8Array): string {
  return formatEndpoint(facts.source(bytes), facts.sourcePort);
}

function destinationOf(facts: PacketFacts, bytes: Uint8Array): string {
  return formatEndpoint(facts.destination(bytes), facts.destinationPort);
}

function keyOf(isTcp: boolean, client: string, other: string): string {
  return `${isTcp ? 't' : 'u'}${client} ${other}`;
}

/**
 * Who watches: the steps of the pipeline tell it what they found, and it makes a `PacketTrace` of each packet that
 * somebody wants. An engine without one (`context.observation` is `null`) pays one comparison at each of these places.
 */
import type { Destination } from '../balance/destination.ts';
import type { Explanation } from '../balance/explanation.ts';
import type { VirtualService } from '../balance/virtual-service.ts';
import type { Endpoint } from '../model/connection-status.ts';
import type {
  PacketTrace,
  TracedChoice,
  TracedConnection,
  TracedEgress,
  TracedOutput,
  TracedService,
  TracedTemplate,
} from '../model/packet-trace.ts';
import { TICKS_PER_SECOND } from '../model/settings.ts';
import { formatMac, formatWords } from '../wire/address.ts';
import type { Endpoints } from '../wire/endpoints.ts';
import { ETHERNET_HEADER_BYTES } from '../wire/ethernet.ts';
import type { AddressWords } from '../wire/neighbor-discovery.ts';
import { type PacketBatch, TO_HOST } from '../wire/packet-batch.ts';
import { ConnectionFlag, DESTINATION, FLAGS, NO_ROW, ROW_SHIFT, STATE, TIMEOUT_TICKS } from './connection.ts';
import { stateNameOf, statusOf } from './connection-listing.ts';
import type { EngineContext } from './context.ts';
import type { Egress } from './egress.ts';
import { secondsLeft } from './lifetime.ts';
import type { Packet } from './packet.ts';
import { OUTPUT } from './protocols/tcp-states.ts';
import { DROP, REASON, REASON_EXPLANATIONS, REASON_NAMES, VERDICT_NAMES } from './verdict.ts';

const FTP_PORT = 21;
/** Frames said because of one packet that are told; a super-frame in a tunnel can be many. */
const OUTPUTS_MAX = 64;

const METHOD_NAMES = ['masquerade', 'local', 'tunnel', 'direct', 'bypass'] as const;

/** What somebody wants to hear of. */
export interface Listener {
  /** Bytes of each frame that are kept. */
  readonly snapBytes: number;
  /** Asked with the facts; before anything is put into words. */
  wants(facts: Facts): boolean;
  hear(trace: PacketTrace): void;
}

/** The facts about one packet as they are collected, in the engine's own terms. */
export interface Facts {
  readonly packet: Packet;
  readonly verdict: number;
  readonly isNew: boolean;
  /** Row of the connection, NO_ROW: none, or it is gone already. */
  readonly row: number;
  readonly context: EngineContext;
  readonly ends: OriginalEnds;
}

/** The ends as they were before the packet was rewritten. One object, filled anew for each packet. */
export class OriginalEnds implements Endpoints {
  /** An IP packet whose headers could be read. */
  isIp = false;
  ipv6 = false;
  protocol = 0;
  tcpFlags = 0;
  source0 = 0;
  source1 = 0;
  source2 = 0;
  source3 = 0;
  sourcePort = 0;
  destination0 = 0;
  destination1 = 0;
  destination2 = 0;
  destination3 = 0;
  destinationPort = 0;

  fill(packet: Packet): void {
    this.isIp = true;
    this.ipv6 = packet.ipv6;
    this.protocol = packet.protocol;
    this.tcpFlags = packet.tcpFlags;
    this.source0 = packet.source0;
    this.source1 = packet.source1;
    this.source2 = packet.source2;
    this.source3 = packet.source3;
    this.sourcePort = packet.sourcePort;
    this.destination0 = packet.destination0;
    this.destination1 = packet.destination1;
    this.destination2 = packet.destination2;
    this.destination3 = packet.destination3;
    this.destinationPort = packet.destinationPort;
  }
}

export class Observation {
  readonly #context: EngineContext;
  readonly #listeners = new Set<Listener>();
  #before: Uint8Array = new Uint8Array(0);
  #bytes = 0;
  #batch!: PacketBatch;
  #slot = 0;
  #outboxBefore = 0;
  #segmentBytes = 0;
  #partialChecksum = false;
  #service: VirtualService | null = null;
  #explanation: Explanation | null = null;
  #loads: readonly TracedChoice['candidates'][number][] = [];
  #chosen: Destination | null = null;
  #template: TracedTemplate | null = null;
  #row = NO_ROW;
  #direction = 0;
  #isNew = false;
  #isError = false;
  #stateBefore = 0;
  #secondsBefore = 0;
  #timeoutTicks = 0;
  /** Of a connection that does not outlive its packet. */
  #connection: TracedConnection | null = null;
  #egress: Egress | null = null;
  #remarks: string[] = [];
  readonly #ends = new OriginalEnds();

  constructor(context: EngineContext) {
    this.#context = context;
  }

  get isIdle(): boolean {
    return this.#listeners.size === 0;
  }

  add(listener: Listener): void {
    this.#listeners.add(listener);
  }

  delete(listener: Listener): void {
    this.#listeners.delete(listener);
  }

  /** A packet begins: its bytes are copied, since it is rewritten where it lies. */
  begin(packet: Packet): void {
    let snapBytes = 0;
    for (const listener of this.#listeners) snapBytes = Math.max(snapBytes, listener.snapBytes);
    this.#bytes = packet.end - packet.start;
    this.#before = packet.bytes.slice(packet.start, Math.min(packet.end, packet.start + snapBytes));
    this.#batch = packet.batch;
    this.#slot = packet.slot;
    this.#outboxBefore = this.#context.outbox.count;
    this.#segmentBytes = packet.segmentBytes;
    this.#partialChecksum = packet.partialChecksum;
    this.#ends.isIp = false;
    this.#service = null;
    this.#explanation = null;
    this.#loads = [];
    this.#chosen = null;
    this.#template = null;
    this.#row = NO_ROW;
    this.#isNew = false;
    this.#isError = false;
    this.#connection = null;
    this.#egress = null;
    if (this.#remarks.length > 0) this.#remarks = [];
  }

  /** Step 1 is done: an IP packet, whole, with its ends. */
  recognised(packet: Packet): void {
    this.#ends.fill(packet);
  }

  /** Step 5: a service covers the packet. */
  matched(service: VirtualService): void {
    this.#service = service;
  }

  /** Step 5: before the scheduler picks. */
  weigh(service: VirtualService, explanation: Explanation): void {
    this.#service = service;
    this.#explanation = explanation;
    // Loads change as soon as the connection is made.
    this.#loads = explanation.candidates.map(({ destination, sum, passedBy }) => ({
      server: endpointOf(destination),
      weight: destination.weight,
      active: destination.activeConnections,
      inactive: destination.inactiveConnections,
      sum,
      passedBy,
    }));
  }

  picked(destination: Destination | null): void {
    this.#chosen = destination;
  }

  /** Step 5: the template that decides. */
  tied(row: number, how: TracedTemplate['how']): void {
    const { client, destination, expiresSeconds } = statusOf(this.#context, row);
    const before = this.#template;
    this.#template = {
      how: how === 'made' && before?.how === 'replaced' ? 'replaced' : how,
      client: client.address,
      server: destination,
      expiresSeconds,
    };
  }

  /** Step 4 or 5: the connection, before the packet changes it. */
  belongs(row: number, direction: number, isError = false): void {
    const { rows } = this.#context.connections;
    const base = row << ROW_SHIFT;
    this.#row = row;
    this.#direction = direction;
    this.#isError = isError;
    this.#stateBefore = rows[base + STATE] as number;
    this.#timeoutTicks = rows[base + TIMEOUT_TICKS] as number;
    this.#secondsBefore = secondsLeft(this.#context, row);
  }

  /** Step 5: the connection that follows was made for this packet. */
  opened(): void {
    this.#isNew = true;
  }

  /** Step 6: after the transition. */
  moved(row: number): void {
    const { rows } = this.#context.connections;
    const base = row << ROW_SHIFT;
    this.#timeoutTicks = rows[base + TIMEOUT_TICKS] as number;
    if (((rows[base + FLAGS] as number) & ConnectionFlag.ONE_PACKET) !== 0) this.#connection = this.#describe(row);
  }

  /** Step 7: the way out. */
  leaves(egress: Egress): void {
    this.#egress = egress;
  }

  remark(text: string): void {
    this.#remarks.push(text);
  }

  /** The packet is decided. */
  end(packet: Packet, verdict: number): void {
    const ends = this.#ends;
    const context = this.#context;
    const row = this.#row !== NO_ROW && context.connections.isUsed(this.#row) ? this.#row : NO_ROW;
    const facts: Facts = { packet, verdict, isNew: this.#isNew, row, context, ends };
    let trace: PacketTrace | null = null;
    for (const listener of this.#listeners) {
      if (!listener.wants(facts)) continue;
      trace ??= this.#describePacket(packet, verdict, row);
      listener.hear(listener.snapBytes < this.#before.length ? cut(trace, listener.snapBytes) : trace);
    }
  }

  #describePacket(packet: Packet, verdict: number, row: number): PacketTrace {
    const context = this.#context;
    const ends = this.#ends;
    const { isIp, ipv6 } = ends;
    const linkName = context.network.link(packet.ingress)?.name ?? String(packet.ingress);
    const { source0, source1, source2, source3, destination0, destination1, destination2, destination3 } = ends;
    const reason = REASON_NAMES[packet.reason] ?? 'none';
    return {
      timeMs: context.nowMs,
      link: linkName,
      mark: packet.mark,
      markedByRule: packet.markedByRule,
      frame: hexOf(this.#before),
      bytes: this.#bytes,
      segmentBytes: this.#segmentBytes,
      partialChecksum: this.#partialChecksum,
      family: isIp ? (ipv6 ? 'ipv6' : 'ipv4') : null,
      protocol: isIp ? ends.protocol : 0,
      source: isIp ? { address: formatWords(ipv6, source0, source1, source2, source3), port: ends.sourcePort } : null,
      destination: isIp
        ? {
            address: formatWords(ipv6, destination0, destination1, destination2, destination3),
            port: ends.destinationPort,
          }
        : null,
      verdict: VERDICT_NAMES[verdict] ?? 'pass',
      reason,
      why: packet.reason === REASON.none ? '' : (REASON_EXPLANATIONS[reason] as string),
      toServiceAddress:
        isIp && context.services.isServiceAddress(ipv6, destination0, destination1, destination2, destination3),
      service: this.#describeService(packet, row),
      template: this.#template,
      choice: this.#describeChoice(),
      connection: this.#connection ?? (row === NO_ROW ? null : this.#describe(row)),
      egress: this.#describeEgress(),
      remarks: this.#remarks,
      outputs: this.#outputs(verdict),
    };
  }

  #describeService(packet: Packet, row: number): TracedService | null {
    let service = this.#service;
    if (service === null && row !== NO_ROW) {
      // Of a connection that was there already: the service of its server.
      const index = this.#context.connections.rows[(row << ROW_SHIFT) + DESTINATION] as number;
      if (index !== NO_ROW) ({ service } = this.#context.services.destinationAt(index));
    }
    if (service === null) return null;
    const port = this.#direction === OUTPUT ? service.port : this.#ends.destinationPort;
    return {
      key: service.key,
      scheduler: service.schedulerName,
      persistenceTimeoutSeconds: service.persistent ? service.persistenceTimeoutTicks / TICKS_PER_SECOND : null,
      onePacket: service.onePacket,
      matchedBy:
        service.mark !== 0 && (packet.mark === service.mark || row !== NO_ROW)
          ? 'mark'
          : service.port === port
            ? 'address and port'
            : service.port === FTP_PORT
              ? 'ftp data'
              : 'address, any port',
    };
  }

  #describeChoice(): TracedChoice | null {
    const explanation = this.#explanation;
    if (explanation === null) return null;
    return {
      scheduler: this.#service?.schedulerName ?? 'none',
      rule: explanation.rule,
      steps: explanation.steps,
      candidates: this.#loads,
      chosen: this.#chosen === null ? null : endpointOf(this.#chosen),
    };
  }

  #describe(row: number): TracedConnection {
    const context = this.#context;
    const { rows } = context.connections;
    const base = row << ROW_SHIFT;
    const flags = rows[base + FLAGS] as number;
    const index = rows[base + DESTINATION] as number;
    const method = METHOD_NAMES[flags & ConnectionFlag.METHOD_MASK] ?? 'bypass';
    return {
      direction: this.#direction === OUTPUT ? 'outbound' : 'inbound',
      isNew: this.#isNew,
      isError: this.#isError,
      method,
      fullNat: (flags & ConnectionFlag.FULL_NAT) !== 0,
      tunnel: method === 'tunnel' && index !== NO_ROW ? context.services.destinationAt(index).tunnel : null,
      stateBefore: stateNameOf(context, row, this.#stateBefore),
      secondsBefore: this.#isNew ? null : this.#secondsBefore,
      after: statusOf(context, row),
      timeoutSeconds: this.#timeoutTicks / TICKS_PER_SECOND,
    };
  }

  #describeEgress(): TracedEgress | null {
    const neighbor = this.#egress?.neighbor ?? null;
    if (this.#egress === null || neighbor === null) return null;
    return {
      link: neighbor.link.name,
      nextHop: textOf(neighbor.ipv6, neighbor),
      byGateway: this.#isGateway(neighbor),
      mtu: this.#egress.mtu,
      mac: neighbor.resolved ? formatMac(neighbor.mac, 0) : null,
      permanent: neighbor.permanent,
    };
  }

  /** A neighbour that the packet, as it leaves, is not itself for. */
  #isGateway(hop: AddressWords & { readonly ipv6: boolean }): boolean {
    const { bytes } = this.#batch;
    const at = (this.#batch.start[this.#slot] as number) + ETHERNET_HEADER_BYTES + (hop.ipv6 ? 24 : 16);
    const words = hop.ipv6 ? [hop.address0, hop.address1, hop.address2, hop.address3] : [hop.address3];
    return words.some((word, index) =>
      [24, 16, 8, 0].some((shift, place) => bytes[at + 4 * index + place] !== ((word >>> shift) & 0xff)),
    );
  }

  #outputs(verdict: number): TracedOutput[] {
    const { outbox } = this.#context;
    const outputs: TracedOutput[] = [];
    if (verdict !== DROP) this.#addOutput(this.#batch, this.#slot, 'packet', outputs);
    for (let slot = this.#outboxBefore; slot < outbox.count; slot++) this.#addOutput(outbox, slot, 'own', outputs);
    return outputs;
  }

  #addOutput(batch: PacketBatch, slot: number, kind: TracedOutput['kind'], into: TracedOutput[]): void {
    const egress = batch.egress[slot] as number;
    if ((egress < 0 && egress !== TO_HOST) || into.length >= OUTPUTS_MAX) return;
    const start = batch.start[slot] as number;
    const end = batch.end[slot] as number;
    let snapBytes = 0;
    for (const listener of this.#listeners) snapBytes = Math.max(snapBytes, listener.snapBytes);
    into.push({
      kind,
      link: egress === TO_HOST ? null : (this.#context.network.link(egress)?.name ?? String(egress)),
      frame: hexOf(batch.bytes.subarray(start, Math.min(end, start + snapBytes))),
      bytes: end - start,
    });
  }
}

/** Tells `listener` of every packet from now on, until the returned function is called. */
export function observe(context: EngineContext, listener: Listener): () => void {
  context.observation ??= new Observation(context);
  context.fastFlows?.takeAllBack();
  const { observation } = context;
  observation.add(listener);
  return () => {
    observation.delete(listener);
    if (observation.isIdle && context.observation === observation) context.observation = null;
  };
}

function cut(trace: PacketTrace, snapBytes: number): PacketTrace {
  const short = (hex: string): string => hex.slice(0, 2 * snapBytes);
  return {
    ...trace,
    frame: short(trace.frame),
    outputs: trace.outputs.map((output) => ({ ...output, frame: short(output.frame) })),
  };
}

function endpointOf({ address, port }: Destination): Endpoint {
  return { address, port };
}

function textOf(ipv6: boolean, { address0, address1, address2, address3 }: AddressWords): string {
  return formatWords(ipv6, address0, address1, address2, address3);
}

const DIGITS = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

function hexOf(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += DIGITS[byte];
  return text;
}

/**
 * As much of a director as it takes to play the master's recordings: connections with their states and templates,
 * as objects. The engine has the real ones; here they only stand behind `SyncSource`.
 */
import { EngineData } from '../../src/balance/persistence-engines/engine.ts';
import { sip } from '../../src/balance/persistence-engines/sip.ts';
import { ConnectionFlag } from '../../src/engine/connection.ts';
import { tcpStateAfter } from '../../src/engine/protocols/tcp.ts';
import {
  INPUT,
  INPUT_ONLY,
  isActiveTcpState,
  OUTPUT,
  TCP_ESTABLISHED,
  TCP_NORMAL_TABLE,
  TCP_TIMEOUT_SECONDS,
} from '../../src/engine/protocols/tcp-states.ts';
import type { SyncSource } from '../../src/engine/sync.ts';
import { firstSyncEnd, type SyncCandidate } from '../../src/engine/sync-needed.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { readInt32, readUint16 } from '../../src/wire/bytes.ts';
import type { SyncConnection } from '../../src/wire/sync-message.ts';

export const TICKS_PER_SECOND = 250;
const TCP = 6;

export interface ServiceOfMaster {
  readonly persistenceSeconds: number;
  readonly engine: string;
  readonly mark: number;
  readonly onePacket: boolean;
  /** By number. */
  readonly method: number;
}

interface Entry {
  readonly ipv6: boolean;
  readonly protocol: number;
  flags: number;
  state: number;
  timeoutSeconds: number;
  readonly client: Int32Array;
  readonly virtual: Int32Array;
  readonly server: Int32Array;
  readonly clientPort: number;
  readonly virtualPort: number;
  readonly serverPort: number;
  readonly controller: number;
  readonly engineData: Uint8Array;
  packets: number;
  syncEnd: number;
  syncState: number;
}

export class DirectorOfRecording implements SyncSource {
  readonly #service: ServiceOfMaster;
  readonly #entries: Entry[] = [];
  readonly #rows = new Map<string, number>();

  constructor(service: ServiceOfMaster) {
    this.#service = service;
  }

  /** A packet from a client that was sent on to `server`, as `output`: its row and packets so far. */
  fromClient(
    packet: Uint8Array,
    output: Uint8Array,
    server: string,
    nowTick: number,
  ): { row: number; packets: number } {
    const { ipv6, protocol, at, source, destination } = read(packet);
    const key = `${source} ${readUint16(packet, at)}`;
    let row = this.#rows.get(key);
    const opens = protocol === TCP && ((packet[at + 13] as number) & 0x16) === 2;
    const old = row === undefined ? undefined : this.#entries[row];
    // A closed connection gives way to a new one from the same port.
    if (row === undefined || (opens && old !== undefined && (old.state === 5 || old.state === 6))) {
      const serverPort = this.#service.method === 0 ? readUint16(output, at + 2) : readUint16(packet, at + 2);
      const controller =
        this.#service.persistenceSeconds === 0 ? -1 : this.#template(packet, server, serverPort, nowTick);
      const onePacket = this.#service.onePacket ? ConnectionFlag.ONE_PACKET : 0;
      row = this.#add(nowTick, {
        ipv6,
        protocol,
        flags: this.#flags() | onePacket,
        client: source,
        virtual: destination,
        server: (parseAddress(server) as { words: Int32Array }).words,
        clientPort: readUint16(packet, at),
        virtualPort: readUint16(packet, at + 2),
        serverPort,
        controller,
      });
      this.#rows.set(key, row);
    }
    const entry = this.#entries[row] as Entry;
    entry.packets++;
    this.#move(entry, packet, at, INPUT);
    return { row, packets: entry.packets };
  }

  fromServer(packet: Uint8Array): void {
    const { at, destination } = read(packet);
    const row = this.#rows.get(`${destination} ${readUint16(packet, at + 2)}`);
    if (row !== undefined) this.#move(this.#entries[row] as Entry, packet, at, OUTPUT);
  }

  #move(entry: Entry, packet: Uint8Array, at: number, direction: number): void {
    if (entry.protocol !== TCP) {
      entry.timeoutSeconds = 300;
      return;
    }
    if (direction === OUTPUT) entry.flags &= ~ConnectionFlag.NO_OUTPUT;
    else if ((entry.flags & ConnectionFlag.NO_OUTPUT) !== 0) direction = INPUT_ONLY;
    entry.state = tcpStateAfter(TCP_NORMAL_TABLE, direction, packet[at + 13] as number, entry.state);
    entry.timeoutSeconds = TCP_TIMEOUT_SECONDS[entry.state] as number;
    const inactive = isActiveTcpState(entry.state) ? 0 : ConnectionFlag.INACTIVE;
    entry.flags = (entry.flags & ~ConnectionFlag.INACTIVE) | inactive;
    const controller = this.#entries[entry.controller];
    if (controller !== undefined && entry.state === TCP_ESTABLISHED) controller.state |= 1;
  }

  #template(packet: Uint8Array, server: string, serverPort: number, nowTick: number): number {
    const { ipv6, protocol, at, source, destination } = read(packet);
    const { mark, engine, persistenceSeconds } = this.#service;
    let engineData: Uint8Array = new Uint8Array(0);
    if (engine !== '') {
      const found = new EngineData();
      if (!sip.find(packet, at + 8, packet.length, found)) throw new Error('a recorded packet without a Call-ID');
      engineData = packet.slice(found.at, found.at + found.byteCount);
    }
    const key = `template ${source} ${engineData}`;
    const known = this.#rows.get(key);
    if (known !== undefined) return known;
    const row = this.#add(nowTick, {
      ipv6,
      protocol: mark !== 0 ? 0 : protocol,
      flags: this.#flags() | ConnectionFlag.TEMPLATE,
      client: source,
      virtual: mark !== 0 ? Int32Array.of(0, 0, 0, mark) : destination,
      server: (parseAddress(server) as { words: Int32Array }).words,
      clientPort: 0,
      virtualPort: mark !== 0 ? 0 : readUint16(packet, at + 2),
      serverPort: mark !== 0 ? 0 : serverPort,
      controller: -1,
      engineData,
      timeoutSeconds: persistenceSeconds,
    });
    this.#rows.set(key, row);
    return row;
  }

  #flags(): number {
    const { method } = this.#service;
    return ConnectionFlag.INACTIVE | method | (method === 0 ? 0 : ConnectionFlag.NO_OUTPUT);
  }

  #add(
    nowTick: number,
    entry: Omit<Entry, 'state' | 'timeoutSeconds' | 'engineData' | 'packets' | 'syncEnd' | 'syncState'> &
      Partial<Entry>,
  ): number {
    const rest = { state: 0, timeoutSeconds: 2, engineData: new Uint8Array(0), packets: 0, syncState: 0 };
    return this.#entries.push({ ...rest, syncEnd: firstSyncEnd(nowTick), ...entry }) - 1;
  }

  #at(row: number): Entry {
    return this.#entries[row] as Entry;
  }

  controllerOf(row: number): number {
    return this.#at(row).controller;
  }

  isTemplate(row: number): boolean {
    return (this.#at(row).flags & ConnectionFlag.TEMPLATE) !== 0;
  }

  isOnePacket(row: number): boolean {
    return (this.#at(row).flags & ConnectionFlag.ONE_PACKET) !== 0;
  }

  isIpv6(row: number): boolean {
    return this.#at(row).ipv6;
  }

  countPacket(row: number): number {
    return ++this.#at(row).packets;
  }

  describeCandidate(row: number, into: SyncCandidate): void {
    const entry = this.#at(row);
    into.protocol = entry.protocol;
    into.isTemplate = this.isTemplate(row);
    into.hasTemplate = entry.controller >= 0;
    into.state = entry.state;
    into.timeoutTicks = entry.timeoutSeconds * TICKS_PER_SECOND;
    into.syncEnd = entry.syncEnd;
    into.syncState = entry.syncState;
  }

  remember(row: number, { syncEnd, syncState }: SyncCandidate): void {
    Object.assign(this.#at(row), { syncEnd, syncState });
  }

  describe(row: number, into: SyncConnection): void {
    const entry = this.#at(row);
    into.ipv6 = entry.ipv6;
    into.protocol = entry.protocol;
    into.flags = entry.flags | ConnectionFlag.HASHED;
    into.state = entry.state;
    into.clientPort = entry.clientPort;
    into.virtualPort = entry.virtualPort;
    into.destinationPort = entry.serverPort;
    into.mark = this.#service.mark;
    into.timeoutSeconds = entry.timeoutSeconds;
    into.client.set(entry.client);
    into.virtual.set(entry.virtual);
    into.destination.set(entry.server);
    into.engineData = entry.engineData;
    into.engineName = entry.engineData.length > 0 ? this.#service.engine : '';
  }
}

function read(packet: Uint8Array) {
  const ipv6 = (packet[0] as number) >>> 4 === 6;
  const words = (at: number) =>
    ipv6
      ? Int32Array.from([0, 4, 8, 12], (i) => readInt32(packet, at + i))
      : Int32Array.of(0, 0, 0, readInt32(packet, at));
  return {
    ipv6,
    protocol: packet[ipv6 ? 6 : 9] as number,
    at: ipv6 ? 40 : 20,
    source: words(ipv6 ? 8 : 12),
    destination: words(ipv6 ? 24 : 16),
  };
}

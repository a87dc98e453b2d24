/**
 * The flows of a connection, written from its row: what its packets look like when they come, and when they leave.
 * One object is filled again and again; who takes a flow copies what it needs.
 */
import type { Flow } from '../wire/fast-path.ts';
import {
  CLIENT_AND_VIRTUAL_PORT,
  CLIENT0,
  CLIENT3,
  ConnectionFlag,
  DESTINATION_AND_LOCAL_PORT,
  FLAGS,
  KIND,
  KIND_IPV6,
  LOCAL3,
  METHOD_MASQUERADE,
  ROW_SHIFT,
  SERVER0,
  SERVER3,
  VIRTUAL0,
  VIRTUAL3,
} from './connection.ts';
import type { ConnectionTable } from './connection-table.ts';
import type { Egress } from './egress.ts';
import type { Neighbor } from './neighbor.ts';

type Words = readonly [word0: number, word1: number, word2: number, word3: number];

const NO_MAC = new Uint8Array(6);

export class FlowDraft implements Flow {
  ipv6 = false;
  protocol = 0;
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
  newSource0 = 0;
  newSource1 = 0;
  newSource2 = 0;
  newSource3 = 0;
  newSourcePort = 0;
  newDestination0 = 0;
  newDestination1 = 0;
  newDestination2 = 0;
  newDestination3 = 0;
  newDestinationPort = 0;
  linkIndex = 0;
  destinationMac: Uint8Array = NO_MAC;
  sourceMac: Uint8Array = NO_MAC;
  mtu = 0;

  /** From the client to the server by `egress`. Direct routing leaves both ends as they are. */
  fillInbound(connections: ConnectionTable, row: number, egress: Egress): void {
    const { rows } = connections;
    const base = row << ROW_SHIFT;
    const ports = rows[base + CLIENT_AND_VIRTUAL_PORT] as number;
    const client = wordsAt(rows, base, CLIENT0, CLIENT3);
    const virtual = wordsAt(rows, base, VIRTUAL0, VIRTUAL3);
    this.#begin(rows, base);
    this.#from(client, ports >>> 16);
    this.#to(virtual, ports & 0xffff);
    this.#newFrom(client, ports >>> 16);
    this.#newTo(virtual, ports & 0xffff);
    const flags = rows[base + FLAGS] as number;
    if ((flags & ConnectionFlag.METHOD_MASK) === METHOD_MASQUERADE) {
      const serverPorts = rows[base + DESTINATION_AND_LOCAL_PORT] as number;
      this.#newTo(wordsAt(rows, base, SERVER0, SERVER3), serverPorts >>> 16);
      if ((flags & ConnectionFlag.FULL_NAT) !== 0) this.#newFrom(localOf(connections, row), serverPorts & 0xffff);
    }
    this.#leaveBy(egress);
  }

  /** From the server of a masquerade connection to its client by `egress`. */
  fillOutbound(connections: ConnectionTable, row: number, egress: Egress): void {
    const { rows } = connections;
    const base = row << ROW_SHIFT;
    const ports = rows[base + CLIENT_AND_VIRTUAL_PORT] as number;
    this.fillReply(connections, row);
    this.#newFrom(wordsAt(rows, base, VIRTUAL0, VIRTUAL3), ports & 0xffff);
    this.#newTo(wordsAt(rows, base, CLIENT0, CLIENT3), ports >>> 16);
    this.#leaveBy(egress);
  }

  /** Only what packets look like that come as replies of the connection, whatever its method. */
  fillReply(connections: ConnectionTable, row: number): void {
    const { rows } = connections;
    const base = row << ROW_SHIFT;
    const ports = rows[base + CLIENT_AND_VIRTUAL_PORT] as number;
    const serverPorts = rows[base + DESTINATION_AND_LOCAL_PORT] as number;
    const flags = rows[base + FLAGS] as number;
    this.#begin(rows, base);
    if ((flags & ConnectionFlag.METHOD_MASK) === METHOD_MASQUERADE) {
      this.#from(wordsAt(rows, base, SERVER0, SERVER3), serverPorts >>> 16);
    } else {
      this.#from(wordsAt(rows, base, VIRTUAL0, VIRTUAL3), ports & 0xffff);
    }
    if ((flags & ConnectionFlag.FULL_NAT) !== 0) this.#to(localOf(connections, row), serverPorts & 0xffff);
    else this.#to(wordsAt(rows, base, CLIENT0, CLIENT3), ports >>> 16);
  }

  #begin(rows: Int32Array, base: number): void {
    const kind = rows[base + KIND] as number;
    this.ipv6 = (kind & KIND_IPV6) !== 0;
    this.protocol = kind & 0xff;
  }

  #leaveBy(egress: Egress): void {
    const { link, mac } = egress.neighbor as Neighbor;
    this.linkIndex = link.index;
    this.destinationMac = mac;
    this.sourceMac = link.mac;
    this.mtu = egress.mtu;
  }

  #from(words: Words, port: number): void {
    [this.source0, this.source1, this.source2, this.source3] = words;
    this.sourcePort = port;
  }

  #to(words: Words, port: number): void {
    [this.destination0, this.destination1, this.destination2, this.destination3] = words;
    this.destinationPort = port;
  }

  #newFrom(words: Words, port: number): void {
    [this.newSource0, this.newSource1, this.newSource2, this.newSource3] = words;
    this.newSourcePort = port;
  }

  #newTo(words: Words, port: number): void {
    [this.newDestination0, this.newDestination1, this.newDestination2, this.newDestination3] = words;
    this.newDestinationPort = port;
  }
}

function wordsAt(rows: Int32Array, base: number, prefix: number, last: number): Words {
  const at = base + prefix;
  return [rows[at] as number, rows[at + 1] as number, rows[at + 2] as number, rows[base + last] as number];
}

/** The director's own address of a full-NAT connection. */
function localOf({ rows, localPrefixes }: ConnectionTable, row: number): Words {
  const base = row << ROW_SHIFT;
  const last = rows[base + LOCAL3] as number;
  if (((rows[base + KIND] as number) & KIND_IPV6) === 0) return [0, 0, 0, last];
  const at = 3 * row;
  return [localPrefixes[at] as number, localPrefixes[at + 1] as number, localPrefixes[at + 2] as number, last];
}

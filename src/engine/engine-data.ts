/** What a persistence engine found in the packet in hand, and how templates that go by it are told apart. */

import { EngineData } from '../balance/persistence-engines/engine.ts';
import { findPersistenceEngine } from '../balance/persistence-engines/index.ts';
import type { VirtualService } from '../balance/virtual-service.ts';
import { PROTOCOL_UDP } from '../wire/ipv4.ts';
import { UDP_HEADER_BYTES } from '../wire/udp.ts';
import type { EngineContext } from './context.ts';
import type { Packet } from './packet.ts';

const FNV_PRIME = 0x01000193;

/** The data of the packet that is being admitted; `byteCount` 0: its service uses no engine. */
export const engineData: EngineData = new EngineData();

/** Finds the data that the service's engine asks for. False: the packet has none, it is not to be balanced. */
export function findEngineData(packet: Packet, service: VirtualService): boolean {
  engineData.byteCount = 0;
  const engine = service.persistenceEngine === null ? null : findPersistenceEngine(service.persistenceEngine);
  if (engine === null) return true;
  if (!engine.protocols.includes(packet.protocol)) return false;
  const headerBytes = packet.protocol === PROTOCOL_UDP ? UDP_HEADER_BYTES : packet.headerBytes;
  return engine.find(packet.bytes, packet.transportAt + headerBytes, packet.end, engineData);
}

/** A number that templates with the same data share, 0 without data. Seeded: nobody outside can aim for one. */
export function engineDataTag(context: EngineContext, packet: Packet): number {
  return tagOfData(context, packet.bytes, engineData.at, engineData.byteCount);
}

/** The same for data that lies elsewhere. */
export function tagOfData(context: EngineContext, bytes: Uint8Array, at: number, byteCount: number): number {
  if (byteCount === 0) return 0;
  let hash = context.connections.seed;
  for (let i = 0; i < byteCount; i++) {
    hash = Math.imul(hash ^ (bytes[at + i] as number), FNV_PRIME);
    hash ^= hash >>> 15;
  }
  return hash === 0 ? 1 : hash;
}

/** True when a template's data is what the packet in hand has. */
export function hasEngineData(context: EngineContext, row: number, packet: Packet): boolean {
  const data = context.connections.templateData.get(row);
  if (data === undefined) return engineData.byteCount === 0;
  if (data.bytes.length !== engineData.byteCount) return false;
  for (let i = 0; i < data.bytes.length; i++) {
    if (data.bytes[i] !== packet.bytes[engineData.at + i]) return false;
  }
  return true;
}

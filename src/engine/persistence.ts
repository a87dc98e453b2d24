/**
 * Persistence: a template ties a client network to a destination for a while; connections made under it go there,
 * whatever the scheduler thinks. Behaviour: ipvsadm(8), option -p.
 */
import type { Destination } from '../balance/destination.ts';
import type { VirtualService } from '../balance/virtual-service.ts';
import type { Endpoints } from '../wire/endpoints.ts';
import { CLIENT_AND_VIRTUAL_PORT, DESTINATION, DESTINATION_AND_LOCAL_PORT, NO_ROW, ROW_SHIFT } from './connection.ts';
import type { EngineContext } from './context.ts';
import { createTemplate } from './create-connection.ts';
import { engineData, engineDataTag, hasEngineData } from './engine-data.ts';
import type { Packet } from './packet.ts';
import { schedule } from './schedule.ts';

const FTP_PORT = 21;
/** Ports of a template that must not be found any more. */
const INVALID_PORT = 0xffff;

/** The key of a template in the form of a lookup: the network as source, what it is tied to as destination. */
class TemplateKey implements Endpoints {
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
}

export const templateKey: TemplateKey = new TemplateKey();

/**
 * The template for a client, made if there is none that holds. NO_ROW: the scheduler found nobody, or (with
 * `creation.refusedFor` set) the table is full.
 */
export function findOrMakeTemplate(
  context: EngineContext,
  packet: Packet,
  ends: Endpoints,
  service: VirtualService,
): number {
  fillKey(ends, service);
  const { connections } = context;
  const known = connections.findTemplate(templateKey, engineDataTag(context, packet));
  if (known !== NO_ROW && hasEngineData(context, known, packet)) {
    if (templateHolds(context, known)) {
      context.observation?.tied(known, 'found');
      return known;
    }
    context.observation?.tied(known, 'replaced');
    invalidate(context, known);
  }
  const destination = schedule(context, ends, service);
  if (destination === null) return NO_ROW;
  const row = makeTemplate(context, packet, ends, service, destination);
  if (row !== NO_ROW) context.observation?.tied(row, 'made');
  return row;
}

/** After `fillKey`. */
export function makeTemplate(
  context: EngineContext,
  packet: Packet,
  ends: Endpoints,
  service: VirtualService,
  destination: Destination,
): number {
  const own = ends.destinationPort === service.port && service.port !== FTP_PORT;
  const tag = engineDataTag(context, packet);
  const row = createTemplate(context, templateKey, service, destination, own ? destination.port : 0, tag);
  if (row !== NO_ROW && tag !== 0) {
    const bytes = packet.bytes.slice(engineData.at, engineData.at + engineData.byteCount);
    context.connections.templateData.set(row, { name: service.persistenceEngine as string, bytes });
  }
  return row;
}

/**
 * What the template goes by: the service's own port alone, or, for any other port of it, all ports together; FTP has
 * one template for both of its connections.
 */
export function fillKey(ends: Endpoints, service: VirtualService): void {
  const key = templateKey;
  key.ipv6 = ends.ipv6;
  key.source0 = ends.source0 & service.netmask0;
  key.source1 = ends.source1 & service.netmask1;
  key.source2 = ends.source2 & service.netmask2;
  key.source3 = ends.source3 & service.netmask3;
  key.sourcePort = 0;
  key.protocol = ends.protocol;
  key.destination0 = ends.destination0;
  key.destination1 = ends.destination1;
  key.destination2 = ends.destination2;
  key.destination3 = ends.destination3;
  key.destinationPort = 0;
  if (ends.destinationPort === service.port) {
    if (service.port !== FTP_PORT) key.destinationPort = service.port;
  } else if (service.mark !== 0) {
    key.protocol = 0;
    key.destination0 = key.destination1 = key.destination2 = key.destination3 = 0;
    if (ends.ipv6) key.destination0 = service.mark | 0;
    else key.destination3 = service.mark | 0;
  }
}

export function templateHolds(context: EngineContext, row: number): boolean {
  const index = context.connections.rows[(row << ROW_SHIFT) + DESTINATION] as number;
  if (index === NO_ROW) return false;
  const destination = context.services.destinationAt(index);
  if (!destination.available) return false;
  return context.settings.expire_quiescent_template === 0 || destination.weight !== 0;
}

/** Makes a template unfindable; it stays until its timer fires, for the connections under it. */
export function invalidate(context: EngineContext, row: number): void {
  const { connections } = context;
  const { rows } = connections;
  const base = row << ROW_SHIFT;
  if ((rows[base + CLIENT_AND_VIRTUAL_PORT] as number) === INVALID_PORT) return;
  connections.remove(row);
  rows[base + CLIENT_AND_VIRTUAL_PORT] = INVALID_PORT;
  rows[base + DESTINATION_AND_LOCAL_PORT] = INVALID_PORT << 16;
  connections.insert(row);
}

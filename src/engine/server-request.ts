/**
 * A real server that speaks first (SIP over UDP): with a persistence engine that can tell what its packet belongs to,
 * a connection is made as if its receiver had asked, and the packet leaves as a reply.
 */
import { findPersistenceEngine } from '../balance/persistence-engines/index.ts';
import { PROTOCOL_UDP } from '../wire/ipv4.ts';
import { DESTINATION, NO_ROW, ROW_SHIFT } from './connection.ts';
import type { EngineContext } from './context.ts';
import { createConnection } from './create-connection.ts';
import { engineDataTag, findEngineData, hasEngineData } from './engine-data.ts';
import { restartTimer } from './lifetime.ts';
import type { Packet } from './packet.ts';
import { fillKey, invalidate, makeTemplate, templateHolds, templateKey } from './persistence.ts';

const ends = {
  ipv6: false,
  protocol: PROTOCOL_UDP,
  source0: 0,
  source1: 0,
  source2: 0,
  source3: 0,
  sourcePort: 0,
  destination0: 0,
  destination1: 0,
  destination2: 0,
  destination3: 0,
  destinationPort: 0,
};

/** The row of the new connection, NO_ROW: this is no such packet. */
export function requestFromServer(context: EngineContext, packet: Packet): number {
  const { services, connections } = context;
  const { ipv6, source0, source1, source2, source3, sourcePort } = packet;
  if (sourcePort === 0) return NO_ROW;
  const server = services.findRealServer(PROTOCOL_UDP, ipv6, source0, source1, source2, source3, sourcePort);
  if (server === null) return NO_ROW;
  const { service } = server;
  const engine = service.persistenceEngine === null ? null : findPersistenceEngine(service.persistenceEngine);
  if (engine === null || !engine.startsFromServers || service.mark !== 0 || service.port === 0) return NO_ROW;
  if (!findEngineData(packet, service)) return NO_ROW;
  ends.ipv6 = ipv6;
  ends.source0 = packet.destination0;
  ends.source1 = packet.destination1;
  ends.source2 = packet.destination2;
  ends.source3 = packet.destination3;
  ends.sourcePort = packet.destinationPort;
  ends.destination0 = service.address0;
  ends.destination1 = service.address1;
  ends.destination2 = service.address2;
  ends.destination3 = service.address3;
  ends.destinationPort = service.port;
  fillKey(ends, service);
  let template = connections.findTemplate(templateKey, engineDataTag(context, packet));
  if (template !== NO_ROW && !hasEngineData(context, template, packet)) template = NO_ROW;
  const leadsThere = template !== NO_ROW && connections.rows[(template << ROW_SHIFT) + DESTINATION] === server.index;
  if (template !== NO_ROW && (!leadsThere || !templateHolds(context, template))) {
    invalidate(context, template);
    template = NO_ROW;
  }
  if (template === NO_ROW) template = makeTemplate(context, packet, ends, service, server);
  if (template === NO_ROW) return NO_ROW;
  // The packet goes to the client: rules about the way to servers are not asked.
  const row = createConnection(context, ends, service, server, sourcePort, service.onePacket, template, null);
  // A new member keeps the template alive, the traffic of members does not.
  restartTimer(context, template);
  return row;
}

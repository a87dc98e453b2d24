/** What the backup does on the connection table. */
import type { Destination } from '../balance/destination.ts';
import { findPersistenceEngine } from '../balance/persistence-engines/index.ts';
import type { Endpoints } from '../wire/endpoints.ts';
import { PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/ipv4.ts';
import type { SyncConnection } from '../wire/sync-message.ts';
import {
  ConnectionFlag,
  DESTINATION,
  DESTINATION_AND_LOCAL_PORT,
  FLAGS,
  LOCAL3,
  NO_ROW,
  PACKETS,
  ROW_SHIFT,
  SERVER0,
  SERVER3,
  SERVICE_MARK,
  STATE,
  TIMEOUT_TICKS,
} from './connection.ts';
import type { EngineContext } from './context.ts';
import { fillEnds, METHOD_NUMBER } from './create-connection.ts';
import { tagOfData } from './engine-data.ts';
import { expireSoon, restartTimer } from './lifetime.ts';
import { SCTP_TIMEOUT_SECONDS } from './protocols/sctp-states.ts';
import { boundFlags, findSyncDestination, type SyncTable } from './sync-backup.ts';

const TICKS_PER_SECOND = 250;

/** A connection of a message in the form of a packet from its client. */
const ends = {
  ipv6: false,
  protocol: 0,
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

export function syncTable(context: EngineContext): SyncTable {
  const { connections, services } = context;
  const { rows } = connections;
  return {
    hasEngine: (name) => findPersistenceEngine(name) !== null,
    timeoutTicks(protocol, state) {
      if (protocol === PROTOCOL_TCP) return context.tcpTimeoutTicks[state] ?? 0;
      if (protocol === PROTOCOL_UDP) return context.udpTimeoutTicks;
      return protocol === PROTOCOL_SCTP ? (SCTP_TIMEOUT_SECONDS[state] ?? 0) * TICKS_PER_SECOND : 0;
    },
    findConnection: (connection) => connections.findInbound(endsOf(connection)),
    findTemplate: (connection) => connections.findTemplate(endsOf(connection), tagOf(context, connection)),
    leadsTo(row, connection) {
      const base = row << ROW_SHIFT;
      const [d0, d1, d2, d3] = connection.destination;
      return (
        (rows[base + DESTINATION_AND_LOCAL_PORT] as number) >>> 16 === connection.destinationPort &&
        rows[base + SERVER3] === d3 &&
        rows[base + SERVER0] === d0 &&
        rows[base + SERVER0 + 1] === d1 &&
        rows[base + SERVER0 + 2] === d2
      );
    },
    expireNow: (row) => expireSoon(context, row),
    flagsOf: (row) => rows[(row << ROW_SHIFT) + FLAGS] as number,
    renew(row, flags, connection) {
      const base = row << ROW_SHIFT;
      const index = rows[base + DESTINATION] as number;
      const before = rows[base + FLAGS] as number;
      const isTemplate = (before & ConnectionFlag.TEMPLATE) !== 0;
      rows[base + FLAGS] = flags;
      if (index === NO_ROW) {
        const destination = findSyncDestination(services, connection);
        if (destination !== null) bind(context, row, destination, flags);
      } else if (!isTemplate && ((before ^ flags) & ConnectionFlag.INACTIVE) !== 0) {
        services.destinationAt(index).setInactive((flags & ConnectionFlag.INACTIVE) !== 0);
      }
    },
    create(connection, flags) {
      const { client, ipv6 } = connection;
      const [c0, c1, c2, c3] = client as unknown as [number, number, number, number];
      if (context.shard !== null && !context.shard.ownsClient(ipv6, c0, c1, c2, c3)) return NO_ROW;
      const row = connections.allocate();
      if (row === NO_ROW) return row;
      const base = row << ROW_SHIFT;
      const tag = tagOf(context, connection);
      fillEnds(rows, base, endsOf(connection));
      rows[base + DESTINATION_AND_LOCAL_PORT] = connection.destinationPort << 16;
      rows[base + SERVER0] = connection.destination[0] as number;
      rows[base + SERVER0 + 1] = connection.destination[1] as number;
      rows[base + SERVER0 + 2] = connection.destination[2] as number;
      rows[base + SERVER3] = connection.destination[3] as number;
      rows[base + SERVICE_MARK] = connection.mark;
      rows[base + FLAGS] = flags | (connection.ipv6 ? ConnectionFlag.SERVER_IPV6 : 0);
      if ((flags & ConnectionFlag.TEMPLATE) !== 0) {
        rows[base + LOCAL3] = tag;
        if (tag !== 0) {
          const { engineName: name, engineData } = connection;
          connections.templateData.set(row, { name, bytes: engineData.slice() });
        }
      }
      const destination = findSyncDestination(services, connection);
      if (destination !== null) bind(context, row, destination, rows[base + FLAGS] as number);
      connections.insert(row);
      return row;
    },
    settle(row, connection, timeoutTicks) {
      const base = row << ROW_SHIFT;
      rows[base + STATE] = connection.state;
      connections.rememberSyncState(row, connection.state);
      rows[base + TIMEOUT_TICKS] = timeoutTicks | 0;
      rows[base + PACKETS] = context.settings.sync_threshold[0];
      if (connection.hasSequences) context.helpers.takeSequences(row, connection.sequences, connection.flags);
      restartTimer(context, row);
    },
  };
}

function bind(context: EngineContext, row: number, destination: Destination, flags: number): void {
  const { rows } = context.connections;
  const base = row << ROW_SHIFT;
  const bound = boundFlags(flags, METHOD_NUMBER[destination.method]);
  rows[base + FLAGS] = bound;
  rows[base + DESTINATION] = destination.index;
  destination.bind((bound & ConnectionFlag.INACTIVE) !== 0, (bound & ConnectionFlag.TEMPLATE) !== 0);
}

function tagOf(context: EngineContext, { engineData }: SyncConnection): number {
  return tagOfData(context, engineData, 0, engineData.length);
}

function endsOf(connection: SyncConnection): Endpoints {
  const { client, virtual } = connection;
  ends.ipv6 = connection.ipv6;
  ends.protocol = connection.protocol;
  ends.source0 = client[0] as number;
  ends.source1 = client[1] as number;
  ends.source2 = client[2] as number;
  ends.source3 = client[3] as number;
  ends.sourcePort = connection.clientPort;
  ends.destination0 = virtual[0] as number;
  ends.destination1 = virtual[1] as number;
  ends.destination2 = virtual[2] as number;
  ends.destination3 = virtual[3] as number;
  ends.destinationPort = connection.virtualPort;
  return ends;
}

/** What the master asks about connections, answered from their rows. */
import {
  CLIENT_AND_VIRTUAL_PORT,
  CLIENT0,
  CLIENT3,
  CONTROLLER,
  ConnectionFlag,
  DESTINATION_AND_LOCAL_PORT,
  FLAGS,
  KIND,
  KIND_IPV6,
  NO_ROW,
  PACKETS,
  ROW_SHIFT,
  SERVER0,
  SERVER3,
  SERVICE_MARK,
  STATE,
  SYNC_END_TICK,
  TIMEOUT_TICKS,
  VIRTUAL0,
  VIRTUAL3,
} from './connection.ts';
import type { EngineContext } from './context.ts';
import type { SyncSource } from './sync.ts';

/** Ticks become whole seconds on the wire. */
const TICKS_PER_SECOND = 250;
const NO_DATA = new Uint8Array(0);

export function syncSource(context: EngineContext): SyncSource {
  const { connections } = context;
  const { rows } = connections;
  const flagsOf = (row: number): number => rows[(row << ROW_SHIFT) + FLAGS] as number;
  const controllerOf = (row: number): number => rows[(row << ROW_SHIFT) + CONTROLLER] as number;
  return {
    controllerOf,
    isTemplate: (row) => (flagsOf(row) & ConnectionFlag.TEMPLATE) !== 0,
    isOnePacket: (row) => (flagsOf(row) & ConnectionFlag.ONE_PACKET) !== 0,
    isIpv6: (row) => ((rows[(row << ROW_SHIFT) + KIND] as number) & KIND_IPV6) !== 0,
    countPacket(row) {
      const at = (row << ROW_SHIFT) + PACKETS;
      rows[at] = (rows[at] as number) + 1;
      return rows[at] as number;
    },
    describeCandidate(row, into) {
      const base = row << ROW_SHIFT;
      into.protocol = (rows[base + KIND] as number) & 0xff;
      into.isTemplate = (flagsOf(row) & ConnectionFlag.TEMPLATE) !== 0;
      into.hasTemplate = false;
      for (let above = controllerOf(row); above !== NO_ROW; above = controllerOf(above)) {
        if ((flagsOf(above) & ConnectionFlag.TEMPLATE) !== 0) into.hasTemplate = true;
      }
      into.state = rows[base + STATE] as number;
      into.timeoutTicks = rows[base + TIMEOUT_TICKS] as number;
      into.syncEnd = rows[base + SYNC_END_TICK] as number;
      into.syncState = connections.syncStates[row] ?? 0;
    },
    remember(row, candidate) {
      rows[(row << ROW_SHIFT) + SYNC_END_TICK] = candidate.syncEnd;
      connections.rememberSyncState(row, candidate.syncState);
    },
    describe(row, into) {
      const base = row << ROW_SHIFT;
      const kind = rows[base + KIND] as number;
      const ports = rows[base + CLIENT_AND_VIRTUAL_PORT] as number;
      const data = connections.templateData.get(row);
      into.ipv6 = (kind & KIND_IPV6) !== 0;
      into.protocol = kind & 0xff;
      into.flags = flagsOf(row);
      into.state = rows[base + STATE] as number;
      into.clientPort = ports >>> 16;
      into.virtualPort = ports & 0xffff;
      into.destinationPort = (rows[base + DESTINATION_AND_LOCAL_PORT] as number) >>> 16;
      into.mark = rows[base + SERVICE_MARK] as number;
      into.timeoutSeconds = Math.floor(((rows[base + TIMEOUT_TICKS] as number) >>> 0) / TICKS_PER_SECOND);
      copyAddress(rows, base + CLIENT0, base + CLIENT3, into.client);
      copyAddress(rows, base + VIRTUAL0, base + VIRTUAL3, into.virtual);
      copyAddress(rows, base + SERVER0, base + SERVER3, into.destination);
      context.helpers.describeSequences(row, into.sequences);
      into.engineData = data?.bytes ?? NO_DATA;
      into.engineName = data?.name ?? '';
    },
  };
}

function copyAddress(rows: Int32Array, prefixAt: number, lastAt: number, into: Int32Array): void {
  into[0] = rows[prefixAt] as number;
  into[1] = rows[prefixAt + 1] as number;
  into[2] = rows[prefixAt + 2] as number;
  into[3] = rows[lastAt] as number;
}

/** Rows of the connection table as listings show them, in pages. */

import type { Page } from '../model/commands.ts';
import type { ConnectionStatus } from '../model/connection-status.ts';
import { IpvsError } from '../model/errors.ts';
import { CONNECTION_PAGE_MAX } from '../model/limits.ts';
import { formatWords } from '../wire/address.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/ipv4.ts';
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
  ROW_SHIFT,
  SERVER0,
  SERVER3,
  STATE,
  VIRTUAL0,
  VIRTUAL3,
} from './connection.ts';
import type { EngineContext } from './context.ts';
import { secondsLeft } from './lifetime.ts';
import { TCP_STATE_NAMES } from './protocols/tcp-states.ts';

/** The cursor is the first row of the next page: rows that come and go meanwhile may be missed or seen late. */
export function listConnections(
  context: EngineContext,
  cursor: string | undefined,
  limit: number | undefined,
): Page<ConnectionStatus> {
  const { connections } = context;
  let row = cursor === undefined ? 0 : Number(cursor);
  if (!Number.isInteger(row) || row < 0) throw new IpvsError('EINVAL', `cursor ${cursor} is not one this table gave`);
  const wanted = Math.min(limit ?? CONNECTION_PAGE_MAX, CONNECTION_PAGE_MAX);
  if (!(wanted >= 1)) throw new IpvsError('EINVAL', 'limit must be at least 1');
  const items: ConnectionStatus[] = [];
  for (; row < connections.highWater && items.length < wanted; row++) {
    if (connections.isUsed(row)) items.push(statusOf(context, row));
  }
  return { items, next: row < connections.highWater ? String(row) : null };
}

function statusOf(context: EngineContext, row: number): ConnectionStatus {
  const { rows } = context.connections;
  const base = row << ROW_SHIFT;
  const kind = rows[base + KIND] as number;
  const flags = rows[base + FLAGS] as number;
  const protocol = kind & 0xff;
  const ports = rows[base + CLIENT_AND_VIRTUAL_PORT] as number;
  const serverPorts = rows[base + DESTINATION_AND_LOCAL_PORT] as number;
  const address = (prefix: number, last: number): string =>
    formatWords(
      (kind & KIND_IPV6) !== 0,
      rows[base + prefix] as number,
      rows[base + prefix + 1] as number,
      rows[base + prefix + 2] as number,
      rows[base + last] as number,
    );
  const status: ConnectionStatus = {
    protocol: protocol === PROTOCOL_TCP ? 'TCP' : protocol === PROTOCOL_UDP ? 'UDP' : `IP_${protocol}`,
    client: { address: address(CLIENT0, CLIENT3), port: ports >>> 16 },
    virtual: { address: address(VIRTUAL0, VIRTUAL3), port: ports & 0xffff },
    destination: { address: address(SERVER0, SERVER3), port: serverPorts >>> 16 },
    state: protocol === PROTOCOL_TCP ? (TCP_STATE_NAMES[rows[base + STATE] as number] ?? 'ERR!') : 'UDP',
    expiresSeconds: secondsLeft(context, row),
    template: (flags & ConnectionFlag.TEMPLATE) !== 0,
    origin: (flags & ConnectionFlag.SYNC) !== 0 ? 'SYNC' : 'LOCAL',
  };
  if ((flags & ConnectionFlag.FULL_NAT) === 0) return status;
  const local = formatWords(false, 0, 0, 0, rows[base + LOCAL3] as number);
  return { ...status, local: { address: local, port: serverPorts & 0xffff } };
}

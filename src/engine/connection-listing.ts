/** Rows of the connection table as listings show them, in pages. */

import type { Page } from '../model/commands.ts';
import type { ConnectionStatus } from '../model/connection-status.ts';
import { IpvsError } from '../model/errors.ts';
import { CONNECTION_PAGE_MAX } from '../model/limits.ts';
import { formatWords } from '../wire/address.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/ipv4.ts';
import {
  CLIENT,
  CLIENT_AND_VIRTUAL_PORT,
  ConnectionFlag,
  DESTINATION_ADDRESS,
  DESTINATION_AND_LOCAL_PORT,
  FLAGS,
  KIND,
  KIND_IPV6,
  LOCAL_ADDRESS,
  ROW_SHIFT,
  STATE,
  VIRTUAL,
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
  const address = (at: number): string =>
    formatWords(
      (kind & KIND_IPV6) !== 0,
      rows[base + at] as number,
      rows[base + at + 1] as number,
      rows[base + at + 2] as number,
      rows[base + at + 3] as number,
    );
  const status: ConnectionStatus = {
    protocol: protocol === PROTOCOL_TCP ? 'TCP' : protocol === PROTOCOL_UDP ? 'UDP' : `IP_${protocol}`,
    client: { address: address(CLIENT), port: ports >>> 16 },
    virtual: { address: address(VIRTUAL), port: ports & 0xffff },
    destination: { address: address(DESTINATION_ADDRESS), port: serverPorts >>> 16 },
    state: protocol === PROTOCOL_TCP ? (TCP_STATE_NAMES[rows[base + STATE] as number] ?? 'ERR!') : 'UDP',
    expiresSeconds: secondsLeft(context, row),
    template: (flags & ConnectionFlag.TEMPLATE) !== 0,
    origin: (flags & ConnectionFlag.SYNC) !== 0 ? 'SYNC' : 'LOCAL',
  };
  if ((flags & ConnectionFlag.FULL_NAT) === 0) return status;
  const local = formatWords(false, 0, 0, 0, rows[base + LOCAL_ADDRESS] as number);
  return { ...status, local: { address: local, port: serverPorts & 0xffff } };
}

/** Rows of the connection table as listings show them, in pages. */

import type { Page } from '../model/commands.ts';
import type { ConnectionStatus } from '../model/connection-status.ts';
import { IpvsError } from '../model/errors.ts';
import { CONNECTION_PAGE_MAX } from '../model/limits.ts';
import { formatWords } from '../wire/address.ts';
import { PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/ipv4.ts';
import {
  CLIENT_AND_VIRTUAL_PORT,
  CLIENT0,
  CLIENT3,
  ConnectionFlag,
  DESTINATION,
  DESTINATION_AND_LOCAL_PORT,
  FLAGS,
  KIND,
  KIND_IPV6,
  LOCAL3,
  NO_ROW,
  ROW_SHIFT,
  SERVER0,
  SERVER3,
  STATE,
  VIRTUAL0,
  VIRTUAL3,
} from './connection.ts';
import type { EngineContext } from './context.ts';
import { secondsLeft } from './lifetime.ts';
import { SCTP_STATE_NAMES } from './protocols/sctp-states.ts';
import { TCP_STATE_NAMES } from './protocols/tcp-states.ts';

/** Of a table that was fuller once, a page ends after so many rows, however few of them are in use. */
const ROWS_PER_PAGE_MAX = 65_536;

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
  const end = Math.min(connections.highWater, row + ROWS_PER_PAGE_MAX);
  for (; row < end && items.length < wanted; row++) {
    if (connections.isUsed(row)) items.push(statusOf(context, row));
  }
  return { items, next: row < connections.highWater ? String(row) : null };
}

/** One row, as listings show it. */
export function statusOf(context: EngineContext, row: number): ConnectionStatus {
  const { rows } = context.connections;
  const base = row << ROW_SHIFT;
  const kind = rows[base + KIND] as number;
  const flags = rows[base + FLAGS] as number;
  const protocol = kind & 0xff;
  const ports = rows[base + CLIENT_AND_VIRTUAL_PORT] as number;
  const serverPorts = rows[base + DESTINATION_AND_LOCAL_PORT] as number;
  const ipv6 = (kind & KIND_IPV6) !== 0;
  const template = (flags & ConnectionFlag.TEMPLATE) !== 0;
  const address = (prefix: number, last: number, isIpv6 = ipv6): string =>
    formatWords(
      isIpv6,
      rows[base + prefix] as number,
      rows[base + prefix + 1] as number,
      rows[base + prefix + 2] as number,
      rows[base + last] as number,
    );
  const serverIpv6 = rows[base + DESTINATION] === NO_ROW ? ipv6 : (flags & ConnectionFlag.SERVER_IPV6) !== 0;
  const data = context.connections.templateData.get(row);
  const status: ConnectionStatus = {
    protocol: PROTOCOL_NAMES[protocol] ?? `IP_${protocol}`,
    client: { address: address(CLIENT0, CLIENT3), port: ports >>> 16 },
    virtual: { address: address(VIRTUAL0, VIRTUAL3), port: ports & 0xffff },
    destination: { address: address(SERVER0, SERVER3, serverIpv6), port: serverPorts >>> 16 },
    state: stateName(template ? -1 : protocol, rows[base + STATE] as number),
    expiresSeconds: secondsLeft(context, row),
    template,
    origin: (flags & ConnectionFlag.SYNC) !== 0 ? 'SYNC' : 'LOCAL',
    ...(data === undefined ? {} : { engine: { name: data.name, data: String.fromCharCode(...data.bytes) } }),
  };
  if ((flags & ConnectionFlag.FULL_NAT) === 0) return status;
  const prefixes = context.connections.localPrefixes;
  const word = (index: number): number => (ipv6 ? (prefixes[3 * row + index] as number) : 0);
  const local = formatWords(ipv6, word(0), word(1), word(2), rows[base + LOCAL3] as number);
  return { ...status, local: { address: local, port: serverPorts & 0xffff } };
}

const PROTOCOL_NAMES: Readonly<Record<number, string>> = {
  0: 'IP',
  1: 'ICMP',
  [PROTOCOL_TCP]: 'TCP',
  [PROTOCOL_UDP]: 'UDP',
  58: 'ICMPv6',
  [PROTOCOL_SCTP]: 'SCTP',
};

/** The name of a state that the connection in `row` may have. */
export function stateNameOf(context: EngineContext, row: number, state: number): string {
  const base = row << ROW_SHIFT;
  const { rows } = context.connections;
  const isTemplate = ((rows[base + FLAGS] as number) & ConnectionFlag.TEMPLATE) !== 0;
  return stateName(isTemplate ? -1 : (rows[base + KIND] as number) & 0xff, state);
}

/** `protocol` -1: a template. */
function stateName(protocol: number, state: number): string {
  if (protocol === -1) return ['NONE', 'ASSURED'][state] ?? 'ERR!';
  if (protocol === PROTOCOL_TCP) return TCP_STATE_NAMES[state] ?? 'ERR!';
  if (protocol === PROTOCOL_SCTP) return SCTP_STATE_NAMES[state] ?? 'ERR!';
  if (protocol === PROTOCOL_UDP) return state === 0 ? 'UDP' : 'ERR!';
  return 'NONE';
}

/** `ipvsadm -L -c`: the connection table, page by page, in the order in which the data plane gives it. */
import type { ConnectionStatus, Endpoint } from '../model/connection-status.ts';
import { IpvsError } from '../model/errors.ts';
import type { ServiceProtocol } from '../model/service.ts';
import type { IpvsadmIo, IpvsadmTable } from './io.ts';
import { LineWriter } from './line-writer.ts';
import { refusalText } from './messages.ts';
import { createNaming, type Naming } from './naming.ts';
import type { ConnectionsRequest } from './request.ts';

/** A listing of any length is to need little memory: larger pages are not quicker. */
const ROWS_AT_A_TIME = 1_024;
const TITLE = 'IPVS connection entries';
const HEADING = 'pro expire state       source             virtual            destination';
/** The data below is wider than this heading for it: so it is. */
const ENGINES_HEADING = `${HEADING}        pe name          pe_data`;

const SERVICE_PROTOCOLS: Readonly<Record<string, ServiceProtocol>> = { TCP: 'tcp', UDP: 'udp', SCTP: 'sctp' };

/** Prints and returns the exit status. */
export async function listConnections(
  request: ConnectionsRequest,
  table: IpvsadmTable,
  io: IpvsadmIo,
): Promise<number> {
  const out = new LineWriter(io);
  const naming = createNaming(io.names, request.numeric);
  let headed = false;
  let cursor: string | null = null;
  try {
    do {
      const page: { items: readonly ConnectionStatus[]; next: string | null } = await table.execute<'listConnections'>({
        name: 'listConnections',
        limit: ROWS_AT_A_TIME,
        ...(cursor === null ? {} : { cursor }),
      });
      if (!headed) out.line(TITLE).line(request.engines ? ENGINES_HEADING : HEADING);
      headed = true;
      await naming.prepare(addressesOf(page.items));
      for (const connection of page.items) out.line(connectionLine(connection, naming, request.engines));
      await out.breathe();
      cursor = page.next;
    } while (cursor !== null);
  } catch (error) {
    if (!(error instanceof IpvsError)) throw error;
    await out.end();
    await io.stderr(refusalText(null, error));
    return 1;
  }
  await out.end();
  return 0;
}

function* addressesOf(connections: readonly ConnectionStatus[]): Generator<string> {
  for (const { client, virtual, destination } of connections) {
    yield client.address;
    yield virtual.address;
    yield destination.address;
  }
}

function connectionLine(connection: ConnectionStatus, naming: Naming, withEngines: boolean): string {
  const protocol = SERVICE_PROTOCOLS[connection.protocol] ?? null;
  const name = ({ address, port }: Endpoint) => naming.endpoint(address, port, protocol);
  const start = [
    connection.protocol.padEnd(3),
    formatExpiry(connection.expiresSeconds).padEnd(6),
    connection.state.padEnd(11),
    name(connection.client).padEnd(18),
    name(connection.virtual).padEnd(18),
  ].join(' ');
  const destination = name(connection.destination);
  const { engine } = connection;
  if (!withEngines || engine === undefined) return `${start} ${destination}`;
  return `${start} ${destination.padEnd(16)} ${engine.name.padEnd(18)} ${engine.data}`;
}

/** `MM:SS`; minutes are not limited to two digits. */
function formatExpiry(seconds: number): string {
  const minutes = Math.floor(seconds / 60);
  return `${String(minutes).padStart(2, '0')}:${String(seconds % 60).padStart(2, '0')}`;
}

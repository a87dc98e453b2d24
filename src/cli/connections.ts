/** `uipvs connections`: who is talking to which real server right now. */
import { walkConnections } from '../control/pages.ts';
import type { ConnectionStatus, Endpoint } from '../model/connection-status.ts';
import { formatEndpoint } from '../model/service.ts';
import { type Cli, withDaemon } from './cli.ts';
import { type Word, wholeNumber } from './command-line.ts';
import { printList } from './print-list.ts';
import { draw, WATCH_OPTION } from './watch.ts';

export function connectionsWord(cli: Cli): Word {
  return {
    name: 'connections',
    summary: 'list the connections',
    options: [
      { flags: '--json', description: 'print a JSON array, one connection a line' },
      WATCH_OPTION,
      {
        flags: '--limit <count>',
        description: 'connections at most',
        parse: wholeNumber(1, Number.MAX_SAFE_INTEGER),
      },
    ],
    notes: `Keys of each connection with --json:
  protocol        TCP, UDP, SCTP, or IP for the templates of firewall-mark services
  client, virtual, destination, local
                  address and port; local with full NAT only: what the real server sees
  state           ESTABLISHED, SYN_RECV, FIN_WAIT, UDP, NONE, ...
  expiresSeconds  seconds left
  template        true for a persistence template
  origin          LOCAL, or SYNC when it came from another director
  engine          name and data of the persistence engine, where there is one`,
    run: ({ json, limit, watch }) =>
      withDaemon(cli, (daemon) =>
        draw(cli, watch === true, (canvas) =>
          printList(canvas, walkConnections(daemon), {
            json: json === true,
            oneLine: watch === true,
            heading: row('PROTOCOL', 'EXPIRES', 'STATE', 'CLIENT', 'VIRTUAL', 'DESTINATION'),
            format: formatConnection,
            whenEmpty: 'there are no connections\n',
            // A screen shows no more than its first lines, and the heading is one of them.
            limit: (limit as number | undefined) ?? (json === true ? Number.POSITIVE_INFINITY : canvas.rows - 1),
          }),
        ),
      ),
  };
}

function formatConnection(connection: ConnectionStatus): string {
  const { protocol, expiresSeconds, state, client, virtual, destination, local } = connection;
  const to = local === undefined ? endpoint(destination) : `${endpoint(destination)} as ${endpoint(local)}`;
  return row(protocol, formatMinutes(expiresSeconds), state, endpoint(client), endpoint(virtual), to);
}

function row(protocol: string, expires: string, state: string, client: string, virtual: string, to: string): string {
  return `${protocol.padEnd(8)} ${expires.padEnd(7)} ${state.padEnd(12)} ${client.padEnd(21)} ${virtual.padEnd(21)} ${to}\n`;
}

function endpoint({ address, port }: Endpoint): string {
  return formatEndpoint(address, port);
}

/** `14:59` */
function formatMinutes(seconds: number): string {
  return `${String(Math.floor(seconds / 60)).padStart(2, '0')}:${String(seconds % 60).padStart(2, '0')}`;
}

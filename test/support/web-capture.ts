/**
 * A capture as a director has it that stands between clients and web servers: requests to the VIP, answers of the
 * servers, ten packets a connection, twenty connections side by side. Made without src/wire, in the classic format, in
 * pieces, so that it can be of any size.
 */
import { frame } from './frames.ts';

export const WEB_VIP = '192.168.1.120';
export const WEB_SERVERS = ['192.168.1.11', '192.168.1.12', '192.168.1.13'] as const;
export const WEB_PACKETS_PER_CONNECTION = 10;
export const DIRECTOR_MAC = '02:00:00:00:00:10';
export const ROUTER_MAC = '02:00:00:00:00:64';

const SIDE_BY_SIDE = 20;
const START_SECONDS = 1_700_000_000;
const MICROSECONDS_BETWEEN_PACKETS = 7;
const GET = 'GET / HTTP/1.1\r\nHost: www.example.org\r\n\r\n';
const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello';

export interface WebCaptureOptions {
  readonly connections: number;
  /** Which server the connection was given, from 0; default: as rr chooses, which begins with the server that was added last. */
  readonly serverOf?: (connection: number) => number;
}

/** The file, piece by piece. */
export function* webCapture({ connections, serverOf }: WebCaptureOptions): Generator<Uint8Array> {
  yield fileHeader();
  let packetNumber = 0;
  for (let first = 0; first < connections; first += SIDE_BY_SIDE) {
    const group = Math.min(SIDE_BY_SIDE, connections - first);
    const pieces: Uint8Array[] = [];
    for (let step = 0; step < WEB_PACKETS_PER_CONNECTION; step++) {
      for (let i = 0; i < group; i++) {
        const connection = first + i;
        const server = serverOf?.(connection) ?? WEB_SERVERS.length - 1 - (connection % WEB_SERVERS.length);
        pieces.push(record(packetOf(connection, step, server), packetNumber++));
      }
    }
    yield Buffer.concat(pieces);
  }
}

/** Steps 1, 4, 5 and 8 are the server's. */
function packetOf(connection: number, step: number, server: number): Uint8Array {
  const client = `10.${(connection >>> 14) & 255}.${(connection >>> 6) & 255}.${(connection & 63) + 1}`;
  const port = 20_000 + (connection % 40_000);
  const serverAddress = WEB_SERVERS[server] as string;
  const mine = 1000 + connection;
  const theirs = 500_000 + connection;
  const fromClient = frame().ethernet({ from: ROUTER_MAC, to: DIRECTOR_MAC }).ipv4(client, WEB_VIP, { ttl: 60 });
  const fromServer = frame()
    .ethernet({ from: `02:00:00:00:01:0${server}`, to: DIRECTOR_MAC })
    .ipv4(serverAddress, client, { ttl: 64 });
  const up = mine + 1 + GET.length;
  const down = theirs + 1 + ANSWER.length;
  switch (step) {
    case 0:
      return fromClient.tcp(port, 80, { syn: true, seq: mine });
    case 1:
      return fromServer.tcp(80, port, { syn: true, ack: mine + 1, seq: theirs });
    case 2:
      return fromClient.tcp(port, 80, { ack: theirs + 1, seq: mine + 1 });
    case 3:
      return fromClient.tcp(port, 80, { ack: theirs + 1, psh: true, seq: mine + 1, payload: GET });
    case 4:
      return fromServer.tcp(80, port, { ack: up, seq: theirs + 1 });
    case 5:
      return fromServer.tcp(80, port, { ack: up, psh: true, seq: theirs + 1, payload: ANSWER });
    case 6:
      return fromClient.tcp(port, 80, { ack: down, seq: up });
    case 7:
      return fromClient.tcp(port, 80, { ack: down, fin: true, seq: up });
    case 8:
      return fromServer.tcp(80, port, { ack: up + 1, fin: true, seq: down });
    default:
      return fromClient.tcp(port, 80, { ack: down + 1, seq: up + 1 });
  }
}

/** Little endian, microseconds, Ethernet. */
function fileHeader(): Uint8Array {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(262_144, 16);
  header.writeUInt32LE(1, 20);
  return header;
}

function record(bytes: Uint8Array, packetNumber: number): Uint8Array {
  const microseconds = packetNumber * MICROSECONDS_BETWEEN_PACKETS;
  const header = Buffer.alloc(16);
  header.writeUInt32LE(START_SECONDS + Math.floor(microseconds / 1_000_000), 0);
  header.writeUInt32LE(microseconds % 1_000_000, 4);
  header.writeUInt32LE(bytes.length, 8);
  header.writeUInt32LE(bytes.length, 12);
  return Buffer.concat([header, bytes]);
}

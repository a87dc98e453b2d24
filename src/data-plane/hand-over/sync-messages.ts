/**
 * A connection table, as listings show it, as the datagrams by which directors tell each other of connections
 * (version 1), for another data plane on the same host. Pure.
 */
import { ConnectionFlag } from '../../engine/connection.ts';
import { SCTP_STATE_NAMES } from '../../engine/protocols/sctp-states.ts';
import { TCP_STATE_NAMES } from '../../engine/protocols/tcp-states.ts';
import type { ConnectionStatus, Endpoint } from '../../model/connection-status.ts';
import type { DestinationSpec } from '../../model/destination.ts';
import type { ForwardingMethod } from '../../model/forwarding.ts';
import { isMarkKey, type ServiceKey, type ServiceSpec } from '../../model/service.ts';
import { parseAddress } from '../../wire/address.ts';
import { SYNC_ENGINE_NAME_BYTES_MAX, SyncConnection } from '../../wire/sync-message.ts';
import { SyncMessageWriter } from '../../wire/sync-message-writer.ts';

/** As much of a service as is needed to tell whose a connection is. */
export interface HandedService {
  readonly spec: ServiceSpec;
  readonly destinations: readonly { readonly spec: DestinationSpec }[];
}

export interface HandOver {
  readonly datagrams: readonly Uint8Array[];
  /** Connections and templates in them. */
  readonly kept: number;
  /** Reasons why others cannot be handed over, with how many each. */
  readonly left: ReadonlyMap<string, number>;
}

/** Payload of an Ethernet frame without its IPv4 and UDP headers. */
const DATAGRAM_BYTES_MAX = 1472;
const ENGINE_DATA_BYTES_MAX = 255;
const FTP_PORT = 21;
const PROTOCOL_NUMBERS: Readonly<Record<string, number>> = { IP: 0, TCP: 6, UDP: 17, SCTP: 132 };
const METHOD_NUMBERS: Readonly<Record<ForwardingMethod, number>> = {
  masquerade: 0,
  local: 1,
  tunnel: 2,
  direct: 3,
  bypass: 4,
};
const STATES: Readonly<Record<string, readonly string[]>> = {
  TCP: TCP_STATE_NAMES,
  UDP: ['UDP'],
  SCTP: SCTP_STATE_NAMES,
};
const TEMPLATE_STATES: readonly string[] = ['NONE', 'ASSURED'];

export function writeHandOver(
  connections: Iterable<ConnectionStatus>,
  services: readonly HandedService[],
  syncId: number,
): HandOver {
  const owners = new Owners(services);
  const datagrams: Uint8Array[] = [];
  const left = new Map<string, number>();
  let kept = 0;
  let writer: SyncMessageWriter | null = null;
  const described = new SyncConnection();
  for (const connection of connections) {
    const owner = owners.find(connection);
    const reason = describe(connection, owner, described);
    if (reason !== null) {
      left.set(reason, (left.get(reason) ?? 0) + 1);
      continue;
    }
    kept++;
    if (writer?.append(described)) continue;
    if (writer !== null) datagrams.push(writer.finish());
    writer = new SyncMessageWriter(1, syncId, DATAGRAM_BYTES_MAX, described);
    writer.append(described);
  }
  if (writer !== null) datagrams.push(writer.finish());
  return { datagrams, kept, left };
}

interface Owner {
  readonly key: ServiceKey;
  readonly onePacket: boolean;
  readonly method: ForwardingMethod;
}

/** Fills `into`; or why the connection cannot be handed over. */
function describe(connection: ConnectionStatus, owner: Owner | null, into: SyncConnection): string | null {
  const { protocol, client, virtual, destination, template, state, engine } = connection;
  const number = PROTOCOL_NUMBERS[protocol];
  const stateNumber = (template ? TEMPLATE_STATES : (STATES[protocol] ?? [])).indexOf(state);
  if (number === undefined || stateNumber < 0) return `the state ${state} of ${protocol} is not known to others`;
  if (connection.local !== undefined) return 'full NAT: nobody else knows the address that the server sees';
  if (owner === null) return 'its service or its server is not there any more';
  if (owner.onePacket) return 'one-packet connections end with their packet';
  if (protocol === 'TCP' && virtual.port === FTP_PORT && owner.method === 'masquerade' && !template) {
    return 'FTP through NAT: its sequence numbers may be shifted';
  }
  const ends = [client, virtual, destination].map(({ address }) => parseAddress(address));
  const family = ends[0]?.family;
  if (ends.some((end) => end?.family !== family)) return 'its server is of another family than its client';
  if (engine !== undefined && !fits(engine)) return 'what its persistence engine keeps is too long';
  const [from, to, server] = ends as NonNullable<(typeof ends)[number]>[];
  into.ipv6 = family === 'ipv6';
  into.protocol = number;
  into.state = stateNumber;
  into.flags = METHOD_NUMBERS[owner.method];
  if (template) into.flags |= ConnectionFlag.TEMPLATE;
  else if (protocol === 'TCP' ? state !== 'ESTABLISHED' : protocol === 'SCTP' && state !== 'ESTABLISHED') {
    into.flags |= ConnectionFlag.INACTIVE;
  }
  into.clientPort = client.port;
  into.virtualPort = virtual.port;
  into.destinationPort = destination.port;
  into.mark = isMarkKey(owner.key) ? owner.key.mark | 0 : 0;
  // 0 would mean "as the state says", which is longer than what is left.
  into.timeoutSeconds = Math.max(1, connection.expiresSeconds);
  into.client.set((from as NonNullable<typeof from>).words);
  into.virtual.set((to as NonNullable<typeof to>).words);
  into.destination.set((server as NonNullable<typeof server>).words);
  into.engineName = engine?.name ?? '';
  into.engineData = engine === undefined ? new Uint8Array(0) : Buffer.from(engine.data, 'latin1');
  return null;
}

function fits({ name, data }: { readonly name: string; readonly data: string }): boolean {
  return name.length < SYNC_ENGINE_NAME_BYTES_MAX && data.length > 0 && data.length <= ENGINE_DATA_BYTES_MAX;
}

/** Whose a connection is: the service at its virtual end, or one by mark that has its server. */
class Owners {
  readonly #byEndpoint = new Map<string, HandedService>();
  readonly #byMark: HandedService[] = [];

  constructor(services: readonly HandedService[]) {
    for (const service of services) {
      const { key } = service.spec;
      if (isMarkKey(key)) this.#byMark.push(service);
      else this.#byEndpoint.set(`${key.protocol.toUpperCase()} ${key.address} ${key.port}`, service);
    }
  }

  find({ protocol, virtual, destination, template }: ConnectionStatus): Owner | null {
    const exact = this.#byEndpoint.get(`${protocol} ${virtual.address} ${virtual.port}`);
    const anyPort = this.#byEndpoint.get(`${protocol} ${virtual.address} 0`);
    // A template of a service by mark has the mark in the place of the virtual address.
    const marked = this.#byMark.filter(
      ({ spec }) => !(template && protocol === 'IP') || markOf(virtual) === (isMarkKey(spec.key) ? spec.key.mark : 0),
    );
    for (const service of [exact, anyPort, ...marked]) {
      const found = service?.destinations.find(({ spec }) => leadsTo(spec, destination));
      if (service === undefined || found === undefined) continue;
      return { key: service.spec.key, onePacket: service.spec.onePacket, method: found.spec.method };
    }
    return null;
  }
}

/** Port 0 stands for the port that the client asked for; templates of every port have 0 themselves. */
function leadsTo(spec: DestinationSpec, { address, port }: Endpoint): boolean {
  return spec.address === address && (spec.port === port || spec.port === 0 || port === 0);
}

function markOf({ address }: Endpoint): number {
  return (parseAddress(address)?.words[3] ?? 0) >>> 0;
}

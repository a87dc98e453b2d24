/** What a proxy cannot do, refused by name before anything happens, with the data plane that can. */
import { SCHEDULERS } from '../src/balance/schedulers/index.ts';
import type { Command } from '../src/model/commands.ts';
import type { Capabilities } from '../src/model/data-plane.ts';
import type { DestinationSpec } from '../src/model/destination.ts';
import { IpvsError } from '../src/model/errors.ts';
import { isMarkKey, type ServiceKey, type ServiceSpec } from '../src/model/service.ts';

export const PROXY_CAPABILITIES: Capabilities = {
  name: 'proxy',
  families: ['ipv4', 'ipv6'],
  protocols: ['tcp', 'udp'],
  // A server on this host is a server like any other.
  methods: ['masquerade', 'local'],
  schedulers: Object.keys(SCHEDULERS).filter((name) => name !== 'none'),
  fullNat: true,
  persistence: true,
  persistenceEngines: false,
  wildcards: false,
  marks: false,
  sync: false,
};

/** Throws EOPNOTSUPP for what only other data planes do. Shapes are not judged here: the table does that. */
export function refuseWhatAProxyCannot(command: Command): void {
  switch (command.name) {
    case 'addService':
    case 'editService':
      refuseService(command.service);
      return;
    case 'addDestination':
    case 'editDestination':
      refuseMethod(command.destination);
      return;
    case 'startSyncDaemon':
      throw cannot('synchronise connections', 'sockets cannot be handed to another host');
    case 'addMarkRule':
      throw cannot('mark packets', 'it sees connections, not packets');
    case 'readCapture':
      throw cannot('capture packets', 'it sees connections, not packets');
    default:
  }
}

function refuseService(spec: ServiceSpec | undefined): void {
  const key = spec?.key as ServiceKey | undefined;
  if (typeof key !== 'object' || key === null) return;
  if (isMarkKey(key)) throw cannot('serve firewall marks', 'it sees connections, not packets');
  if (key.protocol === 'sctp') throw cannot('carry SCTP', 'Node has no SCTP sockets');
  if (key.port === 0) throw cannot('serve every port of an address', 'a socket listens on one port');
  if (key.address === '0.0.0.0' || key.address === '::') {
    throw cannot(`serve ${key.address}`, 'a socket there would take what is for every other address');
  }
  if (typeof spec?.persistenceEngine === 'string') {
    throw cannot(`use the persistence engine ${spec.persistenceEngine}`, 'it does not look into datagrams');
  }
}

const METHOD_WORDS: Readonly<Record<string, string>> = {
  direct: 'do direct routing',
  tunnel: 'send through tunnels',
  bypass: 'bypass',
};

function refuseMethod(spec: DestinationSpec | undefined): void {
  const words = METHOD_WORDS[spec?.method ?? ''];
  if (words !== undefined) throw cannot(words, 'it opens a connection of its own to each server');
}

function cannot(what: string, why: string): IpvsError {
  return new IpvsError(
    'EOPNOTSUPP',
    `the proxy cannot ${what}: ${why}; the packet engine can: uipvsd --data-plane packet`,
  );
}

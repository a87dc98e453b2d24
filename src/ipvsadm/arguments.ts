/**
 * From the words of one command line to a request. The order of the checks is ipvsadm's, because the first mistake
 * found is the one that is reported.
 */
import type { Command, SyncRole } from '../model/commands.ts';
import { PLAIN_TUNNEL } from '../model/forwarding.ts';
import type { ServiceKey, ServiceSpec } from '../model/service.ts';
import { Draft, parseTimeout } from './draft.ts';
import type { IpvsadmIo } from './io.ts';
import { checkListOptions, checkOptions, checkTunnelOptions } from './option-rules.ts';
import type { CommandWord } from './option-table.ts';
import { LIST_VIEWS, type Request } from './request.ts';
import { OptionScanner, type ScannedOption } from './scanner.ts';
import { parseSchedulerFlags } from './scheduler-flags.ts';
import { mistake, UsageError } from './usage-error.ts';

const DEFAULT_SCHEDULER = 'wlc';

/**
 * Understands one command line. `fromRestore`: it is a line read by `-R`, where `-R` itself is no command.
 * Rejects with a UsageError.
 */
export async function parseArguments(
  words: readonly string[],
  io: Pick<IpvsadmIo, 'programName' | 'names'>,
  fromRestore = false,
): Promise<Request> {
  const scanner = new OptionScanner(words);
  const first = firstOption(scanner);
  const word = first?.kind.command;
  if (first === null || word === undefined || (fromRestore && word === 'restore')) {
    const name = io.programName;
    throw new UsageError('first-word', `Try \`${name} -h' or '${name} --help' for more information.`);
  }
  if (word === 'help' || word === 'version') return { kind: word };
  const role = syncRole(word, first);

  const draft = new Draft(io.names);
  for (let option = scanner.next(); option !== null; option = scanner.next()) {
    if (option.kind.command !== undefined) throw mistake(`invalid option \`${scanner.lastWord}'`);
    await draft.take(option);
  }
  const timeouts = word === 'set' ? takeTimeouts(scanner.leftOver) : [];
  if (scanner.leftOver.length > 0) throw mistake(`unexpected argument ${scanner.leftOver[0]}`);
  const schedulerFlags = parseSchedulerFlags(draft.schedulerFlags, draft.scheduler);
  checkOptions(draft.given, word);

  switch (word) {
    case 'add-service':
      return change(word, { name: 'addService', service: serviceSpec(draft, schedulerFlags) });
    case 'edit-service':
      return change(word, { name: 'editService', service: serviceSpec(draft, schedulerFlags) });
    case 'delete-service':
      return change(word, { name: 'deleteService', key: serviceKey(draft) });
    case 'flush':
      return change(word, { name: 'flush' });
    case 'add-server':
      return change(word, { name: 'addDestination', ...destinationSpec(draft) });
    case 'edit-server':
      return change(word, { name: 'editDestination', ...destinationSpec(draft) });
    case 'delete-server': {
      const { address, port } = draft.destination;
      return change(word, {
        name: 'deleteDestination',
        service: serviceKey(draft),
        destination: { address, port: port ?? 0 },
      });
    }
    case 'zero':
      return change(
        word,
        draft.given.has('service-address') ? { name: 'zero', key: serviceKey(draft) } : { name: 'zero' },
      );
    case 'set': {
      const [tcpSeconds = 0, tcpFinSeconds = 0, udpSeconds = 0] = timeouts;
      return change(word, { name: 'setTimeouts', timeouts: { tcpSeconds, tcpFinSeconds, udpSeconds } });
    }
    case 'start-daemon':
      return change(word, { name: 'startSyncDaemon', daemon: syncDaemonSpec(draft, role) });
    case 'stop-daemon':
      return change(word, { name: 'stopSyncDaemon', role });
    case 'save':
      return { kind: 'save', numeric: draft.given.has('numeric') };
    case 'restore':
      return { kind: 'restore' };
    case 'list':
      return listRequest(draft);
  }
}

/** Whatever is wrong with the first word, it is not a command. */
function firstOption(scanner: OptionScanner): ScannedOption | null {
  try {
    return scanner.next();
  } catch (error) {
    if (error instanceof UsageError) return null;
    throw error;
  }
}

function change(word: CommandWord, command: Command): Request {
  return { kind: 'change', word, command };
}

function syncRole(word: CommandWord, { value }: ScannedOption): SyncRole {
  if (value === 'master' || value === 'backup') return value;
  if (word === 'start-daemon') throw mistake('illegal start-daemon parameter specified');
  if (word === 'stop-daemon') throw mistake('illegal start_daemon specified');
  return 'master'; // Not read: the other commands have no role.
}

function takeTimeouts(words: string[]): number[] {
  if (words.length < 3) throw mistake('--set option requires 3 timeout values');
  return words.splice(0, 3).map((word) => parseTimeout(word, 0));
}

function serviceKey(draft: Draft): ServiceKey {
  if (draft.mark !== 0) return { mark: draft.mark, family: draft.family };
  return { protocol: draft.protocol ?? 'tcp', address: draft.address, port: draft.port };
}

function serviceSpec(draft: Draft, schedulerFlags: ServiceSpec['schedulerFlags']): ServiceSpec {
  const byMark = draft.mark !== 0;
  const onePacket = draft.given.has('ops');
  if (!byMark && draft.port === 0 && draft.persistenceSeconds === null) {
    throw mistake('Zero port specified for non-persistent service');
  }
  if (onePacket && !byMark && draft.protocol !== 'udp') {
    throw mistake('One-Packet Scheduling is only for UDP virtual services');
  }
  return {
    key: serviceKey(draft),
    scheduler: draft.scheduler || DEFAULT_SCHEDULER,
    schedulerFlags,
    persistenceTimeoutSeconds: draft.persistenceSeconds,
    netmask: draft.netmask,
    persistenceEngine: draft.persistenceEngine || null,
    onePacket,
  };
}

function destinationSpec(draft: Draft) {
  const { family, address, port } = draft.destination;
  // Only masquerading can change a port; without a mark the other methods take the service's, silently.
  const keepsPort = draft.mark !== 0 || draft.method === 'masquerade';
  if (family !== draft.family && draft.method !== 'tunnel') {
    throw mistake('Different address family is allowed only for tunneling servers');
  }
  checkTunnelOptions(draft);
  return {
    service: serviceKey(draft),
    destination: {
      address,
      port: keepsPort ? (port ?? 0) : draft.port,
      method: draft.method,
      weight: draft.weight,
      upperThreshold: draft.upperThreshold,
      lowerThreshold: draft.lowerThreshold,
      tunnel:
        draft.method === 'tunnel'
          ? { type: draft.tunnelType, port: draft.tunnelPort, checksum: draft.tunnelChecksum }
          : PLAIN_TUNNEL,
    },
  };
}

function syncDaemonSpec(draft: Draft, role: SyncRole) {
  return {
    role,
    interface: draft.syncInterface,
    syncId: draft.syncId,
    maxLength: draft.syncMaxLength,
    group: draft.syncGroup,
    port: draft.syncPort,
    ttl: draft.syncTtl,
  };
}

function listRequest(draft: Draft): Request {
  const { given } = draft;
  checkListOptions(given);
  const numeric = given.has('numeric');
  if (given.has('connection')) return { kind: 'connections', numeric, engines: given.has('persistent-conn') };
  if (given.has('timeout')) return { kind: 'timeouts' };
  if (given.has('daemon')) return { kind: 'daemons' };
  return {
    kind: 'list',
    key: given.has('service-address') ? serviceKey(draft) : null,
    view: LIST_VIEWS.find((view) => view !== 'plain' && given.has(view)) ?? 'plain',
    numeric,
    exact: given.has('exact'),
    sorted: !given.has('nosort'),
  };
}

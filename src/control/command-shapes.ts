/** What each command of the closed list must look like when it comes from outside. */
import { COMMANDS, type Command, type CommandName, type Commands, type SyncDaemonSpec } from '../model/commands.ts';
import type { DestinationKey, DestinationSpec } from '../model/destination.ts';
import { IpvsError } from '../model/errors.ts';
import type { TunnelSpec } from '../model/forwarding.ts';
import { FRAME_BYTES_MAX, TRACE_KEPT_MAX, WEIGHT_MAX } from '../model/limits.ts';
import type { MarkRule } from '../model/mark-rule.ts';
import type { RehearsedPacket } from '../model/packet-trace.ts';
import type { AddressServiceKey, MarkServiceKey, ServiceSpec } from '../model/service.ts';
import { SETTING_NAMES, type Timeouts } from '../model/settings.ts';
import { suggestion } from './nearest.ts';
import {
  boolean,
  checkShape,
  describe,
  integer,
  isRecord,
  list,
  nullable,
  object,
  type Shape,
  text,
  word,
} from './shape.ts';

const UINT32_MAX = 0xffff_ffff;
const INT32_MAX = 0x7fff_ffff;
/** The data plane judges addresses, names and masks; here only their length is bounded. */
const address = text(64);
const name = text(64);
const port = integer(0, 65_535);
const frameText = text(2 * FRAME_BYTES_MAX);

const addressServiceKey = object<AddressServiceKey>({ protocol: word('tcp', 'udp', 'sctp'), address, port }, {});
const markServiceKey = object<MarkServiceKey>({ mark: integer(0, UINT32_MAX), family: word('ipv4', 'ipv6') }, {});
export const serviceKeyShape: Shape = {
  kind: 'either',
  options: [
    { tell: 'mark', shape: markServiceKey },
    { tell: 'protocol', shape: addressServiceKey },
  ],
};

const serviceSpec = object<ServiceSpec>(
  {
    key: serviceKeyShape,
    scheduler: name,
    schedulerFlags: list(integer(1, 3), 3),
    persistenceTimeoutSeconds: nullable(integer(0, UINT32_MAX)),
    netmask: address,
    persistenceEngine: nullable(name),
    onePacket: boolean,
  },
  { sourceNat: address },
);

const tunnelSpec = object<TunnelSpec>(
  { type: word('ipip', 'gue', 'gre'), port, checksum: word('none', 'full', 'remote') },
  {},
);
const destinationKey = object<DestinationKey>({ address, port }, {});
const destinationSpec = object<DestinationSpec>(
  {
    address,
    port,
    method: word('masquerade', 'direct', 'tunnel', 'local', 'bypass'),
    weight: integer(0, WEIGHT_MAX),
    upperThreshold: integer(0, UINT32_MAX),
    lowerThreshold: integer(0, UINT32_MAX),
    tunnel: tunnelSpec,
  },
  {},
);

const timeouts = object<Timeouts>(
  { tcpSeconds: integer(0, INT32_MAX), tcpFinSeconds: integer(0, INT32_MAX), udpSeconds: integer(0, INT32_MAX) },
  {},
);
const settingName = word(...SETTING_NAMES);
const role = word('master', 'backup');
const syncDaemon = object<SyncDaemonSpec>(
  {
    role,
    interface: name,
    syncId: integer(0, UINT32_MAX),
    maxLength: integer(0, UINT32_MAX),
    group: address,
    port,
    ttl: integer(0, 255),
  },
  {},
);

const markRule = object<MarkRule>(
  { family: word('ipv4', 'ipv6'), mark: integer(0, UINT32_MAX) },
  {
    protocol: word('tcp', 'udp', 'sctp'),
    destination: address,
    source: address,
    portMin: port,
    portMax: port,
    link: name,
  },
);

const nothing = object<Record<never, never>>({}, {});
const page = object<Commands['listServices']['input']>({}, { cursor: text(1_024), limit: integer(1, INT32_MAX) });
const serviceOnly = object<Commands['addService']['input']>({ service: serviceSpec }, {});
const keyOnly = object<Commands['getService']['input']>({ key: serviceKeyShape }, {});
const withDestination = object<Commands['addDestination']['input']>(
  { service: serviceKeyShape, destination: destinationSpec },
  {},
);

/** The input of each command, without its `name`. */
export const COMMAND_SHAPES: Readonly<Record<CommandName, Shape>> = {
  info: nothing,
  addService: serviceOnly,
  editService: serviceOnly,
  deleteService: keyOnly,
  flush: nothing,
  addDestination: withDestination,
  editDestination: withDestination,
  deleteDestination: object<Commands['deleteDestination']['input']>(
    { service: serviceKeyShape, destination: destinationKey },
    {},
  ),
  getService: keyOnly,
  listServices: page,
  listConnections: page,
  zero: object<Commands['zero']['input']>({}, { key: serviceKeyShape }),
  getTotals: nothing,
  getTimeouts: nothing,
  setTimeouts: object<Commands['setTimeouts']['input']>({ timeouts }, {}),
  getSetting: object<Commands['getSetting']['input']>({ setting: settingName }, {}),
  setSetting: object<Commands['setSetting']['input']>({ setting: settingName, value: text(64) }, {}),
  listSettings: nothing,
  getPerCpu: nothing,
  listHelpers: nothing,
  listSyncDaemons: nothing,
  startSyncDaemon: object<Commands['startSyncDaemon']['input']>({ daemon: syncDaemon }, {}),
  stopSyncDaemon: object<Commands['stopSyncDaemon']['input']>({ role }, {}),
  addMarkRule: object<Commands['addMarkRule']['input']>({ rule: markRule }, {}),
  deleteMarkRule: object<Commands['deleteMarkRule']['input']>({ rule: markRule }, {}),
  listMarkRules: nothing,
  listSourceNatRules: nothing,
  getCounters: nothing,
  readCapture: object<Commands['readCapture']['input']>(
    { id: text(64) },
    { filter: text(1_024), snapBytes: integer(64, FRAME_BYTES_MAX), all: boolean, stop: boolean },
  ),
  getLinkCounters: nothing,
  rehearse: object<RehearsedPacket>(
    {},
    { packet: frameText, frame: frameText, link: name, mark: integer(0, UINT32_MAX) },
  ),
  readTrace: object<Commands['readTrace']['input']>(
    { id: name },
    {
      filter: text(1_000),
      profile: name,
      limit: integer(0, TRACE_KEPT_MAX),
      snapBytes: integer(0, FRAME_BYTES_MAX),
    },
  ),
};

/** The value as a command. Throws EINVAL with a sentence when it is none, with the nearest name for an unknown one. */
export function parseCommand(value: unknown): Command {
  if (!isRecord(value)) throw new IpvsError('EINVAL', `a command must be an object, not ${describe(value)}`);
  const { name: commandName, ...input } = value;
  if (typeof commandName !== 'string') {
    throw new IpvsError('EINVAL', `a command must have a "name", a text such as "listServices"`);
  }
  if (!Object.hasOwn(COMMANDS, commandName)) {
    const known = Object.keys(COMMANDS);
    throw new IpvsError('EINVAL', `there is no command ${describe(commandName)}${suggestion(commandName, known)}`);
  }
  checkShape(input, COMMAND_SHAPES[commandName as CommandName], commandName);
  return value as unknown as Command;
}

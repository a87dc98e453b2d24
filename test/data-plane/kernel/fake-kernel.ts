/**
 * The kernel's end of the family IPVS, played by our own service table: enough to talk to, and able to spoil its
 * answers in the ways that a real one never should.
 */
import { executeTableCommand } from '../../../src/balance/execute.ts';
import { ServiceTable } from '../../../src/balance/service-table.ts';
import { SyncDaemons } from '../../../src/balance/sync-daemons.ts';
import { IpvsCommand } from '../../../src/data-plane/kernel/family.ts';
import type { NetlinkChannel } from '../../../src/data-plane/kernel/generic-netlink.ts';
import {
  daemonAttribute,
  destinationAttribute,
  serviceAttribute,
  timeoutAttributes,
} from '../../../src/data-plane/kernel/messages.ts';
import type { SyncRole } from '../../../src/model/commands.ts';
import type { DestinationKey, DestinationSpec, DestinationStatus } from '../../../src/model/destination.ts';
import { IpvsError } from '../../../src/model/errors.ts';
import type {
  SchedulerFlag,
  ServiceKey,
  ServiceProtocol,
  ServiceSpec,
  ServiceStatus,
} from '../../../src/model/service.ts';
import { DEFAULT_TIMEOUTS, mergeTimeouts, type Timeouts } from '../../../src/model/settings.ts';
import { formatIpv4, formatIpv6 } from '../../../src/wire/address.ts';
import { readInt32 } from '../../../src/wire/bytes.ts';
import {
  type Attributes,
  attribute,
  joinAttributes,
  nestedAttribute,
  readAttributes,
  readMessages,
  readText,
  readUint,
  uint16Attribute,
  uint32Attribute,
  writeMessage,
} from '../../../src/wire/netlink.ts';

const FAMILY = 0x1d;
const CONTROL = 0x10;
const ERRNO: Readonly<Record<string, number>> = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  ERANGE: 34,
  EOPNOTSUPP: 95,
};
const METHODS = ['masquerade', 'local', 'tunnel', 'direct', 'bypass'] as const;

/** What becomes of the datagrams that answer a request, before they are handed over. */
export type Spoiler = (datagrams: readonly Uint8Array[], request: number) => readonly Uint8Array[];

export class FakeKernel {
  readonly table = new ServiceTable({ random: () => 0.5, defaultSourceNat: 'none', nowTicks: 0 });
  /** Modules this kernel was built without. */
  readonly missingSchedulers = new Set<string>();
  /** The whole family is not there. */
  present = true;
  /** Nobody here may use it. */
  forbidden = false;
  timeouts: Timeouts = DEFAULT_TIMEOUTS;
  readonly daemons = new SyncDaemons();
  /** IPVS commands in the order they came. */
  readonly requests: number[] = [];
  /** Sockets that were opened, and are open now. */
  opened = 0;
  open = 0;
  spoil: Spoiler = (datagrams) => datagrams;
  /** Carries orders out and then spoils the answers, or forgets to carry them out. */
  forgetful = false;

  readonly openNetlink = (): NetlinkChannel => {
    this.opened++;
    this.open++;
    const waiting: Uint8Array[] = [];
    let isOpen = true;
    return {
      send: (datagram) => {
        const [message] = readMessages(datagram);
        const { type, flags, sequence, payload } = message as NonNullable<typeof message>;
        const command = payload[0] as number;
        if (type !== CONTROL) this.requests.push(command);
        waiting.push(...this.spoil(this.#answer(type, flags, sequence, payload), type === CONTROL ? 0 : command));
      },
      receive: () => {
        const next = waiting.shift();
        if (next === undefined) throw Object.assign(new Error('recv: ETIMEDOUT'), { code: 'ETIMEDOUT' });
        return next;
      },
      close: () => {
        if (isOpen) this.open--;
        isOpen = false;
      },
    };
  };

  #answer(type: number, flags: number, sequence: number, payload: Uint8Array): Uint8Array[] {
    const command = payload[0] as number;
    const error = (errno: number) => {
      const body = new Uint8Array(20);
      new DataView(body.buffer).setInt32(0, 0 - errno, true);
      return writeMessage({ type: 2, flags: 0, sequence, payload: body });
    };
    const generic = (family: number, attributes: readonly Uint8Array[]) =>
      writeMessage({
        type: family,
        flags: 2,
        sequence,
        payload: joinAttributes([Uint8Array.of(command, 1, 0, 0), ...attributes]),
      });
    if (type === CONTROL) {
      if (!this.present) return [error(2)];
      return [generic(CONTROL, [uint16Attribute(1, FAMILY), attribute(2, Buffer.from('IPVS\0'))]), error(0)];
    }
    if (this.forbidden) return [error(1)];
    try {
      const answers = this.#execute(command, readAttributes(payload.subarray(4)), (flags & 0x300) === 0x300);
      const messages = answers.map((attributes) => generic(FAMILY, attributes));
      if ((flags & 0x300) !== 0x300) return [...messages, error(0)];
      const done = writeMessage({ type: 3, flags: 2, sequence, payload: new Uint8Array(4) });
      return [...messages, done];
    } catch (refusal) {
      if (!(refusal instanceof IpvsError)) throw refusal;
      return [error(ERRNO[refusal.code] as number)];
    }
  }

  /** Answers, each as the attributes of one message. */
  #execute(command: number, attributes: Attributes, dump: boolean): (readonly Uint8Array[])[] {
    const key = () => readKey(nested(attributes, 1));
    switch (command) {
      case IpvsCommand.NEW_SERVICE:
      case IpvsCommand.SET_SERVICE: {
        const service = readSpec(nested(attributes, 1));
        if (this.missingSchedulers.has(service.scheduler)) throw new IpvsError('ENOENT', 'no module');
        return this.#order({ name: command === IpvsCommand.NEW_SERVICE ? 'addService' : 'editService', service });
      }
      case IpvsCommand.DEL_SERVICE:
        return this.#order({ name: 'deleteService', key: key() });
      case IpvsCommand.FLUSH:
        return this.#order({ name: 'flush' });
      case IpvsCommand.ZERO:
        return this.#order(attributes.has(1) ? { name: 'zero', key: key() } : { name: 'zero' });
      case IpvsCommand.NEW_DEST:
      case IpvsCommand.SET_DEST: {
        const name = command === IpvsCommand.NEW_DEST ? 'addDestination' : 'editDestination';
        return this.#order({ name, service: key(), destination: readDestinationSpec(nested(attributes, 2)) });
      }
      case IpvsCommand.DEL_DEST:
        return this.#order({
          name: 'deleteDestination',
          service: key(),
          destination: readDestinationKey(nested(attributes, 2)),
        });
      case IpvsCommand.GET_SERVICE:
        if (dump) return this.table.services().map((service) => [writeService(service.status())]);
        return [[writeService(this.table.getService(key()).status())]];
      case IpvsCommand.GET_DEST:
        return this.#destinations(key()).map((destination) => [writeDestination(destination)]);
      case IpvsCommand.GET_CONFIG:
        return [timeoutAttributes(this.timeouts)];
      case IpvsCommand.SET_CONFIG: {
        const seconds = (type: number) => readUint(attributes.get(type) as Uint8Array);
        const wanted = { tcpSeconds: seconds(4), tcpFinSeconds: seconds(5), udpSeconds: seconds(6) };
        if (!this.forgetful) this.timeouts = mergeTimeouts(this.timeouts, wanted);
        return [];
      }
      case IpvsCommand.GET_INFO:
        return [[uint32Attribute(1, 0x010201), uint32Attribute(2, 4096)]];
      case IpvsCommand.GET_DAEMON:
        return this.daemons.list().map((daemon) => [daemonAttribute(daemon)]);
      case IpvsCommand.NEW_DAEMON: {
        const own = nested(attributes, 3);
        const spec = {
          role: readRole(own),
          interface: readText(own.get(2) as Uint8Array),
          syncId: readUint(own.get(3) as Uint8Array),
          maxLength: readUint(own.get(4) as Uint8Array),
          group: own.has(5) ? formatIpv4(readInt32(own.get(5) as Uint8Array, 0)) : '',
          port: readUint(own.get(7) as Uint8Array),
          ttl: readUint(own.get(8) as Uint8Array),
        };
        if (this.forgetful) return [];
        this.daemons.start(spec, { mtuOf: (name) => (name === 'e0' ? 1500 : null), hasMixedFamilies: false });
        return [];
      }
      case IpvsCommand.DEL_DAEMON:
        if (!this.forgetful) this.daemons.stop(readRole(nested(attributes, 3)));
        return [];
      default:
        throw new IpvsError('EOPNOTSUPP', 'unknown');
    }
  }

  #order(command: Parameters<typeof executeTableCommand>[1]): [] {
    if (!this.forgetful) executeTableCommand(this.table, command, 0);
    return [];
  }

  #destinations(key: ServiceKey): readonly DestinationStatus[] {
    try {
      return this.table.getService(key).status().destinations;
    } catch {
      return [];
    }
  }
}

function nested(attributes: Attributes, type: number): Attributes {
  return readAttributes(attributes.get(type) as Uint8Array);
}

function readRole(own: Attributes): SyncRole {
  return readUint(own.get(1) as Uint8Array) === 1 ? 'master' : 'backup';
}

function readAddress(family: number, bytes: Uint8Array): string {
  const word = (index: number) => readInt32(bytes, index * 4);
  return family === 10 ? formatIpv6(word(0), word(1), word(2), word(3)) : formatIpv4(word(0));
}

function readPort(bytes: Uint8Array): number {
  return ((bytes[0] as number) << 8) | (bytes[1] as number);
}

function readKey(own: Attributes): ServiceKey {
  const family = readUint(own.get(1) as Uint8Array);
  const mark = own.get(5);
  if (mark !== undefined) return { mark: readUint(mark), family: family === 10 ? 'ipv6' : 'ipv4' };
  const protocols: Record<number, ServiceProtocol> = { 6: 'tcp', 17: 'udp', 132: 'sctp' };
  return {
    protocol: protocols[readUint(own.get(2) as Uint8Array)] as ServiceProtocol,
    address: readAddress(family, own.get(3) as Uint8Array),
    port: readPort(own.get(4) as Uint8Array),
  };
}

function readSpec(own: Attributes): ServiceSpec {
  const flags = readUint((own.get(7) as Uint8Array).subarray(0, 4));
  const mask = own.get(9) as Uint8Array;
  const engine = own.get(11);
  return {
    key: readKey(own),
    scheduler: readText(own.get(6) as Uint8Array),
    schedulerFlags: ([1, 2, 3] as SchedulerFlag[]).filter((flag) => (flags & (4 << flag)) !== 0),
    persistenceTimeoutSeconds: (flags & 1) === 0 ? null : readUint(own.get(8) as Uint8Array),
    netmask: readUint(own.get(1) as Uint8Array) === 10 ? String(readUint(mask)) : formatIpv4(readInt32(mask, 0)),
    persistenceEngine: engine === undefined ? null : readText(engine),
    onePacket: (flags & 4) !== 0,
  };
}

function readDestinationKey(own: Attributes): DestinationKey {
  return {
    address: readAddress(readUint(own.get(11) as Uint8Array), own.get(1) as Uint8Array),
    port: readPort(own.get(2) as Uint8Array),
  };
}

function readDestinationSpec(own: Attributes): DestinationSpec {
  const number = (type: number) => readUint(own.get(type) as Uint8Array);
  return {
    ...readDestinationKey(own),
    method: METHODS[number(3)] as DestinationSpec['method'],
    // Signed, as the kernel takes it.
    weight: number(4) | 0,
    upperThreshold: number(5),
    lowerThreshold: number(6),
    tunnel: {
      type: (['ipip', 'gue', 'gre'] as const)[number(13)] as 'ipip',
      port: readPort(own.get(14) as Uint8Array),
      checksum: (['none', 'full', 'remote'] as const)[number(15)] as 'none',
    },
  };
}

function writeService(status: ServiceStatus): Uint8Array {
  const own = readAttributes(serviceAttribute(status.spec).subarray(4));
  return nestedAttribute(1, [...again(own), writeStatistics(12)]);
}

function writeDestination(status: DestinationStatus): Uint8Array {
  const own = readAttributes(destinationAttribute(status.spec).subarray(4));
  return nestedAttribute(2, [
    ...again(own),
    uint32Attribute(7, status.activeConnections),
    uint32Attribute(8, status.inactiveConnections),
    uint32Attribute(9, status.persistentConnections),
    writeStatistics(12),
  ]);
}

/** Ten counters: 101, 102, ... each in 64 bits. */
function writeStatistics(type: number): Uint8Array {
  const counters: Uint8Array[] = [];
  for (let counter = 1; counter <= 10; counter++) {
    const value = new Uint8Array(8);
    value[0] = 100 + counter;
    counters.push(attribute(counter, value));
  }
  return nestedAttribute(type, counters);
}

function again(attributes: Attributes): Uint8Array[] {
  return [...attributes].map(([type, value]) => attribute(type, value));
}

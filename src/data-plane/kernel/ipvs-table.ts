/** The kernel's table through generic netlink: each order of the model as one message, each question as one listing. */
import type { Command, SyncDaemonSpec, TableInfo } from '../../model/commands.ts';
import type { DestinationStatus } from '../../model/destination.ts';
import { IpvsError } from '../../model/errors.ts';
import { familyOfService, type ServiceKey, type ServiceStatus } from '../../model/service.ts';
import { mergeTimeouts, type Timeouts } from '../../model/settings.ts';
import type { Attributes } from '../../wire/netlink.ts';
import { FAMILY_NAME, IpvsCommand } from './family.ts';
import { GenericNetlink, NetlinkBrokenAnswer, type NetlinkChannel, NetlinkRefusal, read } from './generic-netlink.ts';
import { isInForce } from './in-force.ts';
import {
  daemonAttribute,
  daemonRoleAttribute,
  destinationAttribute,
  destinationKeyAttribute,
  type ReadService,
  readDaemon,
  readDestination,
  readInfo,
  readService,
  readTimeouts,
  serviceAttribute,
  serviceKeyAttribute,
  timeoutAttributes,
} from './messages.ts';
import { describe, refusalOf } from './refusals.ts';

const ENOENT = 2;

/** Commands that change the table by one netlink message each. */
export type TableOrder = Extract<
  Command,
  {
    readonly name:
      | 'addService'
      | 'editService'
      | 'deleteService'
      | 'flush'
      | 'addDestination'
      | 'editDestination'
      | 'deleteDestination'
      | 'zero'
      | 'setTimeouts'
      | 'startSyncDaemon'
      | 'stopSyncDaemon';
  }
>;

export class IpvsTable {
  readonly #netlink: GenericNetlink;

  constructor(open: () => NetlinkChannel) {
    this.#netlink = new GenericNetlink(FAMILY_NAME, open);
  }

  /** Throws EOPNOTSUPP when this kernel has no IPVS, EPERM without the right to use it. Loads its module. */
  requirePresent(): void {
    try {
      this.#netlink.findFamily();
    } catch (error) {
      if (!(error instanceof NetlinkRefusal) || error.errno !== ENOENT) throw error;
      throw new IpvsError(
        'EOPNOTSUPP',
        'this kernel has no IPVS: neither built in nor as the module ip_vs (try `modprobe ip_vs`); ' +
          'the packet engine needs none: uipvsd --data-plane packet',
      );
    }
    this.info();
  }

  info(): TableInfo {
    return this.#question({ name: 'info' }, IpvsCommand.GET_INFO, [], readInfo);
  }

  timeouts(): Timeouts {
    return this.#question({ name: 'getTimeouts' }, IpvsCommand.GET_CONFIG, [], readTimeouts);
  }

  /** In the kernel's order, without those of protocols that nothing here has a word for. */
  services(): ReadService[] {
    const answers = this.#listing({ name: 'listServices' }, IpvsCommand.GET_SERVICE, []);
    return answers.flatMap((answer) => read(() => readService(answer)) ?? []);
  }

  /** ESRCH when there is none. */
  service(key: ServiceKey): ServiceStatus {
    const command = { name: 'getService', key } as const;
    const found = this.#question(command, IpvsCommand.GET_SERVICE, [serviceKeyAttribute(key)], readService);
    if (found === null) throw new NetlinkBrokenAnswer('the kernel answered with another service');
    return { ...found, destinations: this.destinations(key) };
  }

  /** None when there is no such service. */
  destinations(key: ServiceKey): DestinationStatus[] {
    const family = familyOfService(key);
    const command = { name: 'getService', key } as const;
    const answers = this.#listing(command, IpvsCommand.GET_DEST, [serviceKeyAttribute(key)]);
    return answers.map((answer) => read(() => readDestination(answer, family)));
  }

  daemons(): SyncDaemonSpec[] {
    const answers = this.#listing({ name: 'listSyncDaemons' }, IpvsCommand.GET_DAEMON, []);
    return answers.map((answer) => read(() => readDaemon(answer)));
  }

  /**
   * Carries out an order or throws an IpvsError, and then nothing has changed. Where the kernel's answer does not come
   * whole, the table is looked at: an order that is in force was carried out.
   */
  carryOut(order: TableOrder): void {
    const [number, attributes] = this.#messageOf(order);
    try {
      this.#netlink.ask(number, attributes);
    } catch (error) {
      if (error instanceof NetlinkRefusal) throw refusalOf(order, error.errno);
      if (!(error instanceof NetlinkBrokenAnswer)) throw error;
      this.#lookWhatBecameOf(order, error);
    }
  }

  close(): void {
    this.#netlink.close();
  }

  #lookWhatBecameOf(order: TableOrder, broken: NetlinkBrokenAnswer): void {
    let inForce: boolean;
    try {
      inForce = isInForce(order, this);
    } catch (error) {
      const sentence = `${broken.message}; whether ${describe(order)} was carried out cannot be found out either`;
      throw new IpvsError('EIO', `${sentence}: ${(error as Error).message}`, { cause: broken });
    }
    if (!inForce)
      throw new IpvsError('EIO', `${broken.message}; ${describe(order)} has changed nothing`, { cause: broken });
  }

  #messageOf(order: TableOrder): readonly [command: number, attributes: readonly Uint8Array[]] {
    switch (order.name) {
      case 'addService':
        return [IpvsCommand.NEW_SERVICE, [serviceAttribute(order.service)]];
      case 'editService':
        return [IpvsCommand.SET_SERVICE, [serviceAttribute(order.service)]];
      case 'deleteService':
        return [IpvsCommand.DEL_SERVICE, [serviceKeyAttribute(order.key)]];
      case 'flush':
        return [IpvsCommand.FLUSH, []];
      case 'addDestination':
        return [IpvsCommand.NEW_DEST, [serviceKeyAttribute(order.service), destinationAttribute(order.destination)]];
      case 'editDestination':
        return [IpvsCommand.SET_DEST, [serviceKeyAttribute(order.service), destinationAttribute(order.destination)]];
      case 'deleteDestination':
        return [IpvsCommand.DEL_DEST, [serviceKeyAttribute(order.service), destinationKeyAttribute(order.destination)]];
      case 'zero':
        return [IpvsCommand.ZERO, order.key === undefined ? [] : [serviceKeyAttribute(order.key)]];
      case 'setTimeouts':
        // Throws for what is no timeout.
        mergeTimeouts(order.timeouts, order.timeouts);
        return [IpvsCommand.SET_CONFIG, timeoutAttributes(order.timeouts)];
      case 'startSyncDaemon':
        return [IpvsCommand.NEW_DAEMON, [daemonAttribute(order.daemon)]];
      case 'stopSyncDaemon':
        return [IpvsCommand.DEL_DAEMON, [daemonRoleAttribute(order.role)]];
    }
  }

  #question<T>(
    asked: Command,
    command: number,
    attributes: readonly Uint8Array[],
    readAnswer: (answer: Attributes) => T,
  ): T {
    return this.#asking(asked, () => {
      const [answer] = this.#netlink.ask(command, attributes);
      if (answer === undefined) throw new NetlinkBrokenAnswer(`the kernel did not answer ${describe(asked)}`);
      return read(() => readAnswer(answer));
    });
  }

  #listing(asked: Command, command: number, attributes: readonly Uint8Array[]): readonly Attributes[] {
    return this.#asking(asked, () => this.#netlink.list(command, attributes));
  }

  #asking<T>(asked: Command, work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw error instanceof NetlinkRefusal ? refusalOf(asked, error.errno) : error;
    }
  }
}

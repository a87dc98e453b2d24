/**
 * A network card and a switch bring a group's frames only to those who asked for them. While a backup daemon runs, a
 * socket of this host is a member of its group on its link; what arrives there nobody reads, since the engine takes the
 * frames from the link itself. Membership ends with the process. Source: ip(7), IP_ADD_MEMBERSHIP.
 */
import { createSocket, type Socket } from 'node:dgram';
import { networkInterfaces } from 'node:os';
import type { Command, SyncDaemonSpec } from '../../model/commands.ts';

const DEFAULT_GROUP = '224.0.0.81';

export class SyncMembership {
  readonly #notice: (message: string) => void;
  #socket: Socket | null = null;

  /** `notice` hears why a membership cannot be had: frames may then not arrive, or arrive all the same. */
  constructor(notice: (message: string) => void) {
    this.#notice = notice;
  }

  /** Takes note of a command that was carried out. */
  note(command: Command): void {
    if (command.name === 'startSyncDaemon' && command.daemon.role === 'backup') this.#join(command.daemon);
    if (command.name === 'stopSyncDaemon' && command.role === 'backup') this.close();
  }

  close(): void {
    this.#socket?.close();
    this.#socket = null;
  }

  #join(daemon: SyncDaemonSpec): void {
    this.close();
    const group = daemon.group || DEFAULT_GROUP;
    const ipv6 = group.includes(':');
    const fail = (error: Error) =>
      this.#notice(`not a member of the group ${group} on ${daemon.interface}: ${error.message}`);
    // A link is named by an address of its own, in IPv6 by its name.
    const addresses = networkInterfaces()[daemon.interface] ?? [];
    const address = addresses.find(({ family }) => family === 'IPv4')?.address;
    if (!ipv6 && address === undefined) {
      fail(new Error('the link has no IPv4 address'));
      return;
    }
    const socket = createSocket(ipv6 ? 'udp6' : 'udp4');
    this.#socket = socket;
    socket.on('error', fail);
    socket.unref();
    socket.bind(0, ipv6 ? '::1' : '127.0.0.1', () => {
      try {
        socket.addMembership(group, ipv6 ? `::%${daemon.interface}` : address);
      } catch (error) {
        fail(error as Error);
      }
    });
  }
}

/**
 * The synchronisation daemons that were asked for: at most one of each role, with the kernel's checks and defaults.
 * Who sends and receives is no business of this file. Behaviour: ipvsadm(8), `--start-daemon`.
 */
import type { SyncDaemonSpec, SyncRole } from '../model/commands.ts';
import { IpvsError } from '../model/errors.ts';
import { type Address, parseAddress } from '../wire/address.ts';
import { invalid, readInteger, readRecord } from './checks.ts';

/** What a daemon must know about the director before it starts. */
export interface SyncSurroundings {
  /** MTU of an interface in bytes; `null`: there is no such interface. */
  mtuOf(interfaceName: string): number | null;
  /** Some destination is of another family than its service, which sync messages cannot say. */
  readonly hasMixedFamilies: boolean;
}

const DEFAULT_GROUP = '224.0.0.81';
const DEFAULT_PORT = 8848;
const DEFAULT_TTL = 1;
/** Headers of IP and UDP round a message. */
const HEADER_BYTES = { ipv4: 28, ipv6: 48 } as const;
const PACKET_BYTES_MAX = 65_535;
/** A master fills packets of this size unless told otherwise, whatever its interface could carry. */
const PACKET_BYTES_DEFAULT = 1500;
const BACKUP_MESSAGE_BYTES_MIN = 1024;
const ROLES: readonly SyncRole[] = ['master', 'backup'];

export class SyncDaemons {
  readonly #running = new Map<SyncRole, SyncDaemonSpec>();

  /** The master first; every value as it is used, with no defaults left open. */
  list(): readonly SyncDaemonSpec[] {
    return ROLES.flatMap((role) => this.#running.get(role) ?? []);
  }

  find(role: SyncRole): SyncDaemonSpec | null {
    return this.#running.get(role) ?? null;
  }

  get isAnyRunning(): boolean {
    return this.#running.size > 0;
  }

  /**
   * Notes a daemon and returns it with its defaults filled in. EINVAL: something is no value it could have, or there are
   * mixed families; ENODEV: no such interface; EEXIST: one of this role runs already.
   */
  start(wanted: SyncDaemonSpec, surroundings: SyncSurroundings): SyncDaemonSpec {
    readRecord(wanted, 'daemon');
    const role = readRole(wanted.role);
    const group = readGroup(wanted.group || DEFAULT_GROUP);
    const daemon = {
      role,
      interface: readInterface(wanted.interface),
      syncId: readInteger(wanted.syncId, 'syncId', 0, 255),
      group: wanted.group || DEFAULT_GROUP,
      port: readInteger(wanted.port, 'port', 0, 65_535) || DEFAULT_PORT,
      ttl: readInteger(wanted.ttl, 'ttl', 0, 255) || DEFAULT_TTL,
    };
    const wantedBytes = readInteger(wanted.maxLength, 'maxLength', 0, PACKET_BYTES_MAX);
    if (surroundings.hasMixedFamilies) {
      throw invalid('a destination of another family than its service cannot be synchronised: delete it first');
    }
    const mtu = surroundings.mtuOf(daemon.interface);
    if (mtu === null) throw new IpvsError('ENODEV', `there is no interface ${daemon.interface}`);
    if (this.#running.has(role)) throw new IpvsError('EEXIST', `a ${role} daemon runs already`);
    const started = { ...daemon, maxLength: messageBytes(role, wantedBytes, mtu, HEADER_BYTES[group.family]) };
    this.#running.set(role, started);
    return started;
  }

  /** ESRCH: none of this role runs. */
  stop(role: SyncRole): void {
    if (!this.#running.delete(readRole(role))) throw new IpvsError('ESRCH', `no ${role} daemon is running`);
  }
}

/** Longest message: what was wished within bounds, or what suits the interface. */
function messageBytes(role: SyncRole, wanted: number, mtu: number, headerBytes: number): number {
  const max = PACKET_BYTES_MAX - headerBytes;
  const min = role === 'backup' ? BACKUP_MESSAGE_BYTES_MIN : 1;
  if (wanted > 0) return Math.min(Math.max(wanted, min), max);
  // A backup must take what a master on this network may send.
  const packetBytes =
    role === 'backup' ? Math.min(Math.max(mtu, PACKET_BYTES_DEFAULT), PACKET_BYTES_MAX) : PACKET_BYTES_DEFAULT;
  return packetBytes - headerBytes;
}

function readRole(role: unknown): SyncRole {
  if (role === 'master' || role === 'backup') return role;
  throw invalid('role must be master or backup');
}

function readInterface(name: unknown): string {
  if (typeof name === 'string' && name !== '') return name;
  throw invalid('interface must be the name of one');
}

function readGroup(text: unknown): Address {
  const group = typeof text === 'string' ? parseAddress(text) : null;
  if (group === null || !isMulticast(group)) throw invalid(`group must be a multicast address, not ${String(text)}`);
  return group;
}

function isMulticast({ family, words }: Address): boolean {
  return family === 'ipv4' ? (words[3] as number) >>> 28 === 0xe : (words[0] as number) >>> 24 === 0xff;
}

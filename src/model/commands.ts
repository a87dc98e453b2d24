/**
 * The closed list of orders and questions a data plane understands, with their answers. Plain data: commands
 * can be logged, sent through the control socket, recorded and replayed as they are.
 */
import type { ConnectionStatus } from './connection-status.ts';
import type { DestinationKey, DestinationSpec } from './destination.ts';
import type { MarkRule } from './mark-rule.ts';
import type { PacketTrace, RehearsedPacket } from './packet-trace.ts';
import type { ServiceKey, ServiceProtocol, ServiceSpec, ServiceStatus } from './service.ts';
import type { SettingName, Timeouts } from './settings.ts';
import type { SourceNatReport } from './source-nat-rule.ts';
import type { Rates, Statistics } from './statistics.ts';

export type SyncRole = 'master' | 'backup';

export interface SyncDaemonSpec {
  readonly role: SyncRole;
  readonly interface: string;
  readonly syncId: number;
  /** 0: chosen by the data plane. */
  readonly maxLength: number;
  readonly group: string;
  readonly port: number;
  readonly ttl: number;
}

export interface TableInfo {
  /** `1.2.1` */
  readonly version: string;
  /** Buckets of the connection table, as `(size=N)` shows it. */
  readonly connectionTableSize: number;
}

export interface ProcessorStatistics {
  /** From 0; a shard counts as a processor. */
  readonly processor: number;
  readonly counted: Statistics;
}

export interface HelperStatus {
  readonly name: string;
  readonly protocol: ServiceProtocol;
  readonly port: number;
  /** Connections it is bound to. */
  readonly connections: number;
}

export interface TracePage {
  /** The oldest first. */
  readonly traces: readonly PacketTrace[];
  /** What the clock of `timeMs` says at this moment. */
  readonly nowMs: number;
  /** Packets that matched since the last reading, and that there was no room for. */
  readonly missed: number;
}

/** A piece of a capture. */
export interface CapturePage {
  /** Records of `wire/tap-record.ts`, in base64. */
  readonly records: string;
  /** There is more to be read at once. */
  readonly more: boolean;
  /** Packets since the last reading that there was no room for. */
  readonly lost: number;
  /** The capture began with this reading: what was before is not in it. */
  readonly begun: boolean;
  /** The links that are served now. */
  readonly links: readonly { readonly index: number; readonly name: string }[];
}

export interface Page<T> {
  readonly items: readonly T[];
  /** Hand this back as `cursor` for the next page; `null`: that was all. */
  readonly next: string | null;
}

export interface Commands {
  info: { input: Record<never, never>; answer: TableInfo };
  addService: { input: { readonly service: ServiceSpec }; answer: null };
  editService: { input: { readonly service: ServiceSpec }; answer: null };
  deleteService: { input: { readonly key: ServiceKey }; answer: null };
  /** Deletes every service. */
  flush: { input: Record<never, never>; answer: null };
  addDestination: { input: { readonly service: ServiceKey; readonly destination: DestinationSpec }; answer: null };
  editDestination: { input: { readonly service: ServiceKey; readonly destination: DestinationSpec }; answer: null };
  deleteDestination: { input: { readonly service: ServiceKey; readonly destination: DestinationKey }; answer: null };
  /** ESRCH when there is none. */
  getService: { input: { readonly key: ServiceKey }; answer: ServiceStatus };
  /** Services in table order (arbitrary, newest first within a bucket), their destinations newest first. */
  listServices: { input: { readonly cursor?: string; readonly limit?: number }; answer: Page<ServiceStatus> };
  listConnections: { input: { readonly cursor?: string; readonly limit?: number }; answer: Page<ConnectionStatus> };
  /** Zeroes the counters of one service with its destinations, or of everything. */
  zero: { input: { readonly key?: ServiceKey }; answer: null };
  getTotals: { input: Record<never, never>; answer: { readonly statistics: Statistics; readonly rates: Rates } };
  /** What each shard counted since it began, live and never zeroed. */
  getPerCpu: { input: Record<never, never>; answer: { readonly processors: readonly ProcessorStatistics[] } };
  /** Payload helpers (FTP), in no particular order. */
  listHelpers: { input: Record<never, never>; answer: { readonly helpers: readonly HelperStatus[] } };
  getTimeouts: { input: Record<never, never>; answer: Timeouts };
  /** 0 leaves a value alone. */
  setTimeouts: { input: { readonly timeouts: Timeouts }; answer: null };
  /** A setting of net.ipv4.vs as the text of its file in /proc, without the line end. ENOENT: no such name. */
  getSetting: { input: { readonly setting: SettingName }; answer: { readonly value: string } };
  /** Takes `value` as if it was written to that file. EINVAL: no number, or out of range. */
  setSetting: { input: { readonly setting: SettingName; readonly value: string }; answer: null };
  listSettings: {
    input: Record<never, never>;
    answer: { readonly settings: Readonly<Record<SettingName, string>> };
  };
  listSyncDaemons: { input: Record<never, never>; answer: { readonly daemons: readonly SyncDaemonSpec[] } };
  startSyncDaemon: { input: { readonly daemon: SyncDaemonSpec }; answer: null };
  stopSyncDaemon: { input: { readonly role: SyncRole }; answer: null };
  /** EEXIST: a rule that matches the same packets is there. New rules are asked after the older ones. */
  addMarkRule: { input: { readonly rule: MarkRule }; answer: null };
  /** The rule with this match and mark; ESRCH when there is none. */
  deleteMarkRule: { input: { readonly rule: MarkRule }; answer: null };
  /** In the order they are asked. */
  listMarkRules: { input: Record<never, never>; answer: { readonly rules: readonly MarkRule[] } };
  /** MASQUERADE and SNAT rules of the host, which of them are followed, and how often. */
  listSourceNatRules: { input: Record<never, never>; answer: SourceNatReport };
  /** Drops by reason, table fill, neighbour and link state: for status, metrics and tests. */
  getCounters: { input: Record<never, never>; answer: EngineCounters };
  /** What would become of a packet now, and why. Nothing changes by it. EINVAL: it is no packet; ENODEV: no such link. */
  rehearse: { input: RehearsedPacket; answer: PacketTrace };
  /**
   * What became of packets that match `filter` (model/packet-filter.ts) and `profile`, since the last reading of the
   * trace with this `id`. It begins with the first reading, and ends with one of `limit` 0, or some seconds after the
   * last. `snapBytes`: how much of each frame is kept. EINVAL, ENOMEM.
   */
  readTrace: {
    input: {
      readonly id: string;
      readonly filter?: string;
      readonly profile?: string;
      readonly limit?: number;
      readonly snapBytes?: number;
    };
    answer: TracePage;
  };
  /**
   * Packets as they came and as they left, in short and as bytes, since the last reading of the capture with this `id`.
   * It begins with the first reading, and ends some seconds after the last, or with `stop`: then nothing is added any
   * more, and it is gone when all was read. `all`: also packets that are not balanced. EINVAL, ENOMEM.
   */
  readCapture: {
    input: {
      readonly id: string;
      readonly filter?: string;
      readonly snapBytes?: number;
      readonly all?: boolean;
      readonly stop?: boolean;
    };
    answer: CapturePage;
  };
  /** What the I/O back end counts, link by link. */
  getLinkCounters: { input: Record<never, never>; answer: { readonly links: readonly LinkCounters[] } };
}

/** Frames of one link since it was served, as the I/O back end sees them. */
export interface LinkCounters {
  readonly link: string;
  readonly received: number;
  readonly transmitted: number;
  /** Frames the kernel threw away before they were read, for want of room. */
  readonly receiveDrops: number;
  /** Frames the link refused, by errno name or a word of ours. */
  readonly transmitErrors: Readonly<Record<string, number>>;
  /** Frames that wait in the receive ring now, the most that were seen waiting, and how many it holds. */
  readonly ring: { readonly waiting: number; readonly peak: number; readonly slots: number } | null;
  /** Back end xdp only: how the XDP program is attached and what went that way, or why there is none. */
  readonly xdp?:
    | { readonly mode: 'generic' | 'native'; readonly received: number; readonly transmitted: number }
    | { readonly refused: string };
}

export interface EngineCounters {
  /** Frames by what became of them. */
  readonly verdicts: Readonly<Record<string, number>>;
  /** Frames dropped, by reason. */
  readonly drops: Readonly<Record<string, number>>;
  /** Frames given on to the host's stack, by reason. */
  readonly passes: Readonly<Record<string, number>>;
  readonly connections: number;
  /** 0: no limit but memory. */
  readonly connectionsMax: number;
  /**
   * What the kernel carries for the engine: connections that are handed over now, and what it has carried so far; the
   * other counters have it all. Absent: there is no fast path.
   */
  readonly fastPath?: FastPathCounters;
  /** Absent: one worker carries all. */
  readonly shards?: readonly ShardStatus[];
}

/** Connections that the fast path carries now, and what it has carried since the engine began. */
export interface FastPathCounters {
  readonly connections: number;
  readonly packets: number;
  readonly bytes: number;
}

/** One of several workers, each with a table of its own. */
export interface ShardStatus {
  readonly shard: number;
  readonly connections: number;
  /** Frames by whose they are: its own, heard by every shard, or another's. */
  readonly own: number;
  readonly shared: number;
  /** Left alone, since their own shard has them too. */
  readonly foreign: number;
  /** Who takes other shards' frames out: the kernel, or the worker itself, which then reads every frame. */
  readonly steering: 'kernel' | 'worker';
  /** How often it died and a new one took its place; its connections were lost each time. */
  readonly replaced: number;
}

export type CommandName = keyof Commands;
export type Command<N extends CommandName = CommandName> = {
  [K in N]: { readonly name: K } & Commands[K]['input'];
}[N];
export type Answer<N extends CommandName> = Commands[N]['answer'];

/** Every command name, and whether it changes the table. The API, its description and completions read it. */
export const COMMANDS: Readonly<Record<CommandName, { readonly changes: boolean; readonly summary: string }>> = {
  info: { changes: false, summary: 'Version and size of the table' },
  addService: { changes: true, summary: 'Add a virtual service' },
  editService: { changes: true, summary: 'Replace the settings of a virtual service' },
  deleteService: { changes: true, summary: 'Delete a virtual service with its destinations' },
  flush: { changes: true, summary: 'Delete every virtual service' },
  addDestination: { changes: true, summary: 'Add a destination to a service' },
  editDestination: { changes: true, summary: 'Replace the settings of a destination' },
  deleteDestination: { changes: true, summary: 'Delete a destination' },
  getService: { changes: false, summary: 'One service with its destinations' },
  listServices: { changes: false, summary: 'Services with their destinations, in pages' },
  listConnections: { changes: false, summary: 'Connections, in pages' },
  zero: { changes: true, summary: 'Zero the counters of one service or of all' },
  getTotals: { changes: false, summary: 'Counters and rates of the whole table' },
  getPerCpu: { changes: false, summary: 'Counters of each shard, live and never zeroed' },
  listHelpers: { changes: false, summary: 'Payload helpers and their use' },
  getTimeouts: { changes: false, summary: 'The three timeouts of ipvsadm --set' },
  setTimeouts: { changes: true, summary: 'Set the three timeouts' },
  getSetting: { changes: false, summary: 'A setting of net.ipv4.vs' },
  setSetting: { changes: true, summary: 'Change a setting of net.ipv4.vs' },
  listSettings: { changes: false, summary: 'All settings of net.ipv4.vs' },
  listSyncDaemons: { changes: false, summary: 'Running synchronisation daemons' },
  startSyncDaemon: { changes: true, summary: 'Start a synchronisation daemon' },
  stopSyncDaemon: { changes: true, summary: 'Stop a synchronisation daemon' },
  addMarkRule: { changes: true, summary: 'Give packets a firewall mark' },
  deleteMarkRule: { changes: true, summary: 'Delete a rule that gives packets a firewall mark' },
  listMarkRules: { changes: false, summary: 'Rules that give packets firewall marks' },
  listSourceNatRules: { changes: false, summary: 'MASQUERADE and SNAT rules of the host that are followed' },
  getCounters: { changes: false, summary: 'Drops, passes and table fill of the data plane' },
  rehearse: { changes: false, summary: 'What would become of a packet, and why; nothing changes' },
  readTrace: { changes: false, summary: 'What became of packets that match a filter, and why' },
  readCapture: { changes: false, summary: 'Packets as they came and as they left, as bytes' },
  getLinkCounters: { changes: false, summary: 'Frames, drops and send errors of each link' },
};

/**
 * The words of the command line as data: commands, options, and which option goes with which command.
 * Behaviour: ipvsadm 1.31 as shipped by Debian 12.
 */

/** Options in the order in which they are checked; the names are the ones that messages use. */
export const OPTION_NAMES = [
  'numeric',
  'connection',
  'service-address',
  'scheduler',
  'persistent',
  'netmask',
  'real-server',
  'forwarding-method',
  'weight',
  'u-threshold',
  'l-threshold',
  'mcast-interface',
  'timeout',
  'daemon',
  'stats',
  'rate',
  'thresholds',
  'persistent-conn',
  'nosort',
  'syncid',
  'exact',
  'ops',
  'pe',
  'sched-flags',
  'mcast-group',
  'mcast-port',
  'mcast-ttl',
  'sync-maxlen',
  'tun-info',
  'tun-type',
  'tun-port',
  'tun-nocsum',
  'tun-csum',
  'tun-remcsum',
] as const;
export type OptionName = (typeof OPTION_NAMES)[number];

export type CommandWord =
  | 'add-service'
  | 'edit-service'
  | 'delete-service'
  | 'flush'
  | 'list'
  | 'add-server'
  | 'delete-server'
  | 'edit-server'
  | 'set'
  | 'start-daemon'
  | 'stop-daemon'
  | 'restore'
  | 'save'
  | 'zero'
  | 'help'
  | 'version';

/** One word of the command line. Exactly one of `command` and `option` is there. */
export interface OptionKind {
  readonly short?: string;
  readonly long?: string;
  readonly value: 'none' | 'required' | 'optional';
  readonly command?: CommandWord;
  /** `null`: not counted, so it may be repeated and goes with every command. */
  readonly option?: OptionName | null;
}

export const OPTION_KINDS: readonly OptionKind[] = [
  { short: 'A', long: 'add-service', value: 'none', command: 'add-service' },
  { short: 'E', long: 'edit-service', value: 'none', command: 'edit-service' },
  { short: 'D', long: 'delete-service', value: 'none', command: 'delete-service' },
  { short: 'C', long: 'clear', value: 'none', command: 'flush' },
  { short: 'L', long: 'list', value: 'none', command: 'list' },
  { short: 'l', value: 'none', command: 'list' },
  { short: 'a', long: 'add-server', value: 'none', command: 'add-server' },
  { short: 'd', long: 'delete-server', value: 'none', command: 'delete-server' },
  { short: 'e', long: 'edit-server', value: 'none', command: 'edit-server' },
  { long: 'set', value: 'none', command: 'set' },
  { long: 'start-daemon', value: 'required', command: 'start-daemon' },
  { long: 'stop-daemon', value: 'required', command: 'stop-daemon' },
  { short: 'R', long: 'restore', value: 'none', command: 'restore' },
  { short: 'S', long: 'save', value: 'none', command: 'save' },
  { short: 'Z', long: 'zero', value: 'none', command: 'zero' },
  { short: 'h', long: 'help', value: 'none', command: 'help' },
  { short: 'v', long: 'version', value: 'none', command: 'version' },

  { short: 't', long: 'tcp-service', value: 'required', option: 'service-address' },
  { short: 'u', long: 'udp-service', value: 'required', option: 'service-address' },
  { long: 'sctp-service', value: 'required', option: 'service-address' },
  { short: 'f', long: 'fwmark-service', value: 'required', option: 'service-address' },
  { short: '6', long: 'ipv6', value: 'none', option: null },
  { short: 's', long: 'scheduler', value: 'required', option: 'scheduler' },
  { short: 'p', long: 'persistent', value: 'optional', option: 'persistent' },
  { short: 'M', long: 'netmask', value: 'required', option: 'netmask' },
  { long: 'pe', value: 'required', option: 'pe' },
  { short: 'b', long: 'sched-flags', value: 'required', option: 'sched-flags' },
  { short: 'o', long: 'ops', value: 'none', option: 'ops' },
  { short: 'r', long: 'real-server', value: 'required', option: 'real-server' },
  { short: 'g', long: 'gatewaying', value: 'none', option: 'forwarding-method' },
  { short: 'i', long: 'ipip', value: 'none', option: 'forwarding-method' },
  { short: 'm', long: 'masquerading', value: 'none', option: 'forwarding-method' },
  { long: 'tun-type', value: 'required', option: 'tun-type' },
  { long: 'tun-port', value: 'required', option: 'tun-port' },
  { long: 'tun-nocsum', value: 'none', option: 'tun-nocsum' },
  { long: 'tun-csum', value: 'none', option: 'tun-csum' },
  { long: 'tun-remcsum', value: 'none', option: 'tun-remcsum' },
  { short: 'w', long: 'weight', value: 'required', option: 'weight' },
  { short: 'x', long: 'u-threshold', value: 'required', option: 'u-threshold' },
  { short: 'y', long: 'l-threshold', value: 'required', option: 'l-threshold' },
  { short: 'n', long: 'numeric', value: 'none', option: 'numeric' },
  { short: 'c', long: 'connection', value: 'none', option: 'connection' },
  { long: 'timeout', value: 'none', option: 'timeout' },
  { long: 'daemon', value: 'none', option: 'daemon' },
  { long: 'stats', value: 'none', option: 'stats' },
  { long: 'rate', value: 'none', option: 'rate' },
  { long: 'thresholds', value: 'none', option: 'thresholds' },
  { long: 'persistent-conn', value: 'none', option: 'persistent-conn' },
  { long: 'tun-info', value: 'none', option: 'tun-info' },
  { long: 'nosort', value: 'none', option: 'nosort' },
  { long: 'sort', value: 'none', option: null },
  { short: 'X', long: 'exact', value: 'none', option: 'exact' },
  { long: 'mcast-interface', value: 'required', option: 'mcast-interface' },
  { long: 'syncid', value: 'required', option: 'syncid' },
  { long: 'sync-maxlen', value: 'required', option: 'sync-maxlen' },
  { long: 'mcast-group', value: 'required', option: 'mcast-group' },
  { long: 'mcast-port', value: 'required', option: 'mcast-port' },
  { long: 'mcast-ttl', value: 'required', option: 'mcast-ttl' },
];

/** `required`, `allowed`, or `exclusive`: at most one of the options so marked. An option not listed is illegal. */
export type OptionRule = 'required' | 'allowed' | 'exclusive';
export type OptionRules = Readonly<Partial<Record<OptionName, OptionRule>>>;

const SERVICE_SETTINGS: OptionRules = {
  'service-address': 'required',
  scheduler: 'allowed',
  persistent: 'allowed',
  netmask: 'allowed',
  ops: 'allowed',
  pe: 'allowed',
  'sched-flags': 'allowed',
};

const DESTINATION_SETTINGS: OptionRules = {
  'service-address': 'required',
  'real-server': 'required',
  'forwarding-method': 'allowed',
  weight: 'allowed',
  'u-threshold': 'allowed',
  'l-threshold': 'allowed',
  'tun-type': 'allowed',
  'tun-port': 'allowed',
  'tun-nocsum': 'allowed',
  'tun-csum': 'allowed',
  'tun-remcsum': 'allowed',
};

export const COMMAND_RULES: Readonly<Record<CommandWord, OptionRules>> = {
  'add-service': SERVICE_SETTINGS,
  'edit-service': SERVICE_SETTINGS,
  'delete-service': { 'service-address': 'required' },
  flush: {},
  list: {
    'service-address': 'exclusive',
    connection: 'exclusive',
    timeout: 'exclusive',
    daemon: 'exclusive',
    numeric: 'allowed',
    stats: 'allowed',
    rate: 'allowed',
    thresholds: 'allowed',
    'persistent-conn': 'allowed',
    nosort: 'allowed',
    exact: 'allowed',
    'tun-info': 'allowed',
    syncid: 'allowed',
  },
  'add-server': DESTINATION_SETTINGS,
  'edit-server': DESTINATION_SETTINGS,
  'delete-server': { 'service-address': 'required', 'real-server': 'required' },
  set: {},
  'start-daemon': {
    syncid: 'allowed',
    'mcast-interface': 'allowed',
    'mcast-group': 'allowed',
    'mcast-port': 'allowed',
    'mcast-ttl': 'allowed',
    'sync-maxlen': 'allowed',
  },
  'stop-daemon': { syncid: 'allowed' },
  restore: {},
  save: { numeric: 'allowed' },
  zero: { 'service-address': 'allowed' },
  help: {},
  version: {},
};

/** The options that describe a tunnel, and what each type wants of them. */
export const TUNNEL_OPTION_NAMES = ['tun-port', 'tun-nocsum', 'tun-csum', 'tun-remcsum'] as const;

export const TUNNEL_RULES: Readonly<Record<'ipip' | 'gue' | 'gre', OptionRules>> = {
  ipip: {},
  gue: { 'tun-port': 'required', 'tun-nocsum': 'exclusive', 'tun-csum': 'exclusive', 'tun-remcsum': 'exclusive' },
  gre: { 'tun-nocsum': 'exclusive', 'tun-csum': 'exclusive' },
};

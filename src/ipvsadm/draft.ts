/** A command line while it is read: defaults, changed by one option after the other. */
import type { ForwardingMethod, TunnelChecksum, TunnelType } from '../model/forwarding.ts';
import { PERSISTENCE_TIMEOUT_SECONDS_MAX, WEIGHT_MAX } from '../model/limits.ts';
import type { AddressFamily, ServiceProtocol } from '../model/service.ts';
import { type ParsedEndpoint, parseEndpoint, parseIpv4Host, parseMulticastGroup, parseNumber } from './addresses.ts';
import type { NameService } from './io.ts';
import type { OptionName } from './option-table.ts';
import type { ScannedOption } from './scanner.ts';
import { mistake } from './usage-error.ts';

/** `-p` without a value. */
const PERSISTENCE_DEFAULT_SECONDS = 360;
const SCHEDULER_NAME_LENGTH_MAX = 15;
const PERSISTENCE_ENGINE_NAME_LENGTH_MAX = 16;
const INTERFACE_NAME_LENGTH_MAX = 15;
/** Largest UDP payload. */
const SYNC_MESSAGE_BYTES_MAX = 65_507;

export class Draft {
  readonly given = new Set<OptionName>();
  /** IPv4 until an address or `-6` says otherwise. */
  family: AddressFamily = 'ipv4';
  /** `null` until a service was named: ports of real servers have no names before that. */
  protocol: ServiceProtocol | null = null;
  address = '0.0.0.0';
  port = 0;
  /** 0: not a service by mark. */
  mark = 0;
  scheduler = '';
  schedulerFlags = '';
  persistenceSeconds: number | null = null;
  netmask = '255.255.255.255';
  persistenceEngine = '';
  destination: ParsedEndpoint = { family: 'ipv4', address: '0.0.0.0', port: 0 };
  method: ForwardingMethod = 'direct';
  weight = 1;
  upperThreshold = 0;
  lowerThreshold = 0;
  tunnelType: TunnelType = 'ipip';
  tunnelPort = 0;
  tunnelChecksum: TunnelChecksum = 'none';
  syncInterface = 'eth0';
  syncId = 0;
  syncMaxLength = 0;
  syncGroup = '224.0.0.81';
  syncPort = 8848;
  syncTtl = 1;

  readonly names: NameService;

  constructor(names: NameService) {
    this.names = names;
  }

  /** Takes one option. Throws a UsageError when it was given before or its value is wrong. */
  async take({ kind, value }: ScannedOption): Promise<void> {
    const { option } = kind;
    if (option) {
      if (this.given.has(option)) throw mistake(`multiple '${option}' options specified`);
      this.given.add(option);
    }
    await SETTERS[kind.long ?? '']?.(this, value ?? '', value !== null);
  }

  async setService(protocol: ServiceProtocol, value: string): Promise<void> {
    this.protocol = protocol;
    const endpoint = await parseEndpoint(value, protocol, this.names);
    if (endpoint === null) throw mistake('illegal virtual server address[:port] specified');
    this.address = endpoint.address;
    this.port = endpoint.port ?? 0;
    if (endpoint.family === 'ipv6') this.becomeIpv6();
  }

  /** A netmask given earlier on the line was read as one for IPv4, and is lost. */
  becomeIpv6(): void {
    this.family = 'ipv6';
    this.netmask = '128';
  }

  async setNetmask(value: string): Promise<void> {
    if (this.family === 'ipv6') {
      this.netmask = String(numberOr(value, 1, 128, 'illegal ipv6 netmask specified'));
      return;
    }
    const mask = await parseIpv4Host(value, this.names);
    if (mask === null) throw mistake('illegal virtual server persistent mask specified');
    this.netmask = mask;
  }
}

/** What each option with a meaning of its own does, by its long name. */
const SETTERS: Readonly<Record<string, (draft: Draft, value: string, given: boolean) => void | Promise<void>>> = {
  'tcp-service': (draft, value) => draft.setService('tcp', value),
  'udp-service': (draft, value) => draft.setService('udp', value),
  'sctp-service': (draft, value) => draft.setService('sctp', value),
  'fwmark-service': (draft, value) => {
    // The kernel stores TCP for marks; service names of real servers are looked up for it.
    draft.protocol = 'tcp';
    draft.mark = numberOr(value, 1, 0xffffffff, `invalid fwmark value \`${value}' specified`);
  },
  ipv6: (draft) => {
    if (draft.mark === 0) throw mistake('-6 used before -f\n');
    draft.becomeIpv6();
  },
  scheduler: (draft, value) => {
    draft.scheduler = value.slice(0, SCHEDULER_NAME_LENGTH_MAX);
  },
  'sched-flags': (draft, value) => {
    draft.schedulerFlags = value;
  },
  persistent: (draft, value, given) => {
    draft.persistenceSeconds = given ? parseTimeout(value, 1) : PERSISTENCE_DEFAULT_SECONDS;
  },
  netmask: (draft, value) => draft.setNetmask(value),
  pe: (draft, value) => {
    draft.persistenceEngine = value.slice(0, PERSISTENCE_ENGINE_NAME_LENGTH_MAX);
  },
  'real-server': async (draft, value) => {
    const endpoint = await parseEndpoint(value, draft.protocol, draft.names);
    if (endpoint === null) throw mistake('illegal real server address[:port] specified');
    draft.destination = { ...endpoint, port: endpoint.port ?? draft.port };
  },
  gatewaying: (draft) => {
    draft.method = 'direct';
  },
  ipip: (draft) => {
    draft.method = 'tunnel';
  },
  masquerading: (draft) => {
    draft.method = 'masquerade';
  },
  'tun-type': (draft, value) => {
    if (value !== 'ipip' && value !== 'gue' && value !== 'gre') throw mistake('illegal tunnel type specified');
    draft.tunnelType = value;
  },
  'tun-port': (draft, value) => {
    draft.tunnelPort = numberOr(value, 1, 65_535, 'illegal tunnel port specified');
  },
  'tun-nocsum': (draft) => {
    draft.tunnelChecksum = 'none';
  },
  'tun-csum': (draft) => {
    draft.tunnelChecksum = 'full';
  },
  'tun-remcsum': (draft) => {
    draft.tunnelChecksum = 'remote';
  },
  weight: (draft, value) => {
    draft.weight = numberOr(value, 0, WEIGHT_MAX, 'illegal weight specified');
  },
  'u-threshold': (draft, value) => {
    draft.upperThreshold = numberOr(value, 0, WEIGHT_MAX, 'illegal u_threshold specified');
  },
  'l-threshold': (draft, value) => {
    draft.lowerThreshold = numberOr(value, 0, WEIGHT_MAX, 'illegal l_threshold specified');
  },
  'mcast-interface': (draft, value) => {
    draft.syncInterface = value.slice(0, INTERFACE_NAME_LENGTH_MAX);
  },
  syncid: (draft, value) => {
    draft.syncId = numberOr(value, 0, 255, 'illegal syncid specified');
  },
  'sync-maxlen': (draft, value) => {
    draft.syncMaxLength = numberOr(value, 1, SYNC_MESSAGE_BYTES_MAX, 'illegal sync-maxlen specified');
  },
  'mcast-group': (draft, value) => {
    const group = parseMulticastGroup(value);
    if (group === null) throw mistake(`invalid IPv${value.includes(':') ? 6 : 4} mcast-group \`${value}'`);
    draft.syncGroup = group;
  },
  'mcast-port': (draft, value) => {
    draft.syncPort = numberOr(value, 1, 65_535, 'illegal mcast-port specified');
  },
  'mcast-ttl': (draft, value) => {
    draft.syncTtl = numberOr(value, 1, 255, 'illegal mcast-ttl specified');
  },
};

/** Seconds, up to 31 days. */
export function parseTimeout(text: string, minSeconds: number): number {
  return numberOr(text, minSeconds, PERSISTENCE_TIMEOUT_SECONDS_MAX, `invalid timeout value \`${text}' specified`);
}

function numberOr(text: string, min: number, max: number, message: string): number {
  const value = parseNumber(text, min, max);
  if (value === null) throw mistake(message);
  return value;
}

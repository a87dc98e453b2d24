/** The command line of `uipvsd`. */
import { availableParallelism } from 'node:os';
import { LOG_LEVELS, type LogLevel } from '../control/log-level.ts';
import { CONNECTIONS_MAX_DEFAULT, CONNECTIONS_MAX_LIMIT, SHARDS_AUTO_MAX, SHARDS_MAX } from '../model/limits.ts';
import type { SourceNat } from '../model/service.ts';
import { type CommandDescription, type Output, readOptions, wholeNumber } from './command-line.ts';

export const IO_NAMES = ['packet-ring', 'packet-mmsg', 'pcap', 'xdp', 'macvtap'] as const;
const XDP_MODES = ['generic', 'native'] as const;
const FAST_PATHS = ['auto', 'off'] as const;

/** Measured on two processors that client, servers and balancer share: see the README of `packet-io`. */
const SPIN_US_DEFAULT = 0;
const SPIN_US_MAX = 1_000;
const RING_SLOTS_DEFAULT = 4_096;
const RING_SLOTS_MAX = 65_536;

export const DATA_PLANE_NAMES = ['auto', 'packet', 'kernel', 'macvtap', 'proxy'] as const;
const PROXY_VERSIONS = ['v1', 'v2'] as const;

export interface DaemonCommandLine {
  readonly dataPlane: (typeof DATA_PLANE_NAMES)[number];
  /** `null`: the best that works here. */
  readonly io: (typeof IO_NAMES)[number] | null;
  /** Microseconds to look for frames before sleeping, at most. */
  readonly spinUs: number;
  readonly bypassQueue: boolean;
  /** `auto`: where the kernel can, it carries the packets of connections that need no decision any more. */
  readonly fastPath: (typeof FAST_PATHS)[number];
  /** Frames that wait for us in each receive ring, about. */
  readonly ringSlots: number;
  /** Workers that share the traffic; of the packet engine. */
  readonly shards: number;
  readonly xdpMode: (typeof XDP_MODES)[number];
  readonly sourceNat: SourceNat;
  readonly connectionsMax: number;
  /** `null`: every link that can be served. */
  readonly links: readonly string[] | null;
  readonly guard: 'on' | 'off';
  /** `conntrack=1`, as typed. */
  readonly sysctl: readonly string[];
  /** `null`: the one of the network namespace. */
  readonly socket: string | null;
  readonly logLevel: LogLevel;
  /** Of the proxy: the PROXY header that servers are sent. */
  readonly sendProxy: (typeof PROXY_VERSIONS)[number] | null;
  /** Of the proxy: networks from which clients come with a PROXY header. */
  readonly acceptProxy: readonly string[];
  /** That carry connections of the proxy. */
  readonly processes: number;
}

export const UIPVSD: CommandDescription = {
  name: 'uipvsd',
  summary: 'Carries the traffic of virtual services in the network namespace it is started in, in the foreground.',
  options: [
    {
      flags: '--data-plane <name>',
      description:
        "who carries the traffic; auto takes the kernel's IPVS where it is loaded already and does all that is asked " +
        'for, otherwise the first of the others that works here, and says why',
      choices: DATA_PLANE_NAMES,
      preset: 'auto',
    },
    {
      flags: '--io <back end>',
      description: 'how packets are read and written (default: the first of these that works; see uipvs io)',
      choices: IO_NAMES,
    },
    {
      flags: '--spin-us <microseconds>',
      description:
        'look for packets so long before sleeping, as long as they keep coming that soon: answers come sooner, and ' +
        'the processor is kept from others',
      preset: SPIN_US_DEFAULT,
      parse: wholeNumber(0, SPIN_US_MAX),
    },
    {
      flags: '--bypass-queue',
      description: 'hand packets to the network card past its queueing discipline (tc) and nftables egress hooks',
    },
    {
      flags: '--fast-path <auto or off>',
      description:
        'auto: packets of established connections are rewritten by a BPF program of uipvsd in the kernel (Linux 6.6 or ' +
        'newer; packet-ring and packet-mmsg); off: the engine sees every packet',
      choices: FAST_PATHS,
      preset: 'auto',
    },
    {
      flags: '--ring-slots <count>',
      description: 'packets that can wait in the receive ring of each link',
      preset: RING_SLOTS_DEFAULT,
      parse: wholeNumber(64, RING_SLOTS_MAX),
    },
    {
      flags: '--shards <count>',
      description:
        'workers that share the traffic, each with clients of its own on a processor of its own; auto: one for each ' +
        'processor, at most ' +
        SHARDS_AUTO_MAX,
      preset: 1,
      parse: parseShards,
    },
    {
      flags: '--xdp-mode <mode>',
      description:
        'back end xdp: native has the driver run the XDP program, which veth does only without large frames; generic ' +
        'works with every driver',
      choices: XDP_MODES,
      preset: 'generic',
    },
    {
      flags: '--snat <address>',
      description:
        'source address that real servers see: none, masquerade, or an address of this host, for services that do not say',
      preset: 'none',
      parse: parseSourceNat,
    },
    {
      flags: '--connections-max <count>',
      description: 'connections the table can hold',
      preset: CONNECTIONS_MAX_DEFAULT,
      parse: wholeNumber(1, CONNECTIONS_MAX_LIMIT),
    },
    {
      flags: '--link <name>',
      description: 'serve this link only; may be repeated (default: all that can be served)',
      repeats: true,
    },
    {
      flags: '--sysctl <name=value>',
      description: 'a setting of net.ipv4.vs, such as conntrack=1; may be repeated; wins over the sysctl files',
      repeats: true,
    },
    { flags: '--socket <path>', description: 'the API socket (default: UIPVS_SOCKET, or /run/uipvs/<namespace>.sock)' },
    {
      flags: '--guard <on or off>',
      description: 'keep the host itself quiet about the virtual services',
      choices: ['on', 'off'],
      preset: 'on',
    },
    {
      flags: '--send-proxy <version>',
      description: 'data plane proxy: tell servers by a PROXY header who the client is',
      choices: PROXY_VERSIONS,
    },
    {
      flags: '--accept-proxy <network>',
      description:
        'data plane proxy: clients come through fronts in this network, which send a PROXY header; may be repeated',
      repeats: true,
    },
    {
      flags: '--processes <count>',
      description:
        'data plane proxy: processes that carry connections, a number or auto (one per processor); persistent services ' +
        'and UDP stay in the first',
      preset: 1,
      parse: parseProcesses,
    },
    {
      flags: '--log-level <level>',
      description: 'logs go to standard error as JSON',
      choices: LOG_LEVELS,
      preset: 'info',
    },
  ],
  notes: `One line on standard output says that it is ready. SIGTERM, SIGINT and SIGHUP end it and take down what it
set up; a second one ends it at once. The packet engine needs root, or CAP_NET_ADMIN and CAP_NET_RAW; the proxy
needs no rights for ports above 1023. With --data-plane kernel services, connections and settings stay in the kernel
when uipvsd ends, as with ipvsadm.

It starts with the settings of net.ipv4.vs that /etc/sysctl.conf and the files of sysctl.d(5) name. With
net.ipv4.vs.conntrack=1 the MASQUERADE and SNAT rules of the host's POSTROUTING chains (iptables or nft) apply to
connections through services, as with IPVS in the kernel; uipvs status lists them.

Exit codes: 0 ended by a signal, 1 failure, 2 the words were not understood.`,
};

/** An exit code when there is nothing to run: 0 after help and version, 2 after a mistake (told on `output`). */
export async function readDaemonOptions(
  words: readonly string[],
  output: Output,
): Promise<DaemonCommandLine | { readonly exitCode: number }> {
  const options = await readOptions(UIPVSD, words, output);
  if ('exitCode' in options) return { exitCode: options['exitCode'] as number };
  return {
    io: (options['io'] as DaemonCommandLine['io'] | undefined) ?? null,
    spinUs: options['spinUs'] as number,
    bypassQueue: options['bypassQueue'] === true,
    fastPath: options['fastPath'] as DaemonCommandLine['fastPath'],
    ringSlots: options['ringSlots'] as number,
    shards: options['shards'] as number,
    xdpMode: options['xdpMode'] as DaemonCommandLine['xdpMode'],
    sourceNat: options['snat'] as string,
    connectionsMax: options['connectionsMax'] as number,
    links: (options['link'] as string[] | undefined) ?? null,
    guard: options['guard'] as 'on' | 'off',
    sysctl: (options['sysctl'] as string[] | undefined) ?? [],
    socket: (options['socket'] as string | undefined) ?? null,
    logLevel: options['logLevel'] as LogLevel,
    dataPlane: options['dataPlane'] as DaemonCommandLine['dataPlane'],
    sendProxy: (options['sendProxy'] as DaemonCommandLine['sendProxy'] | undefined) ?? null,
    acceptProxy: (options['acceptProxy'] as string[] | undefined) ?? [],
    processes: options['processes'] as number,
  };
}

const PROCESSES_MAX = 64;

function parseProcesses(text: string): number {
  if (text === 'auto') return Math.min(PROCESSES_MAX, availableParallelism());
  try {
    return wholeNumber(1, PROCESSES_MAX)(text);
  } catch {
    throw new Error(`It must be auto, or a whole number from 1 to ${PROCESSES_MAX}.`);
  }
}

function parseShards(text: string): number {
  if (text === 'auto') return Math.min(availableParallelism(), SHARDS_AUTO_MAX);
  if (!/^[1-9]\d{0,2}$/.test(text) || Number(text) > SHARDS_MAX) {
    throw new Error(`It must be auto or a whole number from 1 to ${SHARDS_MAX}.`);
  }
  return Number(text);
}

function parseSourceNat(text: string): string {
  if (text === 'none' || text === 'masquerade') return text;
  const bytes = /^(?:(?:0|[1-9]\d{0,2})(?:\.|$)){4}(?<!\.)$/.test(text) ? text.split('.').map(Number) : [];
  if (bytes.length !== 4 || bytes.some((byte) => byte > 255)) {
    throw new Error('It must be none, masquerade or an IPv4 address such as 192.0.2.10.');
  }
  return text;
}

/** The texts of our systemd units, and the example of a sysctl.d file. Pure. Sources: systemd.exec(5), systemd.service(5). */

export interface UnitPlaces {
  /** Absolute path of node. */
  readonly node: string;
  /** Folder with `uipvsd.js`. */
  readonly programs: string;
  /** `null`: ldirectord's usual one. */
  readonly configuration: string | null;
  /** false: systemd-notify(1) speaks for the daemons, which systemd has to allow. */
  readonly notifiesItself: boolean;
}

export const UNIT_NAMES = ['uipvsd.service', 'uldirectord.service'] as const;
export type UnitName = (typeof UNIT_NAMES)[number];

export function unitText(name: UnitName, places: UnitPlaces): string {
  return name === 'uipvsd.service' ? uipvsdUnit(places) : uldirectordUnit(places);
}

function uipvsdUnit(places: UnitPlaces): string {
  return `[Unit]
Description=uipvs: layer-4 load balancer, IPVS in user space
Documentation=man:uipvsd(8)
After=network.target nftables.service

[Service]
Type=notify
${notifyAccess(places)}
# Options for every start belong there: UIPVSD_OPTIONS=--snat masquerade
EnvironmentFile=-/etc/default/uipvsd
ExecStart=${command(places, 'uipvsd')} $UIPVSD_OPTIONS
Restart=on-failure
RestartSec=1
# Wrong options do not become right by themselves.
RestartPreventExitStatus=2
# It says twice in this time that its packet engine answers.
WatchdogSec=30
TimeoutStopSec=20
RuntimeDirectory=uipvs
# Daemons of other network namespaces have their sockets there as well.
RuntimeDirectoryPreserve=yes
CacheDirectory=uipvs
OOMScoreAdjust=-500

# Packet sockets, links, neighbors and filters of its network namespace, programs of the fast path, and ports below 1024
# for the proxy; nothing else that root may do.
CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW CAP_NET_BIND_SERVICE CAP_BPF
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET
# Not here: ProtectKernelTunables, since it sets /proc/sys/net of its own link.
${sandbox(places)}
# Those programs again. Without this and CAP_BPF the engine sees every packet itself.
SystemCallFilter=bpf

[Install]
WantedBy=multi-user.target
`;
}

function uldirectordUnit(places: UnitPlaces): string {
  const file = places.configuration === null ? '' : ` ${quoted(places.configuration)}`;
  const program = command(places, 'uldirectord');
  return `[Unit]
Description=uipvs: checks real servers and takes dead ones out, as ldirectord(8)
Documentation=man:uldirectord(8)
Wants=uipvsd.service network-online.target
After=uipvsd.service network-online.target
Conflicts=ldirectord.service

[Service]
Type=notify
${notifyAccess(places)}
ExecStart=${program} --foreground${file} start
# A broken file fails here, with the line, and changes nothing.
ExecReload=${program}${file} reload
Restart=on-failure
RestartSec=1
# A file that is missing or broken does not become right by itself.
RestartPreventExitStatus=1 2 255
WatchdogSec=30
TimeoutStopSec=60
CacheDirectory=uipvs

# checktype=ping needs a raw socket. Programs named in the configuration (checkcommand, callback, fallbackcommand) are
# inside the same walls, and so is sendmail. Mailers that need set-group-ID and /var/spool, as Postfix does, cannot work
# there: name a mail server with smtp=, or take walls down with \`systemctl edit uldirectord\`.
CapabilityBoundingSet=CAP_NET_RAW
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
ProtectKernelTunables=yes
# Its pid file and its log.
ReadWritePaths=/run /var/log
${sandbox(places)}

[Install]
WantedBy=multi-user.target
`;
}

export const SYSCTL_EXAMPLE = `# An example for /etc/sysctl.d/60-uipvs.conf; it is not installed by anything.

# Answers of real servers pass through this host (masquerading), so it must forward.
net.ipv4.ip_forward = 1
net.ipv6.conf.all.forwarding = 1

# As in tutorials that add MASQUERADE rules of iptables. The name exists only with IPVS in the kernel; the dash makes
# other kernels pass over it. For uipvsd it is \`uipvs sysctl net.ipv4.vs.conntrack=1\`.
-net.ipv4.vs.conntrack = 1
`;

function notifyAccess({ notifiesItself }: UnitPlaces): string {
  return `NotifyAccess=${notifiesItself ? 'main' : 'all'}`;
}

function command({ node, programs }: UnitPlaces, program: string): string {
  return `${quoted(node)} ${quoted(`${programs}/${program}.js`)}`;
}

/** Both daemons run as root, who owns the sockets and files that they share with people, but of root's powers they have few. */
function sandbox({ node, programs }: UnitPlaces): string {
  const seen = [node, programs];
  const below = (folders: RegExp) => seen.some((path) => folders.test(path));
  const lines = [
    'NoNewPrivileges=yes',
    'ProtectSystem=strict',
    // Where the programs themselves lie must be seen: here, and with PrivateTmp.
    `ProtectHome=${below(/^\/(home|root|run\/user)\//) ? 'read-only' : 'yes'}`,
    'ProtectProc=invisible',
    'ProtectControlGroups=yes',
    'ProtectKernelLogs=yes',
    'ProtectKernelModules=yes',
    'ProtectClock=yes',
    'ProtectHostname=yes',
    'PrivateDevices=yes',
    `PrivateTmp=${below(/^\/(var\/)?tmp\//) ? 'no' : 'yes'}`,
    'RestrictNamespaces=yes',
    'RestrictRealtime=yes',
    'RestrictSUIDSGID=yes',
    'LockPersonality=yes',
    'KeyringMode=private',
    'UMask=0027',
    'SystemCallArchitectures=native',
    'SystemCallFilter=@system-service',
    'SystemCallFilter=~@resources @privileged',
    'SystemCallErrorNumber=EPERM',
    '# Not here: MemoryDenyWriteExecute, since JavaScript is compiled as it runs.',
  ];
  return lines.join('\n');
}

/** systemd.service(5), "Command lines": a blank ends a word, and % and $ mean something. */
function quoted(word: string): string {
  const plain = word.replaceAll('%', '%%').replaceAll('$', '$$$$');
  return /[\s"'\\;]/.test(plain) ? `"${plain.replace(/["\\]/g, '\\$&')}"` : plain;
}

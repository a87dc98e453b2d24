/** `ipvsadm -v` and `ipvsadm -h`. The first line is the one of ipvsadm 1.31, which scripts look at. */

export const VERSION_LINE = 'ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)';

/** What an option or a command is for. */
export interface HelpEntry {
  /** `-s, --scheduler NAME` */
  readonly flags: string;
  /** May be empty. */
  readonly text: string;
}

export interface HelpBlock {
  readonly heading: string;
  /** Behind the heading. */
  readonly remark: string;
  readonly entries: readonly HelpEntry[];
  /** A line at the end. */
  readonly note?: string;
}

export function helpText(programName: string): string {
  const lines = [VERSION_LINE, 'Usage:', ...USAGE.map((line) => `  ${programName} ${line}`), ''];
  HELP_BLOCKS.forEach(({ heading, remark, entries, note }, index) => {
    lines.push(`${heading}:${remark === '' ? '' : ` ${remark}`}`);
    const width = Math.max(...entries.map(({ flags, text }) => (text === '' ? 0 : flags.length)));
    for (const { flags, text } of entries) lines.push(`  ${flags.padEnd(width + 2)}${text}`.trimEnd());
    if (note !== undefined) lines.push(`  ${note}`);
    if (index < 2) lines.push('');
  });
  return `${lines.join('\n')}\n`;
}

export const USAGE: readonly string[] = [
  '-A|-E SERVICE [-s SCHEDULER] [-b FLAGS] [-p [SECONDS]] [-M MASK] [--pe ENGINE] [-o]',
  '-D SERVICE',
  '-a|-e SERVICE -r SERVER [-g|-i|-m] [-w WEIGHT] [-x MAX] [-y MIN] [TUNNEL]',
  '-d SERVICE -r SERVER',
  '-L [SERVICE] [-n] [--stats|--rate|--thresholds|--persistent-conn|--tun-info] [--exact] [--nosort]',
  '-L -c|--timeout|--daemon [-n]',
  '-Z [SERVICE]',
  '-C',
  '-S [-n]',
  '-R',
  '--set TCP TCPFIN UDP',
  '--start-daemon master|backup [DAEMON]',
  '--stop-daemon master|backup',
  '-h',
  '-v',
];

/** `[flags, text]` */
function block(heading: string, remark: string, entries: readonly (readonly [string, string])[], note?: string) {
  const described = entries.map(([flags, text]) => ({ flags, text }));
  return { heading, remark, entries: described, ...(note === undefined ? {} : { note }) };
}

export const HELP_BLOCKS: readonly HelpBlock[] = [
  block('Commands', 'each has a short and a long form, or only a long one.', [
    ['-A, --add-service', 'add a virtual service'],
    ['-E, --edit-service', 'replace the settings of a virtual service'],
    ['-D, --delete-service', 'delete a virtual service and its real servers'],
    ['-a, --add-server', 'add a real server to a service'],
    ['-e, --edit-server', 'replace the settings of a real server'],
    ['-d, --delete-server', 'delete a real server'],
    ['-L, -l, --list', 'list services and real servers, or what another option names'],
    ['-Z, --zero', 'set counters to zero: of one service, or all'],
    ['-C, --clear', 'delete everything'],
    ['-S, --save', 'print the table as commands'],
    ['-R, --restore', 'read commands from standard input'],
    ['    --set TCP TCPFIN UDP', 'set the timeouts of established TCP, TCP after FIN, and UDP, in seconds'],
    ['    --start-daemon master|backup', 'start to send or to receive connection synchronisation'],
    ['    --stop-daemon master|backup', 'stop it'],
    ['-h, --help', 'print this text'],
    ['-v, --version', 'print the version'],
  ]),
  block(
    'virtual-service',
    'SERVICE is one of',
    [
      ['-t, --tcp-service ADDRESS:PORT', 'of TCP'],
      ['-u, --udp-service ADDRESS:PORT', 'of UDP'],
      ['    --sctp-service ADDRESS:PORT', 'of SCTP'],
      ['-f, --fwmark-service MARK', 'packets with this firewall mark'],
      ['-6, --ipv6', 'behind -f: the IPv6 packets with it'],
    ],
    'IPv6 addresses stand in brackets: [2001:db8::1]:80',
  ),
  block('Options', '', [
    ['-s, --scheduler NAME', 'rr|wrr|lc|wlc|lblc|lblcr|dh|sh|sed|nq|fo|ovf|mh, default wlc'],
    ['-b, --sched-flags LIST', 'sh-fallback,sh-port or mh-fallback,mh-port or flag-1,flag-2,flag-3'],
    ['-p, --persistent [SECONDS]', 'keep clients at their real server, 360 seconds unless told otherwise'],
    ['-M, --netmask MASK', 'how much of a client address makes a client; IPv6: prefix length'],
    ['    --pe NAME', 'persistence engine'],
    ['-o, --ops', 'choose anew for every datagram'],
    ['-r, --real-server ADDRESS[:PORT]', 'a real server; without a port it has that of the service'],
    ['-g, --gatewaying', 'direct routing (default)'],
    ['-i, --ipip', 'tunnelling'],
    ['-m, --masquerading', 'network address translation'],
    ['    --tun-type ipip|gue|gre', 'how the tunnel wraps packets, default ipip'],
    ['    --tun-port PORT', 'UDP port of a gue tunnel'],
    ['    --tun-nocsum', 'gue and gre without checksums (default)'],
    ['    --tun-csum', 'gue and gre with checksums'],
    ['    --tun-remcsum', 'gue with remote checksum offload'],
    ['-w, --weight NUMBER', '0 takes no new connections, default 1'],
    ['-x, --u-threshold NUMBER', 'no new connections above so many'],
    ['-y, --l-threshold NUMBER', 'new ones again below so many'],
    ['-n, --numeric', 'numbers instead of names'],
    ['-c, --connection', 'list the connections'],
    ['    --timeout', 'list the timeouts'],
    ['    --daemon', 'list the synchronisation daemons'],
    ['    --stats', 'list counters'],
    ['    --rate', 'list counters per second'],
    ['-X, --exact', 'list counters in full'],
    ['    --thresholds', 'list thresholds'],
    ['    --persistent-conn', 'list persistent connections'],
    ['    --tun-info', 'list tunnel settings'],
    ['    --nosort', 'list in table order'],
    ['    --sort', 'accepted, and the default'],
  ]),
  block('Daemon Options', '', [
    ['    --syncid NUMBER', '0..255, default 0'],
    ['    --mcast-interface NAME', 'default eth0'],
    ['    --mcast-group ADDRESS', 'default 224.0.0.81'],
    ['    --mcast-port PORT', 'default 8848'],
    ['    --mcast-ttl NUMBER', 'default 1'],
    ['    --sync-maxlen NUMBER', 'bytes in one message'],
  ]),
];

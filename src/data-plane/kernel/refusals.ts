/** What the kernel's IPVS does not do, refused by name beforehand; and its own refusals, as errors of the house. */
import { constants } from 'node:os';
import type { Command } from '../../model/commands.ts';
import type { Capabilities } from '../../model/data-plane.ts';
import { type ErrorCode, IpvsError } from '../../model/errors.ts';
import { formatEndpoint, formatServiceKey, type ServiceSpec } from '../../model/service.ts';

export const KERNEL_CAPABILITIES: Capabilities = {
  name: 'kernel IPVS',
  families: ['ipv4', 'ipv6'],
  protocols: ['tcp', 'udp', 'sctp'],
  methods: ['masquerade', 'direct', 'tunnel', 'local', 'bypass'],
  // Which of them this kernel was built with is seen when one is asked for: its module is loaded then.
  schedulers: ['rr', 'wrr', 'lc', 'wlc', 'sed', 'nq', 'dh', 'sh', 'mh', 'lblc', 'lblcr', 'fo', 'ovf', 'twos'],
  fullNat: false,
  persistence: true,
  persistenceEngines: true,
  wildcards: true,
  marks: true,
  sync: true,
};

/** Throws EOPNOTSUPP for what only other data planes do. */
export function refuseWhatTheKernelCannot(command: Command): void {
  if (command.name === 'addMarkRule' || command.name === 'deleteMarkRule') {
    throw new IpvsError(
      'EOPNOTSUPP',
      "in front of the kernel's IPVS marks are given by the packet filter: iptables -t mangle -A PREROUTING ... -j MARK, " +
        'or nft ... meta mark set; the packet engine has rules of its own: uipvsd --data-plane packet',
    );
  }
  if (command.name === 'addService' || command.name === 'editService') {
    const wish = (command.service as ServiceSpec | undefined)?.sourceNat;
    if (wish === undefined || wish === 'none') return;
    throw new IpvsError(
      'EOPNOTSUPP',
      "the kernel's IPVS has no source NAT of its own: set net.ipv4.vs.conntrack=1 and write an iptables or nft " +
        'MASQUERADE rule, or let the packet engine do it: uipvsd --data-plane packet',
    );
  }
}

const NUMBERS = constants.errno as Readonly<Record<string, number>>;
const CODES: readonly ErrorCode[] = [
  'EEXIST',
  'ESRCH',
  'ENOENT',
  'EINVAL',
  'ERANGE',
  'EPERM',
  'ENODEV',
  'ENOMEM',
  'ENOBUFS',
  'EBUSY',
  'EAFNOSUPPORT',
  'EOPNOTSUPP',
  'EFAULT',
];

/** The error for what the kernel said no to. */
export function refusalOf(command: Command, errno: number): IpvsError {
  const code = CODES.find((name) => NUMBERS[name] === errno);
  if (code === undefined) {
    const name = Object.keys(NUMBERS).find((each) => NUMBERS[each] === errno) ?? `errno ${errno}`;
    return new IpvsError('EIO', `the kernel's IPVS refused ${describe(command)}: ${name}`);
  }
  return new IpvsError(code, reasonOf(command, code) ?? `the kernel's IPVS refused ${describe(command)}: ${code}`);
}

function reasonOf(command: Command, code: ErrorCode): string | null {
  if (code === 'EPERM') return "the kernel's IPVS listens to root and CAP_NET_ADMIN only";
  if (code === 'ENOENT' && (command.name === 'addService' || command.name === 'editService')) {
    const { scheduler, persistenceEngine } = command.service;
    const modules = [`ip_vs_${scheduler}`, ...(persistenceEngine === null ? [] : [`ip_vs_pe_${persistenceEngine}`])];
    const engine = persistenceEngine === null ? '' : ` or no persistence engine ${JSON.stringify(persistenceEngine)}`;
    return (
      `this kernel has no scheduler ${JSON.stringify(scheduler)}${engine}: ` +
      `there is no module ${modules.join(' or ')} for it (try modprobe)`
    );
  }
  return null;
}

/** The order and what it is about. */
export function describe(command: Command): string {
  switch (command.name) {
    case 'addService':
    case 'editService':
      return `${command.name} ${formatServiceKey(command.service.key)}`;
    case 'deleteService':
    case 'getService':
      return `${command.name} ${formatServiceKey(command.key)}`;
    case 'addDestination':
    case 'editDestination':
    case 'deleteDestination': {
      const { address, port } = command.destination;
      return `${command.name} ${formatEndpoint(address, port)} of ${formatServiceKey(command.service)}`;
    }
    case 'startSyncDaemon':
      return `${command.name} ${command.daemon.role} on ${command.daemon.interface}`;
    default:
      return command.name;
  }
}

/**
 * From a data plane's refusal to the sentence `ipvsadm` prints for it. The sentences are ipvsadm 1.31's own:
 * configuration tools look for them.
 */
import type { IpvsError } from '../model/errors.ts';
import type { CommandWord } from './option-table.ts';

type Sentences = Readonly<Record<string, string>>;

const SERVICE_UNKNOWN: Sentences = { ESRCH: 'No such service' };
const FACTORY_UNKNOWN: Sentences = { ENOENT: 'Scheduler or persistence engine not found' };
const PARENT_UNKNOWN: Sentences = { ESRCH: 'Service not defined' };
const DESTINATION_UNKNOWN: Sentences = { ...PARENT_UNKNOWN, ENOENT: 'No such destination' };

/** Sentences that depend on what was asked. */
const BY_COMMAND: Readonly<Partial<Record<CommandWord, Sentences>>> = {
  'add-service': { ...FACTORY_UNKNOWN, EEXIST: 'Service already exists' },
  'edit-service': { ...FACTORY_UNKNOWN, ...SERVICE_UNKNOWN },
  'delete-service': SERVICE_UNKNOWN,
  zero: SERVICE_UNKNOWN,
  list: SERVICE_UNKNOWN,
  'add-server': { ...PARENT_UNKNOWN, EEXIST: 'Destination already exists' },
  'edit-server': DESTINATION_UNKNOWN,
  'delete-server': DESTINATION_UNKNOWN,
  'start-daemon': { EEXIST: 'Daemon has already run' },
  'stop-daemon': { ESRCH: 'No daemon is running' },
};

/** Sentences for everything else; below the line the C library's texts. */
const BY_CODE: Sentences = {
  EPERM: 'Permission denied (you must be root)',
  EINVAL: 'Invalid operation.  Possibly wrong module version, address not unicast, ...',
  ENOPROTOOPT: 'Protocol not available',
  ENOMEM: 'Memory allocation problem',
  EOPNOTSUPP: 'Operation not supported with IPv6',
  EAFNOSUPPORT: 'Operation not supported with specified address family',
  EMSGSIZE: 'Module is wrong version',
  // ---
  EEXIST: 'File exists',
  ESRCH: 'No such process',
  ENOENT: 'No such file or directory',
  ERANGE: 'Numerical result out of range',
  ENODEV: 'No such device',
  ENOBUFS: 'No buffer space available',
  EBUSY: 'Device or resource busy',
  EFAULT: 'Bad address',
  EIO: 'Input/output error',
};

/** Codes for which ipvsadm's sentence would mislead; the data plane's own words follow on a second line. */
const EXPLAINED_CODES: ReadonlySet<string> = new Set(['EOPNOTSUPP', 'EIO']);

/** What goes to standard error when the data plane refuses `command`: whole lines. */
export function refusalText(command: CommandWord | null, error: IpvsError): string {
  const sentence = (command === null ? undefined : BY_COMMAND[command]?.[error.code]) ?? codeText(error);
  const explained = EXPLAINED_CODES.has(error.code) && error.message !== '';
  return explained ? `${sentence}\nuipvs: ${error.message}\n` : `${sentence}\n`;
}

function codeText(error: IpvsError): string {
  return BY_CODE[error.code] ?? `Unknown error (${error.code})`;
}

/** What goes to standard error when there is no table to ask. A third line is ours: why, and what to do about it. */
export function noTableText(error: IpvsError): string {
  const lines = [
    `Can't initialize ipvs: ${codeText(error)}`,
    'Are you sure that IP Virtual Server is built in the kernel or as module?',
  ];
  if (error.code !== 'EPERM') lines.push(`uipvs: ${error.message.replace(/\s+/g, ' ') || NOBODY_ANSWERS}`);
  return `${lines.join('\n')}\n`;
}

const NOBODY_ANSWERS = 'no uipvsd answers in this network namespace; start one with `uipvsd`';

/** Warns of a table older than 1.1.4; `''` when it is new enough. */
export function versionWarning(version: string): string {
  const [major = 0, minor = 0, patch = 0] = version.split('.').map(Number);
  if (major * 0x10000 + minor * 0x100 + patch >= 0x010104) return '';
  return [
    'Warning: IPVS version mismatch: ',
    `  Kernel compiled with IPVS version ${version}`,
    '  ipvsadm v1.31  requires minimum IPVS version 1.1.4',
    '\n',
  ].join('\n');
}

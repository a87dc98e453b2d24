/**
 * The device node of the tap: what the kernel calls /dev/tapN, N being the interface index. That name is not to be
 * relied upon: where nobody makes device nodes it is missing, and two network namespaces may use the same N. So a node
 * counts when its numbers are those the kernel gave this link, and otherwise one is made, opened and removed again.
 */
import { spawnSync } from 'node:child_process';
import { constants, openSync, readdirSync, readFileSync, statSync, unlinkSync } from 'node:fs';
import { PacketIoError } from './packet-io.ts';

/** The macvtap link by which all frames come and go. */
export const TAP_LINK_NAME = 'uipvs-tap';
const LINKS = '/sys/class/net';

/** Opens it for reading and writing without blocking. Throws a PacketIoError that says what is missing. */
export function openTap(link = TAP_LINK_NAME): number {
  const device = deviceNumbers(link);
  const known = existingNode(device);
  if (known !== null) return open(known);
  const made = `/dev/uipvs-tap-${device.replace(':', '-')}`;
  removeNode(made);
  const [major, minor] = device.split(':') as [string, string];
  const result = spawnSync('mknod', ['-m', '600', made, 'c', major, minor], { encoding: 'utf8' });
  if (result.status !== 0) {
    const reason = result.error?.message ?? result.stderr.trim();
    throw new PacketIoError(`there is no node in /dev for the tap ${device}, and none can be made: ${reason}`);
  }
  try {
    return open(made);
  } finally {
    removeNode(made);
  }
}

function open(path: string): number {
  try {
    return openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const container =
      code === 'EPERM' ? '; a container must be allowed to use the device (its device cgroup rules)' : '';
    throw new PacketIoError(`the tap cannot be opened: ${message}${container}`, { cause });
  }
}

function removeNode(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // There was none.
  }
}

/** `major:minor`, as the kernel tells it. */
function deviceNumbers(link: string): string {
  const found = fromSysfs(link) ?? fromFreshSysfs(link);
  if (found !== null) return found;
  throw new PacketIoError(`there is no tap ${link} in this network namespace`);
}

/**
 * A sysfs shows the network namespace it was mounted in, which need not be this one; there a link may have the same name
 * and index. Addresses of taps are random, so the same address is the same link.
 */
function fromSysfs(link: string): string | null {
  try {
    const tap = readdirSync(`${LINKS}/${link}`).find((name) => /^tap\d+$/.test(name));
    if (tap === undefined || readFileSync(`${LINKS}/${link}/address`, 'utf8').trim() !== addressOf(link)) return null;
    return readFileSync(`${LINKS}/${link}/${tap}/dev`, 'utf8').trim();
  } catch {
    return null;
  }
}

function fromFreshSysfs(link: string): string | null {
  const script = `mount -t sysfs none /sys && cat ${LINKS}/${link}/tap*/dev`;
  const result = spawnSync('unshare', ['--mount', 'sh', '-c', script], { encoding: 'utf8' });
  return result.status === 0 && /^\d+:\d+\s*$/.test(result.stdout) ? result.stdout.trim() : null;
}

/** The MAC address of a link of this network namespace; `null` when it has none of that name. */
function addressOf(link: string): string | null {
  const result = spawnSync('ip', ['-o', 'link', 'show', 'dev', link], { encoding: 'utf8' });
  return /link\/ether (\S+)/.exec(result.stdout ?? '')?.[1] ?? null;
}

function existingNode(device: string): string | null {
  for (const name of readdirSync('/dev')) {
    if (!/^tap\d+$/.test(name)) continue;
    try {
      const stat = statSync(`/dev/${name}`);
      if (stat.isCharacterDevice() && numbersText(stat.rdev) === device) return `/dev/${name}`;
    } catch {
      // Gone in the meantime.
    }
  }
  return null;
}

/** As glibc's makedev(3) packs them. */
function numbersText(rdev: number): string {
  const packed = BigInt(rdev);
  const major = ((packed >> 8n) & 0xfffn) | ((packed >> 32n) & 0xfffff000n);
  const minor = (packed & 0xffn) | ((packed >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}

/** Whether the kernel knows taps at all: `null`, or why not. Nothing is left behind. */
export function tapsUnavailable(): string | null {
  // A trial by a root of its own, in a network of its own: nothing of this host's is touched.
  const script =
    'ip link add tap-a type veth peer name tap-b && ip link add link tap-a name tap-c type macvtap mode passthru';
  const words = process.getuid?.() === 0 ? ['--net'] : ['--user', '--map-root-user', '--net'];
  const result = spawnSync('unshare', [...words, 'sh', '-c', script], { encoding: 'utf8' });
  if (result.error !== undefined) return `unshare (util-linux) does not run: ${result.error.message}`;
  if (result.status === 0) return null;
  const complaint = result.stderr.trim().split('\n').at(-1) ?? '';
  return `macvtap links cannot be made here (${complaint}): it needs iproute2, root, and a kernel with macvtap`;
}

/** Programs of the operating system: what is missing, and how it gets there on Debian and Ubuntu. */
import { existsSync, readdirSync } from 'node:fs';
import { isOnPath, lastLines, run, say } from './terminal.mjs';

/**
 * @typedef {{ package: string, present: () => boolean }} Tool
 * A package of Debian and Ubuntu, and how to see that what we need of it is there.
 */

/** @type {readonly Tool[]} What the lab starts. */
export const LAB_TOOLS = [
  { package: 'iproute2', present: () => isOnPath('ip') },
  { package: 'nftables', present: () => isOnPath('nft') },
  { package: 'apache2-utils', present: () => isOnPath('ab') },
  { package: 'iputils-ping', present: () => isOnPath('ping') },
  { package: 'util-linux', present: () => isOnPath('unshare') && isOnPath('nsenter') && isOnPath('mount') },
  { package: 'procps', present: () => isOnPath('sysctl') },
];

/** @type {readonly Tool[]} What npm needs to compile the packages of the pcap back end. */
export const COMPILER_TOOLS = [
  { package: 'libpcap-dev', present: hasPcapHeader },
  { package: 'g++', present: () => isOnPath('g++') || isOnPath('c++') },
  { package: 'make', present: () => isOnPath('make') },
  { package: 'python3', present: () => isOnPath('python3') },
];

/** @type {readonly Tool[]} What single tests need; without them those are skipped. */
export const TEST_TOOLS = [
  { package: 'ethtool', present: () => isOnPath('ethtool') },
  { package: 'tcpdump', present: () => isOnPath('tcpdump') },
  { package: 'tshark', present: () => isOnPath('tshark') },
  { package: 'python3-aiosmtpd', present: () => existsSync('/usr/lib/python3/dist-packages/aiosmtpd') },
];

/** @type {readonly Tool[]} What single scenarios of the lab need, and their tests. */
export const SCENARIO_TOOLS = [
  { package: 'dnsmasq-base', present: () => isOnPath('dnsmasq') },
  { package: 'dnsperf', present: () => isOnPath('dnsperf') },
  { package: 'vsftpd', present: () => isOnPath('vsftpd') },
  { package: 'curl', present: () => isOnPath('curl') },
  { package: 'iptables', present: () => isOnPath('iptables') },
  { package: 'ldirectord', present: () => isOnPath('ldirectord') && isOnPath('ipvsadm') },
];

/** Of these packages, those that bring a service that the system would start. */
const SERVICES = { vsftpd: ['vsftpd'], ldirectord: ['ldirectord', 'ipvsadm'] };
/**
 * Hides, from the installation alone, the programs by which it would start services: nobody asked for an FTP server
 * on this machine.
 */
const STARTING_NOTHING = `for program in /usr/sbin/invoke-rc.d /usr/bin/deb-systemd-invoke; do
  if [ -e "$program" ]; then mount -n --bind /bin/true "$program" || exit 1; fi
done
exec "$@"`;

/**
 * As `installSystemPackages`, but the services of these packages are neither started now nor at the next boot.
 * @param {readonly string[]} packages
 * @returns {Promise<string | null>}
 */
export async function installWithoutServices(packages) {
  const services = packages.flatMap((name) => SERVICES[name] ?? []);
  // What was there before is its owner's business.
  const fresh = services.filter((name) => !existsSync(`/etc/init.d/${name}`));
  const prefix = fresh.length > 0 ? ['unshare', '-m', 'sh', '-c', STARTING_NOTHING, 'sh'] : [];
  const failure = await installSystemPackages(packages, prefix);
  for (const name of fresh) {
    if (existsSync(`/etc/init.d/${name}`)) await run('update-rc.d', [name, 'disable']);
  }
  return failure;
}

function hasPcapHeader() {
  return existsSync('/usr/include/pcap/pcap.h') || existsSync('/usr/local/include/pcap/pcap.h');
}

/**
 * Names of the packages that are missing.
 * @param {readonly Tool[]} tools
 */
export function missingPackages(tools) {
  return tools.filter((tool) => !tool.present()).map((tool) => tool.package);
}

/**
 * The line that installs them, for people.
 * @param {readonly string[]} packages
 */
export function installLine(packages) {
  return `sudo apt-get install -y ${packages.join(' ')}`;
}

/**
 * Installs packages without asking anything.
 * @param {readonly string[]} packages
 * @param {readonly string[]} [prefix] words before the command that installs
 * @returns {Promise<string | null>} why it could not be done, in one sentence, or `null`.
 */
export async function installSystemPackages(packages, prefix = []) {
  if (!isOnPath('apt-get'))
    return 'this system has no apt-get; install the same programs with its own package manager.';
  if (process.getuid?.() !== 0) return 'installing them needs root.';
  say(`installing ${packages.join(' ')} (apt-get) ...`);
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  const quietly = ['-o', 'Acquire::Retries=2', '-o', 'DPkg::Lock::Timeout=120', '-qq'];
  const words = ['apt-get', ...quietly, 'install', '-y', '--no-install-recommends', ...packages];
  const [command, ...args] = [...prefix, ...words];
  const install = () => run(command, args, { env });
  const haveLists =
    existsSync('/var/lib/apt/lists') && readdirSync('/var/lib/apt/lists').some((name) => name.endsWith('_Packages'));
  let result = haveLists ? await install() : { code: 100, output: '' };
  if (result.code !== 0) {
    await run('apt-get', [...quietly, 'update'], { env });
    result = await install();
  }
  return result.code === 0 ? null : `apt-get could not install them:\n${lastLines(result.output, 6)}`;
}

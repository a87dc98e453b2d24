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
  { package: 'keepalived', present: () => isOnPath('keepalived') },
  { package: 'ldirectord', present: () => isOnPath('ldirectord') && isOnPath('ipvsadm') },
];

/** @type {readonly Tool[]} Servers that the tests of the checks start themselves, and what those need. */
export const CHECK_SERVER_TOOLS = [
  { package: 'nginx', present: () => isOnPath('nginx') },
  { package: 'tinyproxy-bin', present: () => isOnPath('tinyproxy') },
  { package: 'vsftpd', present: () => isOnPath('vsftpd') },
  { package: 'postfix', present: () => isOnPath('postfix') },
  { package: 'dovecot-imapd', present: () => existsSync('/usr/lib/dovecot/imap') },
  { package: 'dovecot-pop3d', present: () => existsSync('/usr/lib/dovecot/pop3') },
  { package: 'jamnntpd', present: () => isOnPath('jamnntpd') },
  { package: 'kamailio', present: () => isOnPath('kamailio') },
  { package: 'unbound', present: () => isOnPath('unbound') },
  { package: 'slapd', present: () => isOnPath('slapd') },
  { package: 'freeradius', present: () => isOnPath('freeradius') },
  { package: 'mariadb-server-core', present: () => isOnPath('mariadbd') },
  { package: 'mariadb-client-core', present: () => isOnPath('my_print_defaults') },
  { package: 'postgresql', present: hasPostgres },
  { package: 'socat', present: () => isOnPath('socat') },
  { package: 'openssl', present: () => isOnPath('openssl') },
];

/** @type {readonly Tool[]} What a guest with a kernel of its own needs. */
export const GUEST_TOOLS = [
  { package: 'qemu-system-x86', present: () => isOnPath('qemu-system-x86_64') },
  { package: 'busybox-static', present: () => isOnPath('busybox') },
  { package: 'kmod', present: () => isOnPath('depmod') && isOnPath('modprobe') },
];

/** @type {readonly Tool[]} What `npm run bench` measures with, and whom it compares with. */
export const BENCH_TOOLS = [
  { package: 'nginx-light', present: () => isOnPath('nginx') },
  { package: 'libnginx-mod-stream', present: () => existsSync('/usr/lib/nginx/modules/ngx_stream_module.so') },
  { package: 'haproxy', present: () => isOnPath('haproxy') },
  { package: 'pen', present: () => isOnPath('pen') },
  { package: 'iperf3', present: () => isOnPath('iperf3') },
  { package: 'linux-perf', present: () => isOnPath('perf') },
];

/** Of these packages, those that bring a service that the system would start. */
const SERVICES = {
  'dovecot-imapd': ['dovecot'],
  'dovecot-pop3d': ['dovecot'],
  freeradius: ['freeradius'],
  'nginx-light': ['nginx'],
  haproxy: ['haproxy'],
  iperf3: ['iperf3'],
  keepalived: ['keepalived'],
  jamnntpd: ['jamnntpd'],
  kamailio: ['kamailio'],
  ldirectord: ['ldirectord', 'ipvsadm'],
  nginx: ['nginx'],
  postfix: ['postfix'],
  postgresql: ['postgresql'],
  slapd: ['slapd'],
  unbound: ['unbound'],
  vsftpd: ['vsftpd'],
};
/** Says whether the package of PostgreSQL makes a database of its own; belongs to the package of this name. */
const POSTGRES_SETTINGS = '/etc/postgresql-common/createcluster.conf';
const POSTGRES_SETTINGS_PACKAGE = 'postgresql-common';
/**
 * Hides, from the installation alone, the programs by which it would start services, and the wish for a database:
 * nobody asked for an FTP server on this machine.
 */
const STARTING_NOTHING = `for program in /usr/sbin/invoke-rc.d /usr/bin/deb-systemd-invoke; do
  if [ -e "$program" ]; then mount -n --bind /bin/true "$program" || exit 1; fi
done
if [ -e ${POSTGRES_SETTINGS} ]; then
  settings=$(mktemp) && echo 'create_main_cluster = false' > "$settings" &&
    mount -n --bind "$settings" ${POSTGRES_SETTINGS} && rm "$settings" || exit 1
fi
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
  // Its settings have to be there before they can be hidden.
  const before = fresh.includes('postgresql') && !existsSync(POSTGRES_SETTINGS) ? [POSTGRES_SETTINGS_PACKAGE] : [];
  const failure =
    (before.length > 0 ? await installSystemPackages(before, prefix) : null) ??
    (await installSystemPackages(packages, prefix));
  for (const name of fresh) {
    if (existsSync(`/etc/init.d/${name}`)) await run('update-rc.d', [name, 'disable']);
  }
  return failure;
}

/** Debian keeps the server where no search path leads, one folder for each major version. */
function hasPostgres() {
  const folder = '/usr/lib/postgresql';
  return existsSync(folder) && readdirSync(folder).some((name) => existsSync(`${folder}/${name}/bin/postgres`));
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
  // Better without a program than with it in the place of one that its owner chose, as with mail servers.
  const words = ['apt-get', ...quietly, 'install', '-y', '--no-remove', '--no-install-recommends', ...packages];
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

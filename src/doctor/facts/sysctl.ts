/** Settings of the kernel that load balancing depends on, read from /proc/sys. */
import { readdirSync, readFileSync } from 'node:fs';
import { type Known, known, unknown } from '../facts.ts';

/** By their names for sysctl(8): `net.ipv4.ip_forward` -> `1`. A setting that this kernel lacks is not there. */
export type SysctlFacts = Readonly<Record<string, string>>;

const ROOT = '/proc/sys/net';
const SINGLE = [
  'ipv4/ip_forward',
  'ipv4/ip_local_port_range',
  'ipv4/tcp_keepalive_time',
  'ipv6/conf/all/forwarding',
] as const;
const PER_LINK = ['rp_filter', 'arp_ignore', 'arp_announce'] as const;

export function readSysctl(root: string = ROOT): Known<SysctlFacts> {
  let links: string[];
  try {
    links = readdirSync(`${root}/ipv4/conf`);
  } catch (error) {
    return unknown(`${root} cannot be read: ${(error as Error).message}`);
  }
  const paths = [...SINGLE, ...links.flatMap((link) => PER_LINK.map((name) => `ipv4/conf/${link}/${name}`))];
  const values: Record<string, string> = {};
  for (const path of paths) {
    try {
      values[`net.${path.replaceAll('.', '\0').replaceAll('/', '.').replaceAll('\0', '/')}`] = readFileSync(
        `${root}/${path}`,
        'utf8',
      )
        .trim()
        .replaceAll('\t', ' ');
    } catch {
      // This kernel does not have it.
    }
  }
  return known(values);
}

/** The higher of the value for all links and that of `link` holds: rp_filter, arp_ignore, arp_announce. */
export function effectiveSetting(sysctl: SysctlFacts, name: string, link: string): number {
  const all = Number(sysctl[`net.ipv4.conf.all.${name}`] ?? 0);
  return Math.max(all, Number(sysctl[`net.ipv4.conf.${link.replaceAll('.', '/')}.${name}`] ?? 0));
}

/**
 * The host link: a veth pair between the host's stack (`uipvs-host`) and the engine (`uipvs-io`, served like any
 * link). Frames the engine sends there enter the stack; what the stack sends to the engine's address comes out.
 * It carries connections to servers on this host, and gives back what the guard held back but nobody owns.
 * The watchdog removes it.
 */
import { writeFile } from 'node:fs/promises';
import { runTool } from './run-tool.ts';
import { HOST_LINK_NAME } from './watchdog.ts';

export { HOST_LINK_NAME };
export const ENGINE_LINK_NAME = 'uipvs-io';
/** Link-local (RFC 3927), so it never meets an address that is routed. */
export const HOST_END_ADDRESS = '169.254.117.1';
export const ENGINE_END_ADDRESS = '169.254.117.2';
const PREFIX_LENGTH = 30;
/** Unique local (RFC 4193), of a network that is ours by its name alone. */
export const HOST_END_ADDRESS6 = 'fd75:6970:7673::1';
export const ENGINE_END_ADDRESS6 = 'fd75:6970:7673::2';
const PREFIX_LENGTH6 = 126;
/** Locally administered; both ends are seen on this cable only. */
const HOST_END_MAC = '02:75:69:70:76:01';
const ENGINE_END_MAC = '02:75:69:70:76:02';

/**
 * The stack must take frames that carry its own addresses as source and 127.0.0.0/8 as destination, and must
 * not look the way back up in its routes. On the engine's end it must keep still.
 */
const SYSCTLS: readonly (readonly [path: string, value: string])[] = [
  [`ipv4/conf/${HOST_LINK_NAME}/rp_filter`, '2'],
  [`ipv4/conf/${HOST_LINK_NAME}/accept_local`, '1'],
  [`ipv4/conf/${HOST_LINK_NAME}/route_localnet`, '1'],
  [`ipv6/conf/${HOST_LINK_NAME}/accept_ra`, '0'],
  // No link-local address, so nothing is said on the cable that nobody asked for.
  [`ipv6/conf/${HOST_LINK_NAME}/addr_gen_mode`, '1'],
  [`ipv6/conf/${HOST_LINK_NAME}/accept_dad`, '0'],
  [`ipv4/conf/${ENGINE_LINK_NAME}/forwarding`, '0'],
  [`ipv4/conf/${ENGINE_LINK_NAME}/arp_ignore`, '8'],
  [`ipv6/conf/${ENGINE_LINK_NAME}/disable_ipv6`, '1'],
];

/** Without it these do not work; the daemon says so. */
export const WITHOUT_HOST_LINK =
  'servers on this host (such as ldirectord’s fallback 127.0.0.1) cannot be reached through services, and connections of this host that look like a service’s do not get through';

/**
 * Creates the pair; there must be none. `mtu`: the largest of the links served, so that what came by one of them
 * fits. Returns `null`, or the reason why it cannot be had; nothing is left behind then.
 */
export async function createHostLink(mtu: number): Promise<string | null> {
  const hostEnd = ['link', 'add', HOST_LINK_NAME, 'mtu', `${mtu}`, 'address', HOST_END_MAC, 'type', 'veth'];
  const engineEnd = ['peer', 'name', ENGINE_LINK_NAME, 'mtu', `${mtu}`, 'address', ENGINE_END_MAC];
  const added = await runTool('ip', [...hostEnd, ...engineEnd]);
  if (added.code !== 0) return added.complaint;
  const reason = await configure();
  if (reason !== null) await runTool('ip', ['link', 'delete', HOST_LINK_NAME]);
  return reason;
}

async function configure(): Promise<string | null> {
  // Before the links go up, so that the stack never speaks IPv6 on the engine’s end.
  for (const [path, value] of SYSCTLS) {
    try {
      await writeFile(`/proc/sys/net/${path}`, value);
    } catch (error) {
      // A kernel without IPv6 has nothing to set.
      if (path.startsWith('ipv6/')) continue;
      return `/proc/sys/net/${path}: ${(error as Error).message}`;
    }
  }
  const steps = [
    ['address', 'add', `${HOST_END_ADDRESS}/${PREFIX_LENGTH}`, 'dev', HOST_LINK_NAME],
    ['link', 'set', HOST_LINK_NAME, 'up'],
    ['link', 'set', ENGINE_LINK_NAME, 'up'],
    ['neighbor', 'replace', ENGINE_END_ADDRESS, 'lladdr', ENGINE_END_MAC, 'dev', HOST_LINK_NAME, 'nud', 'permanent'],
  ];
  for (const step of steps) {
    const result = await runTool('ip', step);
    if (result.code !== 0) return result.complaint;
  }
  await configureIpv6();
  return null;
}

/** Where IPv6 is switched off the cable does without: the network snapshot says which addresses there are. */
async function configureIpv6(): Promise<void> {
  await writeFile(`/proc/sys/net/ipv6/conf/${HOST_LINK_NAME}/disable_ipv6`, '0').catch(() => {});
  const steps = [
    ['-6', 'address', 'add', `${HOST_END_ADDRESS6}/${PREFIX_LENGTH6}`, 'dev', HOST_LINK_NAME, 'nodad'],
    ['neighbor', 'replace', ENGINE_END_ADDRESS6, 'lladdr', ENGINE_END_MAC, 'dev', HOST_LINK_NAME, 'nud', 'permanent'],
  ];
  for (const step of steps) if ((await runTool('ip', step)).code !== 0) return;
}

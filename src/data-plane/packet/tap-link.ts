/**
 * The tap: a veth pair, and a macvtap link on its far end. What the guard's rules forward to the near end comes out of
 * the tap's device node, and what is written there comes in by the near end, where rules send it on. No link of the
 * host is taken away from its stack. The watchdog removes the pair, and the macvtap link goes with it.
 */
import { writeFile } from 'node:fs/promises';
import { TAP_LINK_NAME } from '../../packet-io/tap-device.ts';
import { runTool } from './run-tool.ts';
import { TAP_NEAR_NAME } from './watchdog.ts';

export { TAP_LINK_NAME, TAP_NEAR_NAME };
export const TAP_FAR_NAME = 'uipvs-far';
/** Whatever fits another link fits these. */
const MTU = 65_535;
/** Frames that wait in the tap to be read. */
const QUEUE_FRAMES = 4_096;

/** Creates the links; there must be none. Returns `null`, or the reason why they cannot be had; then none is left. */
export async function createTap(): Promise<string | null> {
  const reason = await create();
  if (reason !== null) await runTool('ip', ['link', 'delete', TAP_NEAR_NAME]);
  return reason;
}

async function create(): Promise<string | null> {
  const mtu = `${MTU}`;
  const pair = ['link', 'add', TAP_NEAR_NAME, 'mtu', mtu, 'type', 'veth', 'peer', 'name', TAP_FAR_NAME, 'mtu', mtu];
  const tap = ['link', 'add', 'link', TAP_FAR_NAME, 'name', TAP_LINK_NAME, 'txqueuelen', `${QUEUE_FRAMES}`];
  const links = [TAP_NEAR_NAME, TAP_FAR_NAME, TAP_LINK_NAME];
  for (const words of [pair, [...tap, 'type', 'macvtap', 'mode', 'passthru']]) {
    const result = await runTool('ip', words);
    if (result.code !== 0) return result.complaint;
  }
  for (const link of links) {
    // The stack keeps still on these cables. A kernel without IPv6 has nothing to set.
    await writeFile(`/proc/sys/net/ipv6/conf/${link}/disable_ipv6`, '1').catch(() => {});
    const result = await runTool('ip', ['link', 'set', link, 'arp', 'off', 'up']);
    if (result.code !== 0) return result.complaint;
  }
  return null;
}

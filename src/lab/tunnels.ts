/**
 * The far ends of tunnels: a program on every server that takes packets out of them, since a kernel may lack such
 * devices; and the words for `ipvsadm` where ldirectord.cf has none.
 */
import { fileURLToPath } from 'node:url';
import { endpoint } from './addresses.ts';
import { LabError, waitFor } from './host.ts';
import type { Lab } from './run.ts';
import { hostsOf, type LabHost, type LabTopology, type LabTunnel, realServers } from './topology.ts';

const PROGRAM = fileURLToPath(new URL('./tunnel-server.js', import.meta.url));
const START_TIMEOUT_MS = 10_000;

/** UDP port of GUE, as the kernel's own documentation has it. */
export const GUE_PORT = 6080;

/**
 * A kernel that knows tunnels, but has no device for ours, tells the sender that there is no such protocol. The
 * packets have arrived all the same, so nobody must hear that.
 */
export const NO_COMPLAINTS = `add table inet uipvs-lab
add chain inet uipvs-lab out { type filter hook output priority 0; }
add rule inet uipvs-lab out icmp type destination-unreachable drop
add rule inet uipvs-lab out icmpv6 type { destination-unreachable, parameter-problem } drop`;

/** Starts the program on every server and waits until all are ready. */
export async function startTunnelEnds(lab: Lab, tunnel: LabTunnel, signal: AbortSignal): Promise<void> {
  const servers = hostsOf(lab.topology, 'server');
  for (const server of servers) await lab.mustRun(server, ['nft', NO_COMPLAINTS]);
  await Promise.all(servers.map((server) => startTunnelEnd(lab, server, tunnel, signal)));
}

async function startTunnelEnd(lab: Lab, server: LabHost, tunnel: LabTunnel, signal: AbortSignal): Promise<void> {
  const words = [process.execPath, PROGRAM, tunnel, lab.topology.family, String(GUE_PORT)];
  const process_ = lab.start(server, words);
  let ready = false;
  let failure: string | null = null;
  let said = '';
  process_.stdout?.once('data', () => (ready = true));
  process_.stderr?.setEncoding('utf8').on('data', (text: string) => (said += text));
  process_.on('error', (error) => (failure = error.message));
  process_.on('exit', (code) => (failure ??= said.trim() || `it ended with ${code}`));
  process_.stdin?.on('error', () => {});
  const decided = () => (ready || failure !== null ? true : null);
  await waitFor(decided, { timeoutMs: START_TIMEOUT_MS, everyMs: 20, signal });
  if (!ready) throw new LabError(`the end of the tunnel to ${server.name} did not start: ${failure ?? 'no answer'}`);
}

/** The table by hand, as words for `ipvsadm`. */
export function tunnelCommands(topology: LabTopology, tunnel: LabTunnel, scheduler: string): string[][] {
  const service = ['-t', endpoint(topology.virtualAddress, topology.virtualPort)];
  const how = ['-i', '--tun-type', tunnel, ...(tunnel === 'gue' ? ['--tun-port', String(GUE_PORT)] : [])];
  const servers = realServers(topology).map(({ address, port }) => ['-r', endpoint(address, port), ...how]);
  return [['-A', ...service, '-s', scheduler], ...servers.map((server) => ['-a', ...service, ...server])];
}

/** What `uipvs migrate` needs of the concrete data planes. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { MigrationTools } from '../cli/migrate.ts';
import { missingCapabilities, privilegeComplaint } from '../cli/privileges.ts';
import { startAndConnect } from '../control/autostart.ts';
import { connectDataPlane } from '../control/client.ts';
import { sendToGroup } from '../data-plane/hand-over/send.ts';
import { writeHandOver } from '../data-plane/hand-over/sync-messages.ts';
import { kernelIpvsIsLoaded, openKernelDataPlane } from '../data-plane/kernel/open.ts';
import { ENGINE_LINK_NAME, HOST_END_ADDRESS } from '../data-plane/packet/host-link.ts';
import { IpvsError } from '../model/errors.ts';

/** Not the group and port of a cluster: nobody else is meant. */
const GROUP = '224.0.0.254';
const PORT = 18_848;
/** Where each hears messages from this host, and the address of the interface that leads there. */
const WAYS = {
  kernel: { interface: 'lo', from: '127.0.0.1' },
  packet: { interface: ENGINE_LINK_NAME, from: HOST_END_ADDRESS },
} as const;
const STOP_MS = 30_000;
/** Nobody waits at a prompt: a slow machine may take its time. */
const READY_MS = 90_000;
const LOOK_EVERY_MS = 50;

export const migrationTools: MigrationTools = {
  kernelIsLoaded: async () => kernelIpvsIsLoaded(),
  openKernel: async () => openKernelDataPlane(),
  async packetUnavailable() {
    const complaint = privilegeComplaint('uipvs', ['migrate', '--to', 'packet'], missingCapabilities());
    if (complaint !== null) return complaint;
    const { LIVE_KINDS } = await import('../packet-io/index.ts');
    const reasons: string[] = [];
    for (const kind of Object.values(LIVE_KINDS)) {
      const reason = await kind.unavailable();
      if (reason === null) return null;
      reasons.push(`${kind.name}: ${reason}`);
    }
    return reasons.join('; ');
  },
  startDaemon: (words) => {
    const program = fileURLToPath(new URL('./uipvsd.js', import.meta.url));
    return startAndConnect({
      command: process.execPath,
      words: [program, '--log-level', 'warn', ...words],
      startedBy: 'uipvs migrate',
      readyTimeoutMs: READY_MS,
    });
  },
  async stopDaemon({ pid, socket }) {
    try {
      process.kill(pid, 'SIGTERM');
    } catch (cause) {
      throw new IpvsError('EPERM', `uipvsd (pid ${pid}) cannot be ended: ${(cause as Error).message}`, { cause });
    }
    for (let waitedMs = 0; waitedMs < STOP_MS; waitedMs += LOOK_EVERY_MS) {
      if (!isAlive(pid) && !(await answers(socket))) return;
      await sleep(LOOK_EVERY_MS);
    }
    throw new IpvsError('EBUSY', `uipvsd (pid ${pid}) did not end within ${STOP_MS / 1000} seconds`);
  },
  writeHandOver,
  listener: (target, syncId) => ({
    role: 'backup',
    interface: WAYS[target].interface,
    syncId,
    maxLength: 0,
    group: GROUP,
    port: PORT,
    ttl: 1,
  }),
  async send(target, datagrams, { group, port }) {
    try {
      await sendToGroup(datagrams, { from: WAYS[target].from, group, port });
    } catch (cause) {
      throw new IpvsError('EIO', `connections cannot be handed over: ${(cause as Error).message}`, { cause });
    }
  },
  forwards(family) {
    const path = family === 'ipv4' ? 'ipv4/ip_forward' : 'ipv6/conf/all/forwarding';
    try {
      return readFileSync(`/proc/sys/net/${path}`, 'utf8').trim() !== '0';
    } catch {
      return true;
    }
  },
};

/** A zombie, whose parent has not looked yet, is dead. */
function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) !== 'Z';
  } catch {
    return false;
  }
}

async function answers(socket: string): Promise<boolean> {
  try {
    await (await connectDataPlane(socket)).close();
    return true;
  } catch {
    return false;
  }
}

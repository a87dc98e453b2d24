/** `ipvsadm -L --timeout` and `ipvsadm -L --daemon`. When the data plane refuses, they end with status 1 and no word. */
import { IpvsError } from '../model/errors.ts';
import type { IpvsadmIo, IpvsadmTable } from './io.ts';

/** Prints and returns the exit status. */
export async function listSettings(kind: 'timeouts' | 'daemons', table: IpvsadmTable, io: IpvsadmIo): Promise<number> {
  try {
    await io.stdout(kind === 'timeouts' ? await timeoutLines(table) : await daemonLines(table));
    return 0;
  } catch (error) {
    if (error instanceof IpvsError) return 1;
    throw error;
  }
}

async function timeoutLines(table: IpvsadmTable): Promise<string> {
  const { tcpSeconds, tcpFinSeconds, udpSeconds } = await table.execute<'getTimeouts'>({ name: 'getTimeouts' });
  return `Timeout (tcp tcpfin udp): ${tcpSeconds} ${tcpFinSeconds} ${udpSeconds}\n`;
}

/** The master first. */
async function daemonLines(table: IpvsadmTable): Promise<string> {
  const { daemons } = await table.execute<'listSyncDaemons'>({ name: 'listSyncDaemons' });
  const inOrder = (['master', 'backup'] as const).flatMap((role) => daemons.filter((daemon) => daemon.role === role));
  return inOrder
    .map(
      (daemon) =>
        `${daemon.role} sync daemon (mcast=${daemon.interface}, syncid=${daemon.syncId}, ` +
        `maxlen=${daemon.maxLength}, group=${daemon.group}, port=${daemon.port}, ttl=${daemon.ttl})\n`,
    )
    .join('');
}

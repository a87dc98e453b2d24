/** What the table and the kernels of the lab's hosts have counted in the end. */
import type { Director } from './director.ts';
import { LabError, waitFor } from './host.ts';
import type { Lab } from './run.ts';
import type { LabHost } from './topology.ts';

/** The table's counters move every two seconds; a little more for slow machines. */
const STATISTICS_INTERVAL_MS = 2500;
const STATISTICS_TIMEOUT_MS = 8000;

/**
 * Connections by server as the table counts them, once they have caught up with what the servers served: the table
 * counts at least as many connections as requests, or, where that need not be, it has come to rest.
 */
export async function settledConnections(
  director: Director,
  connectionPerRequest: boolean,
  served: Readonly<Record<string, number>>,
  signal: AbortSignal,
) {
  let counted: Record<string, number> = {};
  let last = '';
  const caughtUp = async () => {
    counted = await director.tableConnections();
    if (connectionPerRequest) {
      return Object.entries(counted).every(([label, count]) => count >= (served[label] ?? 0)) ? true : null;
    }
    const before = last;
    last = JSON.stringify(counted);
    return before === last && Object.values(counted).some((count) => count > 0) ? true : null;
  };
  const everyMs = connectionPerRequest ? 250 : STATISTICS_INTERVAL_MS;
  await waitFor(caughtUp, { timeoutMs: STATISTICS_TIMEOUT_MS, everyMs, signal });
  return counted;
}

/** Packets that clients and servers threw away because of their checksum; `null` where no two hosts have a cable. */
export async function countWrongChecksums(lab: Lab): Promise<number | null> {
  const others = lab.topology.hosts.filter((host) => host.role !== 'director');
  if (others.length === 0) return null;
  let wrong = 0;
  for (const host of others) wrong += await wrongChecksumsAt(lab, host);
  return wrong;
}

/** TCP's counter is the same for both families; UDP has one for each. */
async function wrongChecksumsAt(lab: Lab, host: LabHost): Promise<number> {
  const { stdout } = await lab.run(host, ['cat', '/proc/net/snmp', '/proc/net/snmp6']);
  const fields = (heading: string) =>
    stdout
      .split('\n')
      .filter((line) => line.startsWith(heading))
      .map((line) => line.split(' '));
  const counter = (heading: string): number => {
    const [names, values] = fields(heading);
    return Number(values?.[names.indexOf('InCsumErrors')]);
  };
  const six = Number(/^Udp6InCsumErrors\s+(\d+)/m.exec(stdout)?.[1] ?? 0);
  const wrong = counter('Tcp:') + counter('Udp:') + six;
  if (Number.isNaN(wrong)) throw new LabError('this kernel does not count wrong checksums');
  return wrong;
}

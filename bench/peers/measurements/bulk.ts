/** TCP streams with iperf3, from the client to the server. */
import { LabError } from '../../../src/lab/host.ts';
import type { Circumstances, Figures, Measurement } from '../measurement.ts';
import { PORTS } from '../network.ts';
import { busySeconds, runtimeNanoseconds } from '../processor.ts';

const GIGABYTE = 1e9;
/** The first run does not know how fast the peer is. */
const FIRST_BYTES = 20e6;

export const oneStream: Measurement = streams('bulk-1', 'one TCP stream', 1);
export const eightStreams: Measurement = streams('bulk-8', 'eight TCP streams', 8);

function streams(name: string, title: string, count: number): Measurement {
  const run = async (circumstances: Circumstances): Promise<Figures> => {
    const { peer, pids, seconds } = circumstances;
    const known = circumstances.figure(name);
    const expected = known ?? (await runIperf(circumstances, FIRST_BYTES, count)).gigabits;
    const bytes = Math.max(FIRST_BYTES, ((expected * GIGABYTE) / 8) * seconds);
    const peerBefore = runtimeNanoseconds(pids);
    const machineBefore = busySeconds();
    const result = await runIperf(circumstances, bytes, count);
    const figures: Record<string, number> = { [name]: result.gigabits };
    if (count !== 1) return figures;
    const gigabytes = result.bytes / GIGABYTE;
    figures['machine-gigabyte'] = ((busySeconds() - machineBefore) * 1000) / gigabytes;
    if (peer.group === 'proxy' || peer.group === 'uipvs') {
      figures['cpu-gigabyte'] = (runtimeNanoseconds(pids) - peerBefore) / 1e6 / gigabytes;
    }
    return figures;
  };
  return { name, title, needs: 'tcp', run };
}

interface IperfReport {
  readonly error?: string;
  readonly end?: { readonly sum_received?: { readonly bits_per_second: number; readonly bytes: number } };
}

async function runIperf(
  { peer, place, seconds }: Circumstances,
  bytes: number,
  count: number,
): Promise<{ readonly gigabits: number; readonly bytes: number }> {
  const words = [
    '-c',
    peer.target,
    '-p',
    String(PORTS.bulk),
    '-P',
    String(count),
    '-n',
    String(Math.round(bytes)),
    '-J',
  ];
  const limit = String(Math.ceil(10 + 10 * seconds));
  const { stdout, stderr } = await place.lab.run(place.client, ['timeout', limit, 'iperf3', ...words]);
  const report = readReport(stdout);
  const received = report?.end?.sum_received;
  if (report === null || report.error !== undefined || received === undefined || received.bytes === 0) {
    throw new LabError(`iperf3: ${report?.error ?? (stderr.trim() || `no result within ${limit} s`)}`);
  }
  return { gigabits: received.bits_per_second / 1e9, bytes: received.bytes };
}

function readReport(text: string): IperfReport | null {
  try {
    return JSON.parse(text) as IperfReport;
  } catch {
    return null;
  }
}

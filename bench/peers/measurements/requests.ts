/** Requests with Apache's `ab`, each run from a client address that was never used before. */
import { LabError } from '../../../src/lab/host.ts';
import { parseAb } from '../../../src/lab/traffic.ts';
import type { Circumstances, Figures, Measurement } from '../measurement.ts';
import { PORTS } from '../network.ts';
import { busySeconds, runtimeNanoseconds } from '../processor.ts';

const FIRST_REQUESTS = 400;
/** One address has some sixty thousand ports; the run must not use any twice. */
const REQUESTS_MAX = 40_000;

export const newConnections20: Measurement = requests('ab-20', 'ab, new connections, 20 at once', 20, false);
export const newConnections50: Measurement = requests('ab-50', 'ab, new connections, 50 at once', 50, false);
export const keptConnections: Measurement = requests('ab-k', 'ab -k, 20 kept connections', 20, true);

function requests(name: string, title: string, concurrency: number, keep: boolean): Measurement {
  const run = async (circumstances: Circumstances): Promise<Figures> => {
    const { peer, pids, seconds } = circumstances;
    const expected = circumstances.figure(name) ?? (await runAb(circumstances, FIRST_REQUESTS, concurrency, keep)).rate;
    const count = Math.round(
      Math.min(keep ? 10 * REQUESTS_MAX : REQUESTS_MAX, Math.max(FIRST_REQUESTS, expected * seconds)),
    );
    const peerBefore = runtimeNanoseconds(pids);
    const machineBefore = busySeconds();
    const { rate } = await runAb(circumstances, count, concurrency, keep);
    const figures: Record<string, number> = { [name]: rate };
    if (name !== newConnections20.name) return figures;
    figures['machine-request'] = ((busySeconds() - machineBefore) * 1e6) / count;
    if (peer.group === 'proxy' || peer.group === 'uipvs') {
      figures['cpu-request'] = (runtimeNanoseconds(pids) - peerBefore) / 1000 / count;
    }
    return figures;
  };
  return { name, title, needs: 'tcp', run };
}

async function runAb(
  { peer, place, seconds }: Circumstances,
  count: number,
  concurrency: number,
  keep: boolean,
): Promise<{ readonly rate: number }> {
  const address = await place.freshAddress();
  const words = ['-q', '-r', '-s', '5', ...(keep ? ['-k'] : []), '-n', String(count), '-c', String(concurrency)];
  // A peer that stalls costs its own row, not everybody's time.
  const limit = String(Math.ceil(10 + 10 * seconds));
  const command = ['timeout', limit, 'ab', ...words, '-B', address, `http://${peer.target}:${PORTS.http}/`];
  const { stdout, stderr } = await place.lab.run(place.client, command);
  const result = parseAb(stdout, stderr);
  if (result.requestsPerSecond === null) throw new LabError(`ab gave up: ${result.gaveUp}`);
  if (result.failed > 0) throw new LabError(`${result.failed} of ${count} requests failed`);
  return { rate: result.requestsPerSecond };
}

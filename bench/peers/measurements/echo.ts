/** How long a datagram takes to a server and back, when nothing else goes on and at half of what the peer can do. */
import { LabError } from '../../../src/lab/host.ts';
import type { Circumstances, Figures, Measurement } from '../measurement.ts';
import { PORTS } from '../network.ts';
import { startFlood } from './flood.ts';
import { packetsOneWay } from './packets.ts';

/** The program that asks takes a while to start; the flood is stopped when it is done. */
const START_SECONDS = 5;

interface EchoReport {
  readonly answers: number;
  readonly lost: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
}

export const echo: Measurement = {
  name: 'echo',
  title: 'UDP echo, nothing else going on',
  needs: 'udp',
  run: async (circumstances) => named('echo', await ask(circumstances)),
};

export const echoAtHalfLoad: Measurement = {
  name: 'echo-load',
  title: 'UDP echo, at half of the small packets it can do',
  needs: 'udp',
  async run(circumstances) {
    const { peer, place, seconds } = circumstances;
    const most = circumstances.figure('packets-1') ?? (await packetsOneWay.run(circumstances))['packets-1'];
    const options = { seconds: seconds + START_SECONDS, rate: Math.round((most * 1000) / 2), pinTo: null };
    const flood = await startFlood(peer, place, { ...options, from: 'client' });
    const report = await ask(circumstances);
    await flood.stop();
    return named('load', report);
  },
};

async function ask({ peer, place, seconds }: Circumstances): Promise<EchoReport> {
  const words = [peer.target, String(PORTS.echo), String(seconds)];
  const report = await place.runProgram<EchoReport>(place.client, 'udp-echo-client', words);
  if (report.answers === 0) throw new LabError(`${report.lost} datagrams were asked for and none came back`);
  return report;
}

function named(prefix: string, { answers, lost, p50, p99, p999 }: EchoReport): Figures {
  const share = (100 * lost) / (answers + lost);
  return { [`${prefix}-p50`]: p50, [`${prefix}-p99`]: p99, [`${prefix}-p999`]: p999, [`${prefix}-lost`]: share };
}

/**
 * Small packets a second, counted by the receiving interface. The generator keeps to one processor, the peer to another.
 * What the kernel forwards it forwards on the generator's processor, inside its system call.
 */
import { availableParallelism } from 'node:os';
import { LabError, pause, runCommand } from '../../../src/lab/host.ts';
import type { Circumstances, Figures, Measurement } from '../measurement.ts';
import { startFlood } from './flood.ts';

/** Until packets come evenly: addresses are resolved, connections are made, code is compiled. */
const SETTLE_MS = 200;
const SPARE_SECONDS = 0.1;
const UNTIL_STOPPED_SECONDS = 10;

export const packetsOneWay: Measurement = {
  name: 'packets-1',
  title: 'small packets, one way',
  needs: 'udp',
  run: (circumstances) => pinned(circumstances, () => oneWay(circumstances)),
};

export const packetsTwoWays: Measurement = {
  name: 'packets-2',
  title: 'small packets, both ways together',
  needs: 'packets',
  run: (circumstances) => pinned(circumstances, () => bothWays(circumstances)),
};

export const packetsFromCard: Measurement = {
  name: 'packets-card',
  title: 'small packets, one way, as if a network card brought them',
  needs: 'udp',
  run: (circumstances) => pinned(circumstances, () => fromCard(circumstances)),
};

/** Nothing is sent, so the generator costs little, and its processor is the peer's kernel's. */
async function fromCard({ peer, place, seconds, layout }: Circumstances): Promise<Figures> {
  const options = { seconds: SETTLE_MS / 1000 + seconds + SPARE_SECONDS, rate: 0, pinTo: layout.generator };
  const flood = await startFlood(peer, place, { ...options, from: 'client', asCard: true });
  const [rate] = await ratesBetween([() => place.serverPackets()], seconds, place.signal);
  const { sent, seconds: taken } = await flood.done;
  // An interface counts what its driver receives, and here that is nothing.
  if (peer.cabling === 'straight') return { 'packets-card': sent / taken / 1000 };
  if (rate === 0) throw new LabError('no packet came through');
  return { 'packets-card': rate / 1000 };
}

async function oneWay({ peer, place, seconds, layout }: Circumstances): Promise<Figures> {
  const options = { seconds: SETTLE_MS / 1000 + seconds + SPARE_SECONDS, rate: 0, pinTo: layout.generator };
  const flood = await startFlood(peer, place, { ...options, from: 'client' });
  const [rate] = await ratesBetween([() => place.serverPackets()], seconds, place.signal);
  const { sent, seconds: taken } = await flood.done;
  if (rate === 0) throw new LabError('no packet came through');
  return { 'packets-1': rate / 1000, 'packets-offered': sent / taken / 1000 };
}

async function bothWays({ peer, place, seconds, layout }: Circumstances): Promise<Figures> {
  // The second generator takes a while to start beside the first, so both run until they are stopped.
  const options = { seconds: seconds + UNTIL_STOPPED_SECONDS, rate: 0, pinTo: layout.generator };
  const there = await startFlood(peer, place, { ...options, from: 'client' });
  const back = await startFlood(peer, place, { ...options, from: 'server' });
  const counters = [() => place.serverPackets(), () => place.clientPackets()];
  const rates = await ratesBetween(counters, seconds, place.signal);
  await Promise.all([there.stop(), back.stop()]);
  if (rates.some((rate) => rate === 0)) throw new LabError('no packet came through in one of the directions');
  return { 'packets-2': (rates[0] + rates[1]) / 1000 };
}

/** A second's worth of what these counters count, over `seconds`, after they have settled. */
async function ratesBetween(
  counters: readonly (() => number)[],
  seconds: number,
  signal: AbortSignal,
): Promise<number[]> {
  await pause(SETTLE_MS, signal);
  const begunMs = performance.now();
  const before = counters.map((counter) => counter());
  await pause(seconds * 1000, signal);
  const elapsedSeconds = (performance.now() - begunMs) / 1000;
  return counters.map((counter, index) => (counter() - before[index]) / elapsedSeconds);
}

/** The peer keeps to its processor for the time of one run. */
async function pinned(circumstances: Circumstances, run: () => Promise<Figures>): Promise<Figures> {
  const { pids, layout } = circumstances;
  const set = (processors: string) =>
    Promise.all(pids.map((pid) => runCommand(['taskset', '-a', '-c', '-p', processors, String(pid)])));
  await set(String(layout.peer));
  try {
    return await run();
  } finally {
    await set(`0-${availableParallelism() - 1}`);
  }
}

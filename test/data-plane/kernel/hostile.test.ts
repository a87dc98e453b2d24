/** Answers that no kernel gives: every byte of real ones changed, cut and repeated. Nothing but an IpvsError may come of it. */
import { expect, test } from 'vitest';
import { KernelDataPlane } from '../../../src/data-plane/kernel/kernel-data-plane.ts';
import type { Command } from '../../../src/model/commands.ts';
import { IpvsError } from '../../../src/model/errors.ts';
import { Random } from '../../support/random.ts';
import { destination, key, service } from '../support/specs.ts';
import { FakeKernel } from './fake-kernel.ts';

const WEB = key('192.0.2.1', 80);
const MAIL6 = key('2001:db8::25', 25);
const QUESTIONS: readonly Command[] = [
  { name: 'info' },
  { name: 'getTimeouts' },
  { name: 'listSyncDaemons' },
  { name: 'listServices' },
  { name: 'getService', key: WEB },
  { name: 'getService', key: MAIL6 },
];

async function world(): Promise<{ kernel: FakeKernel; plane: KernelDataPlane }> {
  const kernel = new FakeKernel();
  const plane = new KernelDataPlane({ openNetlink: kernel.openNetlink });
  for (const each of [WEB, MAIL6]) await plane.execute({ name: 'addService', service: service(each) });
  await plane.execute({ name: 'addDestination', service: WEB, destination: destination('10.0.0.1', 80) });
  await plane.execute({ name: 'addDestination', service: MAIL6, destination: destination('fd00::1', 25) });
  const daemon = { role: 'master', interface: 'e0', syncId: 1, maxLength: 0, group: '', port: 0, ttl: 0 } as const;
  await plane.execute({ name: 'startSyncDaemon', daemon });
  return { kernel, plane };
}

/** Asks everything; what comes of it. */
async function askAll(plane: KernelDataPlane, tally: { answered: number; refused: number }): Promise<void> {
  for (const question of QUESTIONS) {
    try {
      await plane.execute(question);
      tally.answered++;
    } catch (error) {
      if (!(error instanceof IpvsError)) throw error;
      tally.refused++;
    }
  }
}

test('each byte of each answer set to 0, 1, 127 and 255', async () => {
  const { kernel, plane } = await world();
  const tally = { answered: 0, refused: 0 };
  for (let at = 0; at < 200; at++) {
    for (const value of [0, 1, 127, 255]) {
      kernel.spoil = (datagrams) =>
        datagrams.map((each) => {
          if (at >= each.length) return each;
          const copy = Uint8Array.from(each);
          copy[at] = value;
          return copy;
        });
      await askAll(plane, tally);
    }
  }
  kernel.spoil = (datagrams) => datagrams;
  expect(tally.refused).toBeGreaterThan(500);
  expect(tally.answered).toBeGreaterThan(500);
  const sound = { answered: 0, refused: 0 };
  await askAll(plane, sound);
  expect(sound).toEqual({ answered: QUESTIONS.length, refused: 0 });
  expect(kernel.open).toBe(1);
});

test('answers that are cut at each length, repeated, reordered and mixed with noise', async () => {
  const { kernel, plane } = await world();
  const random = new Random(20_261_129);
  const tally = { answered: 0, refused: 0 };
  for (let round = 0; round < 600; round++) {
    const kind = random.below(5);
    kernel.spoil = (datagrams) => {
      const all: Uint8Array[] = datagrams.map((each) => Uint8Array.from(each));
      const victim = all[random.below(all.length)] as Uint8Array;
      const at = all.indexOf(victim);
      switch (kind) {
        case 0:
          all[at] = victim.subarray(0, random.below(victim.length));
          return all;
        case 1:
          for (let n = 0; n < 4; n++) victim[random.below(victim.length)] = random.below(256);
          return all;
        case 2:
          return [...all, ...all];
        case 3:
          return all.reverse();
        default:
          all.splice(
            at,
            0,
            Uint8Array.from({ length: random.below(80) }, () => random.below(256)),
          );
          return all;
      }
    };
    await askAll(plane, tally);
  }
  expect(tally.refused).toBeGreaterThan(300);
  kernel.spoil = (datagrams) => datagrams;
  const sound = { answered: 0, refused: 0 };
  await askAll(plane, sound);
  expect(sound).toEqual({ answered: QUESTIONS.length, refused: 0 });
});

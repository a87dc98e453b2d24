/**
 * What every PacketIo does, as one suite. A rig gives it a back end (the subject) with some links, and whoever is
 * at the far end of each link; frames are those of support/frames.ts, told apart by their text.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LinkCounters, PacketIoCounters } from '../../src/packet-io/packet-io.ts';
import type { FrameToSend, SeenFrame } from './support/agent.ts';
import { experimentalFrame, textOf } from './support/frames.ts';

export interface Rig {
  /** Interface indexes of the subject's links, all attached; the far end of each has the same place in `outside`. */
  readonly links: readonly number[];
  readonly subject: RigEnd & {
    attach(place: number): Promise<void>;
    detach(place: number): Promise<void>;
    links(): Promise<number[]>;
    counters(): Promise<PacketIoCounters>;
    /** Absent in back ends that do not count link by link. */
    linkCounters?(): Promise<readonly LinkCounters[]>;
    /** How long `wait(timeoutMs)` took with nothing received before it; `null` for those that never wait. */
    wait: ((timeoutMs: number) => Promise<number>) | null;
  };
  /** Interface indexes of the far ends. */
  readonly outsideLinks: readonly number[];
  readonly outside: RigEnd;
  close(): Promise<void>;
}

export interface RigEnd {
  /** `own`: the frames lie in a batch that the back end itself has made. Returns the frames handed to the links. */
  send(frames: FrameToSend[], own?: boolean): Promise<number>;
  /** Frames received since the last call. */
  seen(): Promise<SeenFrame[]>;
}

/** Registers the suite; `refused` is the reason why it is skipped here. */
export function packetIoConformance(name: string, refused: string | null, createRig: (links: number) => Promise<Rig>) {
  const title = refused === null ? `${name}: a packet I/O` : `${name}: a packet I/O (skipped: ${refused})`;
  describe.skipIf(refused !== null)(title, () => {
    let rig: Rig;
    beforeAll(async () => {
      rig = await createRig(3);
    }, 60_000);
    afterAll(() => rig?.close());

    test('receives what arrives, on the link it came in by, unchanged', async () => {
      const frames = rig.outsideLinks.map((link, i) => frameOn(link, `to link ${i}`, 60 + i * 7));
      await rig.outside.send(frames);
      const seen = await collect(rig.subject, 3);
      expect(seen.map((each) => [each.link, textOf(each.frame)]).sort()).toEqual(
        rig.links.map((link, i) => [link, `to link ${i}`]).sort(),
      );
      expect(seen.map((each) => each.frame).sort()).toEqual(frames.map((each) => each.frame).sort());
      expect(seen.every((each) => each.flags === 0 && each.segmentBytes === 0)).toBe(true);
    });

    for (const own of [true, false]) {
      test(`sends on the link that is asked for, from ${own ? 'its own batch' : "another's batch"}`, async () => {
        const frames = rig.links.map((link, i) => frameOn(link, `out ${own} ${i}`, 60 + i * 7));
        expect(await rig.subject.send(frames, own)).toBe(3);
        const seen = await collect(rig.outside, 3);
        expect(seen.map((each) => [each.link, each.frame]).sort()).toEqual(
          rig.outsideLinks.map((link, i) => [link, frames[i]?.frame]).sort(),
        );
      });
    }

    test('never gives back what it has sent itself', async () => {
      await rig.subject.send(rig.links.map((link) => frameOn(link, 'own')));
      await collect(rig.outside, 3);
      await rig.outside.send([frameOn(rig.outsideLinks[0]!, 'after it')]);
      expect((await collect(rig.subject, 1)).map((each) => textOf(each.frame))).toEqual(['after it']);
    });

    test('keeps the order of the frames of a link, over several batches', async () => {
      const texts = Array.from({ length: 200 }, (_, i) => `number ${i}`);
      await rig.subject.send(
        texts.map((text, i) => frameOn(rig.links[i % 3]!, text)),
        false,
      );
      const seen = await collect(rig.outside, 200);
      for (const place of [0, 1, 2]) {
        const arrived = seen.filter((each) => each.link === rig.outsideLinks[place]).map((each) => textOf(each.frame));
        expect(arrived).toEqual(texts.filter((_, i) => i % 3 === place));
      }
    });

    test('carries frames of the full MTU both ways and refuses longer ones with a count', async () => {
      await rig.outside.send([frameOn(rig.outsideLinks[1]!, 'full in', 1514)]);
      expect((await collect(rig.subject, 1))[0]?.frame).toHaveLength(2 * 1514);
      const before = failures(await rig.subject.counters());
      const frames = [1514, 1530, 1514].map((bytes, i) => frameOn(rig.links[1]!, `full out ${i}`, bytes));
      expect(await rig.subject.send(frames)).toBe(2);
      const seen = await collect(rig.outside, 2);
      expect(seen.map((each) => textOf(each.frame))).toEqual(['full out 0', 'full out 2']);
      expect(failures(await rig.subject.counters())).toBe(before + 1);
    });

    test('a frame without a link to leave by is neither sent nor counted', async () => {
      const before = await rig.subject.counters();
      expect(await rig.subject.send([frameOn(-1, 'stays'), frameOn(-2, 'stays too')])).toBe(0);
      expect(await rig.subject.counters()).toEqual(before);
    });

    test('frames to a detached link are counted, the others go out, and it can be attached again', async () => {
      await rig.subject.detach(2);
      expect(await rig.subject.links()).toEqual(rig.links.slice(0, 2));
      const before = (await rig.subject.counters()).transmitErrors['detached'] ?? 0;
      expect(await rig.subject.send([frameOn(rig.links[2]!, 'lost'), frameOn(rig.links[0]!, 'kept')])).toBe(1);
      expect((await collect(rig.outside, 1)).map((each) => textOf(each.frame))).toEqual(['kept']);
      expect((await rig.subject.counters()).transmitErrors['detached']).toBe(before + 1);

      await rig.outside.send([frameOn(rig.outsideLinks[2]!, 'not heard'), frameOn(rig.outsideLinks[0]!, 'heard')]);
      expect((await collect(rig.subject, 1)).map((each) => textOf(each.frame))).toEqual(['heard']);
      await rig.subject.detach(2);
      await rig.subject.attach(2);
      await rig.outside.send([frameOn(rig.outsideLinks[2]!, 'again')]);
      expect((await collect(rig.subject, 1)).map((each) => [each.link, textOf(each.frame)])).toEqual([
        [rig.links[2], 'again'],
      ]);
    });

    test('counts what it has received and transmitted', async () => {
      const before = await rig.subject.counters();
      await rig.outside.send(Array.from({ length: 5 }, () => frameOn(rig.outsideLinks[0]!, 'count')));
      await collect(rig.subject, 5);
      await rig.subject.send(Array.from({ length: 4 }, () => frameOn(rig.links[0]!, 'count')));
      await collect(rig.outside, 4);
      const after = await rig.subject.counters();
      expect(after.received - before.received).toBeGreaterThanOrEqual(5);
      expect(after.transmitted - before.transmitted).toBe(4);

      const links = await rig.subject.linkCounters?.();
      if (links === undefined) return;
      const sum = (of: (link: LinkCounters) => number) => links.reduce((total, link) => total + of(link), 0);
      // A link that is attached again begins anew.
      expect(sum((link) => link.received)).toBeLessThanOrEqual(after.received);
      expect(links[0]?.received).toBeGreaterThanOrEqual(5);
      expect(links[0]?.transmitted).toBeGreaterThanOrEqual(4);
      expect(sum((link) => link.transmitted)).toBeLessThanOrEqual(after.transmitted);
    });

    test('wait returns soon when a frame comes, and when its time is over', async (context) => {
      const wait = rig.subject.wait;
      if (wait === null) return context.skip('this back end never waits');
      const quiet = await wait(150);
      expect(quiet).toBeGreaterThanOrEqual(140);
      expect(quiet).toBeLessThan(900);
      const waiting = wait(900);
      await new Promise((resolve) => setTimeout(resolve, 150));
      await rig.outside.send([frameOn(rig.outsideLinks[1]!, 'wake up')]);
      expect(await waiting).toBeLessThan(700);
      await collect(rig.subject, 1);
    });
  });

  describe.skipIf(refused !== null)(`${name}: many links`, () => {
    test('each of twelve links gets its own frames', async () => {
      const rig = await createRig(12);
      try {
        await rig.outside.send(rig.outsideLinks.map((link, i) => frameOn(link, `in ${i}`)));
        const arrived = await collect(rig.subject, 12);
        expect(new Map(arrived.map((each) => [each.link, textOf(each.frame)]))).toEqual(
          new Map(rig.links.map((link, i) => [link, `in ${i}`])),
        );
        expect(await rig.subject.send(rig.links.map((link, i) => frameOn(link, `out ${i}`)))).toBe(12);
        const left = await collect(rig.outside, 12);
        expect(new Map(left.map((each) => [each.link, textOf(each.frame)]))).toEqual(
          new Map(rig.outsideLinks.map((link, i) => [link, `out ${i}`])),
        );
      } finally {
        await rig.close();
      }
    }, 60_000);
  });
}

export function frameOn(link: number, text: string, bytes = 60): FrameToSend {
  return { link, frame: Buffer.from(experimentalFrame(text, bytes)).toString('hex') };
}

/** Asks until `count` frames have come, and once more for those that should not have. */
export async function collect(from: RigEnd, count: number, patienceMs = 5000): Promise<SeenFrame[]> {
  const until = performance.now() + patienceMs;
  const seen = await from.seen();
  while (seen.length < count && performance.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    seen.push(...(await from.seen()));
  }
  await new Promise((resolve) => setTimeout(resolve, 20));
  seen.push(...(await from.seen()));
  if (seen.length !== count) throw new Error(`${seen.length} frames came instead of ${count}`);
  return seen;
}

function failures(counters: PacketIoCounters): number {
  return Object.values(counters.transmitErrors).reduce((sum, each) => sum + each, 0);
}

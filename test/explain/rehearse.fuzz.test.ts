/**
 * Hostile packets: each is rehearsed, then really processed. The rehearsal says what then happens, never throws,
 * changes nothing that anybody can ask, and its story can be told whatever the bytes are.
 */
import { expect, test } from 'vitest';
import { PacketPairing } from '../../src/engine/pairing.ts';
import { plain } from '../../src/explain/paint.ts';
import { renderMarkdown } from '../../src/explain/render-markdown.ts';
import { renderText } from '../../src/explain/render-text.ts';
import { tellStory } from '../../src/explain/story.ts';
import { storyToJson } from '../../src/explain/story-json.ts';
import { formatTraceLine } from '../../src/explain/trace-line.ts';
import type { PacketTrace } from '../../src/model/packet-trace.ts';
import { fuzzWorld, Traffic } from '../fuzz/traffic.ts';
import { Random } from '../support/random.ts';

const FRAMES = Number(process.env['UIPVS_FUZZ_FRAMES'] ?? 2_000);
const SEED = Number(process.env['UIPVS_SEED'] ?? 20261129);
const LINK_NAMES = ['', 'c0', 's0', 'cable'];

test('every hostile packet is foretold and told', () => {
  const world = fuzzWorld();
  const random = new Random(SEED);
  const traffic = new Traffic(random);
  const pairing = new PacketPairing(world.engine);
  const counts = { foretold: 0, connections: 0, drops: 0, sent: 0, repairs: 0, disagreeing: 0 };
  for (let i = 0; i < FRAMES; i++) {
    const arrival = traffic.next();
    const link = LINK_NAMES[arrival.ingress];
    const digits = Buffer.from(arrival.bytes).toString('hex');
    const mayRehearse =
      link !== undefined && link !== '' && digits !== '' && !arrival.partialChecksum && arrival.segmentBytes === 0;
    let said: PacketTrace | null = null;
    if (mayRehearse) {
      const before = JSON.stringify([world.counters(), world.connections(), world.services()]);
      said = world.engine.execute<'rehearse'>({ name: 'rehearse', frame: digits, link, mark: arrival.mark });
      expect(JSON.stringify([world.counters(), world.connections(), world.services()])).toBe(before);
    }
    const { trace } = pairing.process(
      {
        bytes: arrival.bytes,
        linkIndex: arrival.ingress,
        mark: arrival.mark,
        partialChecksum: arrival.partialChecksum,
        segmentBytes: arrival.segmentBytes,
      },
      world.nowMs,
    );
    for (const { link: by, frame } of trace.outputs) {
      traffic.sent(LINK_NAMES.indexOf(by ?? ''), Buffer.from(frame, 'hex'));
      counts.sent++;
    }
    world.engine.outbox.clear();
    if (said !== null && !mayDiffer(trace)) {
      expect(outcome(said), digits).toEqual(outcome(trace));
      counts.foretold++;
    }
    const story = tellStory(trace);
    for (const text of [
      renderText(story, { paint: plain, hex: true }),
      renderMarkdown(story, true),
      JSON.stringify(storyToJson(story)),
      formatTraceLine(trace, '', plain),
    ]) {
      expect(text).not.toMatch(/undefined|NaN|\[object/);
    }
    for (const { checksums } of story.outputs) {
      counts.repairs += checksums.length;
      counts.disagreeing += checksums.filter(({ agrees }) => !agrees).length;
    }
    if (trace.connection !== null) counts.connections++;
    if (trace.verdict === 'drop') {
      counts.drops++;
      expect(story.wayOut, trace.reason).not.toBe('');
    }
    if (random.chance(0.1)) world.wait(random.below(3_000));
  }
  pairing.close();
  expect(counts.foretold).toBeGreaterThan(FRAMES / 3);
  expect(counts.connections).toBeGreaterThan(FRAMES / 20);
  expect(counts.drops).toBeGreaterThan(FRAMES / 100);
  expect(counts.repairs).toBeGreaterThan(FRAMES / 20);
  // Only what came broken, or is computed anew, does not come out.
  expect(counts.disagreeing).toBeLessThan(counts.repairs / 10);
});

/** A port of full NAT may be another's by then; a rehearsal does not know all connections. */
function mayDiffer({ connection }: PacketTrace): boolean {
  return connection?.isNew === true && connection.fullNat;
}

function outcome({ verdict, reason, outputs, connection }: PacketTrace): unknown {
  return { verdict, reason, outputs, connection };
}

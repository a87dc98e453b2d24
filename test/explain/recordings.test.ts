/**
 * Every packet of every shipped recording is rehearsed before the engine has it: what the rehearsal says would leave
 * must be what the engine then sends, byte for byte, and the recording must come out as without the rehearsals.
 */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Witness } from '../../src/conform/director.ts';
import { USUAL_PHASES } from '../../src/conform/fit.ts';
import { playOnce } from '../../src/conform/play.ts';
import { CATEGORIES } from '../../src/conform/recording.ts';
import { readRecordings, shippedRecordings } from '../../src/conform/recording-files.ts';
import { tellStory } from '../../src/explain/story.ts';
import type { PacketTrace } from '../../src/model/packet-trace.ts';

const MINUTES = 60_000;

class Rehearsals implements Witness {
  readonly #isTold: boolean;
  readonly differences: string[] = [];
  packets = 0;
  sent = 0;
  repairs = 0;
  #trace: PacketTrace | null = null;
  #packet = '';

  constructor(isTold: boolean) {
    this.#isTold = isTold;
  }

  before: Witness['before'] = (engine, packet) => {
    this.#packet = packet.packet;
    this.#trace = engine.execute({ name: 'rehearse', ...packet });
  };

  after: Witness['after'] = (sent, verdict) => {
    const trace = this.#trace as PacketTrace;
    this.packets++;
    this.sent += sent.length;
    this.#tell(trace);
    const left = sent.map(({ link, bytes }) => `${link} ${Buffer.from(bytes).toString('hex')}`);
    const said = trace.outputs.filter(({ link }) => link !== null).map(({ link, frame }) => `${link} ${frame}`);
    if (verdict === trace.verdict && left.join() === said.join()) return;
    this.differences.push(
      `${this.#packet}\n  ${verdict}: ${left.join(', ')}\n  said ${trace.verdict} (${trace.reason}): ${said.join(', ')}`,
    );
  };

  #tell(trace: PacketTrace): void {
    if (!this.#isTold) return;
    for (const { checksums } of tellStory(trace).outputs) {
      this.repairs += checksums.length;
      for (const { name, agrees } of checksums) if (!agrees) this.differences.push(`${this.#packet}: ${name}`);
    }
  }
}

/** What a kernel's packets must show on paper: every checksum that changed comes out by RFC 1624, or is said to be new. */
const TOLD_CATEGORY = 'packets';

let packets = 0;

describe('a rehearsal says what the engine then does', () => {
  for (const category of CATEGORIES) {
    test(
      category,
      async () => {
        const totals = { packets: 0, sent: 0, cases: 0, repairs: 0 };
        const differences: string[] = [];
        for (const recording of readRecordings([join(shippedRecordings(), `${category}.jsonl.br`)])) {
          if (!recording.steps.some((step) => step.do === 'packet')) continue;
          const rehearsals = new Rehearsals(category === TOLD_CATEGORY);
          const { failure } = await playOnce(recording, USUAL_PHASES, rehearsals);
          // A case that needs another phase of some timer ends early either way, and at the same place.
          if (failure !== null) {
            const plain = await playOnce(recording, USUAL_PHASES);
            expect(failure, recording.id).toEqual(plain.failure);
          }
          differences.push(...rehearsals.differences.map((each) => `${recording.id}: ${each}`));
          totals.packets += rehearsals.packets;
          totals.sent += rehearsals.sent;
          totals.repairs += rehearsals.repairs;
          totals.cases++;
        }
        expect(differences).toEqual([]);
        // A test of nothing would be noticed.
        expect(totals.cases).toBeGreaterThan(0);
        expect(totals.sent).toBeGreaterThan(0);
        if (category === TOLD_CATEGORY) expect(totals.repairs).toBeGreaterThan(3_000);
        packets += totals.packets;
      },
      10 * MINUTES,
    );
  }

  test('and that was many packets', () => {
    expect(packets).toBeGreaterThan(20_000);
  });
});

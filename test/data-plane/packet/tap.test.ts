import { describe, expect, test } from 'vitest';
import { Taps } from '../../../src/data-plane/packet/tap.ts';
import { turn } from '../../../src/data-plane/packet/turn.ts';
import { CONSUME, DROP, PASS, TRANSMIT } from '../../../src/engine/verdict.ts';
import { CAPTURE_BUFFER_BYTES, CAPTURE_PAGE_BYTES, CAPTURES_MAX } from '../../../src/model/limits.ts';
import { FrameFlag, PacketBatch } from '../../../src/wire/packet-batch.ts';
import { readTapRecords, type TapRecord } from '../../../src/wire/tap-record.ts';
import { frame } from '../../support/frames.ts';
import { FakeEngine, FakeIo } from '../support/fake-engine.ts';

const VIP = '192.0.2.1';
const SERVER = '10.0.0.11';
const CLIENT = '198.51.100.7';

function createTaps() {
  const clock = { us: 1_700_000_000_123_456 };
  const taps = new Taps({ nowUs: () => clock.us });
  const read = (id: string, more: object = {}, nowMs = 0) => {
    const page = taps.read({ id, ...more }, nowMs);
    return { ...page, records: [...readTapRecords(Buffer.from(page.records, 'base64'))] };
  };
  return { taps, clock, read };
}

interface Passed {
  readonly came: Uint8Array;
  readonly left?: Uint8Array;
  readonly verdict?: number;
  readonly reason?: number;
  readonly flags?: number;
}

/** As a turn does it: the frames are rewritten where they lie. */
function pass(taps: Taps, ...packets: readonly Passed[]): void {
  const batch = PacketBatch.allocate(packets.length, 70_000);
  for (const { came } of packets) batch.push(came, 2);
  packets.forEach(({ flags }, slot) => {
    batch.flags[slot] = flags ?? 0;
  });
  taps.came(batch);
  packets.forEach(({ left, verdict, reason }, slot) => {
    batch.verdict[slot] = verdict ?? TRANSMIT;
    batch.reason[slot] = reason ?? 0;
    batch.egress[slot] = left === undefined ? -1 : 3;
    if (left === undefined) return;
    batch.bytes.set(left, batch.start[slot]);
    batch.end[slot] = (batch.start[slot] as number) + left.length;
  });
  taps.decided(batch);
}

const request = (payload = 'x') => frame().ipv4(CLIENT, VIP).tcp(40_000, 80, { payload });
const forwarded = (payload = 'x') => frame().ipv4(CLIENT, SERVER).tcp(40_000, 80, { payload });
const bytesOf = ({ came, left }: TapRecord) => [came?.bytes, left?.bytes].map((bytes) => Buffer.from(bytes ?? []));

describe('a tap', () => {
  test('gives what came and what left side by side, with time and decision', () => {
    const { taps, read } = createTaps();
    expect(read('a')).toMatchObject({ begun: true, lost: 0, more: false, records: [] });
    pass(taps, { came: request(), left: forwarded(), flags: FrameFlag.PARTIAL_CHECKSUM });
    const { records, begun } = read('a');
    expect(begun).toBe(false);
    expect(records).toMatchObject([
      {
        timeUs: 1_700_000_000_123_456,
        verdict: TRANSMIT,
        ingress: 2,
        egress: 3,
        came: { originalBytes: request().length, partialChecksum: true, superFrame: false },
        left: { originalBytes: forwarded().length },
      },
    ]);
    expect(bytesOf(records[0] as TapRecord)).toEqual([Buffer.from(request()), Buffer.from(forwarded())]);
    expect(read('a').records).toEqual([]);
  });

  test('leaves out what is not balanced, unless all is wanted', () => {
    const { taps, read } = createTaps();
    read('ours');
    read('all', { all: true });
    const foreign = frame().ipv4(CLIENT, '203.0.113.9').udp(1, 53, {});
    pass(taps, { came: foreign, verdict: PASS, reason: 10 }, { came: request(), verdict: DROP, reason: 13 });
    expect(read('ours').records.map(({ verdict, left }) => [verdict, left])).toEqual([[DROP, null]]);
    expect(read('all').records.map(({ verdict }) => verdict)).toEqual([PASS, DROP]);
  });

  test.each([
    [`host ${SERVER}`, 1],
    [`src host ${SERVER}`, 0],
    [`dst net 192.0.2.0/24 and tcp`, 1],
    ['udp', 0],
    ['port 80 and not port 40000', 0],
  ])('asks the filter %s about both sides', (filter, found) => {
    const { taps, read } = createTaps();
    read('a', { filter });
    pass(taps, { came: request(), left: forwarded() });
    expect(read('a').records).toHaveLength(found);
  });

  test('a packet that waits for its next hop is wanted when one of its sides is', () => {
    const { taps, read } = createTaps();
    read('came', { filter: `host ${VIP}` });
    read('left', { filter: `host ${SERVER}` });
    read('none', { filter: 'udp' });
    pass(taps, { came: request(), verdict: CONSUME });
    const outbox = PacketBatch.allocate(2, 200);
    outbox.push(frame().ipv4('10.0.0.1', '10.0.0.2').udp(1, 2, {}), -1);
    outbox.push(forwarded(), -1);
    outbox.egress.fill(3);
    taps.said(outbox);
    for (const id of ['came', 'left']) {
      expect(read(id).records.map(({ came, left }) => [came !== null, left !== null])).toEqual([
        [true, false],
        [false, true],
      ]);
    }
    expect(read('none').records).toHaveLength(1);
  });

  test('keeps as much of each frame as its reader wants, whatever others want', () => {
    const { taps, read } = createTaps();
    read('short', { snapBytes: 64 });
    read('long');
    pass(taps, { came: request('y'.repeat(1000)), left: forwarded('y'.repeat(1000)) });
    const lengths = (id: string) => bytesOf(read(id).records[0] as TapRecord).map(({ length }) => length);
    expect(lengths('short')).toEqual([64, 64]);
    expect(lengths('long')).toEqual([request('y'.repeat(1000)).length, request('y'.repeat(1000)).length]);
  });

  test('counts what a slow reader has no room for, and gives the rest whole, page by page', () => {
    const { taps, read } = createTaps();
    read('a');
    const big = request('z'.repeat(60_000));
    const offered = 200;
    for (let i = 0; i < offered; i++) pass(taps, { came: big, left: big });
    let page = read('a');
    const { lost } = page;
    expect(lost).toBeGreaterThan(0);
    let count = page.records.length;
    while (page.more) {
      expect(page.records.length * big.length * 2).toBeLessThanOrEqual(CAPTURE_PAGE_BYTES + 200_000);
      page = read('a');
      count += page.records.length;
    }
    expect(count + lost).toBe(offered);
    expect(count * big.length * 2).toBeGreaterThan(CAPTURE_BUFFER_BYTES - 200_000);
    pass(taps, { came: big, left: big });
    expect(read('a')).toMatchObject({ lost: 0, records: [{}] });
  });

  test('ends with stop when all was read, or by itself when nobody reads', () => {
    const { taps, read } = createTaps();
    read('a');
    pass(taps, { came: request(), left: forwarded() });
    expect(read('a', { stop: true }).records).toHaveLength(1);
    expect(taps.active).toBe(false);
    read('b', {}, 1_000);
    taps.advance(11_000);
    expect(taps.active).toBe(true);
    taps.advance(11_001);
    expect(taps.active).toBe(false);
    expect(read('b', { stop: true })).toMatchObject({ begun: false, records: [] });
  });

  test('refuses a filter that is none, and more captures than there is memory for', () => {
    const { taps, read } = createTaps();
    expect(() => read('a', { filter: 'host nowhere' })).toThrow(/the filter is not understood/);
    expect(taps.active).toBe(false);
    for (let i = 0; i < CAPTURES_MAX; i++) read(`${i}`);
    expect(() => read('more')).toThrow(/4 captures are running already/);
  });

  test('looks at the frames of a turn, and at what the engine itself says', () => {
    const { taps, read } = createTaps();
    const io = new FakeIo();
    const engine = new FakeEngine();
    const parts = { engine, io, batch: io.createBatch(4), taps };
    io.waiting = 1;
    turn(parts, 1);
    read('a', { all: true });
    io.waiting = 2;
    turn(parts, 2);
    expect(read('a').records.map(({ came }) => came?.bytes[0])).toEqual([1, 1]);
  });
});

test('records that are damaged are refused', () => {
  const { taps, read } = createTaps();
  read('a');
  pass(taps, { came: request(), left: forwarded() });
  const good = Buffer.from(taps.read({ id: 'a' }, 0).records, 'base64');
  expect(() => [...readTapRecords(good.subarray(0, 20))]).toThrow(/cut off/);
  expect(() => [...readTapRecords(good.subarray(0, 80))]).toThrow(/cut off/);
  good[28] = 0xff;
  expect(() => [...readTapRecords(good)]).toThrow(/contradicts itself/);
});

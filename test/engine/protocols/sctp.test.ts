import { describe, expect, test } from 'vitest';
import {
  maySctpBeScheduled,
  opensSctpAssociation,
  sctpEvent,
  sctpStateAfter,
} from '../../../src/engine/protocols/sctp.ts';
import {
  isActiveSctpState,
  nextSctpState,
  SCTP_CLOSED,
  SCTP_EVENT_NAMES,
  SCTP_EVENT_OF_CHUNK,
  SCTP_STATE_NAMES,
  SCTP_TIMEOUT_SECONDS,
} from '../../../src/engine/protocols/sctp-states.ts';
import { INPUT, INPUT_ONLY, OUTPUT } from '../../../src/engine/protocols/tcp-states.ts';
import { readUint16 } from '../../../src/wire/bytes.ts';
import { sctpChecksumIsRight, setSctpPorts } from '../../../src/wire/sctp.ts';
import { fromHex, readVectorFile, toHex } from '../../support/vectors.ts';

interface Vectors {
  readonly state_numbers: Record<string, number>;
  readonly shown_name: Record<string, string>;
  readonly chunk_type_to_event: Record<string, string>;
  readonly timeouts_seconds: Record<string, number>;
  readonly counted_as_active: readonly string[];
  readonly table: Record<string, Record<string, Record<string, string>>>;
}

interface RecordedStep {
  readonly packet?: string;
  readonly fromClient?: boolean;
  readonly output?: string;
  /** Client port to state and remaining time. */
  readonly states?: Record<string, [state: string, left: string]>;
}

const vectors = readVectorFile<Vectors>(import.meta.url, 'sctp-states.json');
const number = (name: string) => vectors.state_numbers[name] as number;

describe('the tables are those of IPVS', () => {
  const directions = { input: INPUT, output: OUTPUT, input_only: INPUT_ONLY } as const;
  test('there is one for each direction', () => {
    expect(Object.keys(vectors.table)).toEqual(Object.keys(directions));
  });

  for (const [directionName, direction] of Object.entries(directions)) {
    for (const [event, row] of Object.entries(vectors.table[directionName] as object)) {
      test(`${directionName}, ${event}`, () => {
        expect(Object.keys(row)).toHaveLength(SCTP_STATE_NAMES.length);
        const eventNumber = SCTP_EVENT_NAMES.indexOf(event as (typeof SCTP_EVENT_NAMES)[number]);
        for (const [before, after] of Object.entries<string>(row)) {
          expect(nextSctpState(direction, eventNumber, number(before)), `from ${before}`).toBe(number(after));
        }
      });
    }
  }

  test('names, timeouts and activity', () => {
    for (const [name, state] of Object.entries(vectors.state_numbers)) {
      expect(SCTP_STATE_NAMES[state]).toBe(vectors.shown_name[name]);
      expect(SCTP_TIMEOUT_SECONDS[state]).toBe(vectors.timeouts_seconds[name]);
      expect(isActiveSctpState(state)).toBe(vectors.counted_as_active.includes(name));
    }
    expect(SCTP_STATE_NAMES).toHaveLength(Object.keys(vectors.state_numbers).length);
  });

  test('the event of each chunk', () => {
    const events = SCTP_EVENT_OF_CHUNK.map((event) => SCTP_EVENT_NAMES[event]);
    expect(events).toEqual(Object.values(vectors.chunk_type_to_event));
  });
});

/** A packet with these chunks: type, and length as it stands in the header. */
function packetWith(...chunks: readonly [type: number, length: number][]): Uint8Array {
  const bytes = [...new Array<number>(12).fill(0)];
  for (const [type, length] of chunks) {
    const padded = Math.max(4, (length + 3) & ~3);
    bytes.push(type, 0, length >>> 8, length & 255, ...new Array<number>(padded - 4).fill(0));
  }
  return Uint8Array.from(bytes);
}

describe('the event of a packet', () => {
  const eventOf = (bytes: Uint8Array) => SCTP_EVENT_NAMES[sctpEvent(bytes, 0, bytes.length)];

  test('is that of its first chunk', () => {
    expect(eventOf(packetWith([1, 20]))).toBe('INIT');
    expect(eventOf(packetWith([0, 16], [6, 4]))).toBe('DATA');
    expect(eventOf(packetWith([200, 4]))).toBe('DATA');
    expect(eventOf(packetWith([15, 4]))).toBe('DATA');
  });

  test('is a refusal when one follows a cookie', () => {
    expect(eventOf(packetWith([10, 10], [6, 4]))).toBe('ABORT');
    expect(eventOf(packetWith([11, 4], [6, 4]))).toBe('ABORT');
    expect(eventOf(packetWith([10, 10], [0, 4]))).toBe('COOKIE_ECHO');
  });

  test('is not looked for behind lengths that lie', () => {
    expect(eventOf(packetWith([10, 3], [6, 4]))).toBe('COOKIE_ECHO');
    expect(eventOf(packetWith([11, 0], [6, 4]))).toBe('COOKIE_ACK');
    const long = packetWith([10, 8], [6, 4]);
    long.set([0xff, 0xff], 14);
    expect(eventOf(long)).toBe('COOKIE_ECHO');
  });

  test('is none without a whole chunk, and then the state stays', () => {
    const cut = packetWith([1, 20]).subarray(0, 15);
    expect(sctpEvent(cut, 0, cut.length)).toBe(-1);
    expect(sctpStateAfter(INPUT, cut, 0, cut.length, 8)).toBe(8);
  });

  test('decides what may begin an association', () => {
    const may = (bytes: Uint8Array, sloppy: boolean) => maySctpBeScheduled(bytes, 0, bytes.length, sloppy);
    const [init, data, abort, empty] = [packetWith([1, 20]), packetWith([0, 16]), packetWith([6, 4]), packetWith()];
    expect([init, data, abort, empty].map((bytes) => may(bytes, false))).toEqual([true, false, false, false]);
    expect([init, data, abort, empty].map((bytes) => may(bytes, true))).toEqual([true, true, false, false]);
    expect([init, data].map((bytes) => opensSctpAssociation(bytes, 0, bytes.length))).toEqual([true, false]);
  });
});

describe('recorded associations', () => {
  const recordings = readVectorFile<{ recording: string; steps: RecordedStep[] }[]>(
    import.meta.url,
    'recorded-sctp.json',
  );
  for (const { recording, steps } of recordings) {
    const masquerade = recording === 'pkt-sctp-natp';
    test(`${recording}: states and full timeouts`, () => {
      const associations = new Map<number, { state: number; noOutput: boolean }>();
      let compared = 0;
      for (const { packet, fromClient, states } of steps) {
        if (packet !== undefined) {
          const bytes = fromHex(packet);
          const port = readUint16(bytes, fromClient ? 20 : 22);
          let association = associations.get(port);
          const opens = fromClient && opensSctpAssociation(bytes, 20, bytes.length);
          if (opens && (association === undefined || association.state === SCTP_CLOSED)) {
            association = { state: 0, noOutput: !masquerade };
            associations.set(port, association);
          }
          if (association === undefined) continue;
          if (!fromClient) association.noOutput = false;
          const direction = fromClient ? (association.noOutput ? INPUT_ONLY : INPUT) : OUTPUT;
          association.state = sctpStateAfter(direction, bytes, 20, bytes.length, association.state);
        }
        for (const [port, [shown]] of Object.entries(states ?? {})) {
          expect(SCTP_STATE_NAMES[associations.get(Number(port))?.state ?? -1], port).toBe(shown);
          compared++;
        }
      }
      expect(compared).toBeGreaterThan(10);
    });
  }

  test('translated packets have the recorded ports and checksum', () => {
    const steps = recordings.find(({ recording }) => recording === 'pkt-sctp-natp')?.steps ?? [];
    let translated = 0;
    for (const { packet, output } of steps) {
      if (packet === undefined || output === undefined) continue;
      const bytes = fromHex(packet).subarray(20);
      const expected = fromHex(output).subarray(20);
      setSctpPorts(bytes, 0, bytes.length, readUint16(expected, 0), readUint16(expected, 2), false);
      expect(toHex(bytes)).toBe(toHex(expected));
      expect(sctpChecksumIsRight(bytes, 0, bytes.length)).toBe(true);
      translated++;
    }
    expect(translated).toBeGreaterThan(10);
  });
});

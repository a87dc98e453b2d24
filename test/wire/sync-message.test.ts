import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseAddress } from '../../src/wire/address.ts';
import { SYNC_FLAGS_ON_WIRE, SyncConnection } from '../../src/wire/sync-message.ts';
import { SYNC_CONNECTION, SYNC_END, SYNC_UNKNOWN, SyncMessageReader } from '../../src/wire/sync-message-reader.ts';
import { SyncMessageWriter } from '../../src/wire/sync-message-writer.ts';
import { fromHex, readVectorFile, toHex } from '../support/vectors.ts';

interface VectorConnection {
  readonly proto: number;
  readonly caddr: string;
  readonly cport: number;
  readonly vaddr: string;
  readonly vport: number;
  readonly daddr: string;
  readonly dport: number;
  readonly flags: number;
  readonly state: number;
  readonly timeout: number;
  readonly fwmark: number;
  readonly in_seq?: readonly number[];
  readonly out_seq?: readonly number[];
  readonly pe_data?: string;
  readonly pe_name?: string;
}
interface Vector {
  readonly title: string;
  readonly version: 0 | 1;
  readonly syncid: number;
  readonly conns: readonly VectorConnection[];
  readonly payload_hex: string;
  readonly payload_len: number;
}

const { messages } = readVectorFile<{ messages: Vector[] }>(import.meta.url, 'sync-wire.json');

function connectionOf(vector: VectorConnection): SyncConnection {
  const connection = new SyncConnection();
  connection.ipv6 = vector.caddr.includes(':');
  connection.protocol = vector.proto;
  connection.flags = vector.flags;
  connection.state = vector.state;
  connection.clientPort = vector.cport;
  connection.virtualPort = vector.vport;
  connection.destinationPort = vector.dport;
  connection.mark = vector.fwmark;
  connection.timeoutSeconds = vector.timeout;
  const words = (text: string) => (parseAddress(text) as { words: Int32Array }).words;
  connection.client.set(words(vector.caddr));
  connection.virtual.set(words(vector.vaddr));
  connection.destination.set(words(vector.daddr));
  connection.sequences.set([...(vector.in_seq ?? [0, 0, 0]), ...(vector.out_seq ?? [0, 0, 0])]);
  connection.hasSequences = vector.in_seq !== undefined;
  connection.engineData = Uint8Array.from(Buffer.from(vector.pe_data ?? ''));
  connection.engineName = vector.pe_name ?? '';
  return connection;
}

function write(version: 0 | 1, syncId: number, connections: readonly SyncConnection[], bytesMax = 1472): Uint8Array {
  const writer = new SyncMessageWriter(version, syncId, bytesMax, connections[0] as SyncConnection);
  for (const connection of connections) expect(writer.append(connection)).toBe(true);
  return writer.finish();
}

/** Everything that a message says, in the order of the answers. */
function readAll(bytes: Uint8Array, at = 0, end = bytes.length, syncId = 0): (SyncConnection | 'unknown')[] | null {
  const reader = new SyncMessageReader();
  if (!reader.open(bytes, at, end, syncId)) return null;
  const all: (SyncConnection | 'unknown')[] = [];
  for (;;) {
    const into = new SyncConnection();
    const answer = reader.next(into);
    if (answer === SYNC_END) break;
    all.push(answer === SYNC_UNKNOWN ? 'unknown' : into);
    if (answer !== SYNC_UNKNOWN) expect(answer).toBe(SYNC_CONNECTION);
  }
  // It stays at its end.
  expect(reader.next(new SyncConnection())).toBe(SYNC_END);
  return all;
}

/** What a reader may believe of what was written. */
function asRead(version: 0 | 1, connection: SyncConnection): SyncConnection {
  const read = new SyncConnection();
  Object.assign(read, connection);
  read.flags = connection.flags & (version === 1 ? 0x1f87 : 0xffff & ~0x40);
  if (version === 0) read.timeoutSeconds = 0;
  return read;
}

describe('messages that a kernel sends', () => {
  for (const { title, version, syncid, conns, payload_hex, payload_len } of messages) {
    test(`are written: version ${version}, ${title}`, () => {
      const bytes = write(version, syncid, conns.map(connectionOf));
      expect(toHex(bytes)).toBe(payload_hex);
      expect(bytes).toHaveLength(payload_len);
    });

    test(`are read: version ${version}, ${title}`, () => {
      expect(readAll(fromHex(payload_hex))).toEqual(conns.map((vector) => asRead(version, connectionOf(vector))));
    });
  }
});

test('recorded messages are read, and written again byte for byte', () => {
  const { recordings } = readVectorFile<{ recordings: { recording: string; messages: string[] }[] }>(
    import.meta.url,
    'recorded-sync-messages.json',
  );
  let count = 0;
  for (const { messages } of recordings) {
    for (const hex of messages) {
      const bytes = fromHex(hex);
      const version = bytes[5] === 1 && bytes[0] === 0 ? 1 : 0;
      const connections = readAll(bytes) as SyncConnection[];
      expect(connections).toHaveLength(bytes[version === 1 ? 4 : 0] as number);
      // Readers strip what they must not believe; no recorded message but those of FTP has such flags.
      expect(toHex(write(version, bytes[1] as number, connections))).toBe(hex);
      count++;
    }
  }
  expect(count).toBeGreaterThan(40);
});

describe('a message is not for us', () => {
  const bytes = fromHex((messages[0] as Vector).payload_hex);
  test('with another sync id, unless we hear all', () => {
    expect(readAll(bytes, 0, bytes.length, 7)).toHaveLength(2);
    expect(readAll(bytes, 0, bytes.length, 0)).toHaveLength(2);
    expect(readAll(bytes, 0, bytes.length, 8)).toBeNull();
  });

  test('when its length is not that of the datagram', () => {
    expect(readAll(bytes, 0, bytes.length - 1)).toBeNull();
    expect(readAll(Uint8Array.from([...bytes, 0]))).toBeNull();
    expect(readAll(new Uint8Array(3))).toBeNull();
  });
});

describe('what is malformed ends the reading; what is unknown is left out', () => {
  const good = '0006002400000100000003e8005000500000000000000064c00002010a0000640a01000b';
  /** One connection with this beginning and these options, then a good one. */
  function readWith(options: string, change: (connection: Uint8Array) => void = () => {}) {
    const first = fromHex(good + options);
    first[3] = first.length;
    change(first);
    const padded = [...first, ...new Uint8Array(-first.length & 3)];
    const bytes = Uint8Array.from([0, 7, 0, 0, 2, 1, 0, 0, ...padded, ...fromHex(good)]);
    new DataView(bytes.buffer).setUint16(2, bytes.length);
    return readAll(bytes)?.map((read) => (read === 'unknown' ? read : 'read'));
  }
  const sequence = `0118${'00'.repeat(24)}`;
  for (const [what, options, expected] of [
    ['no option', '', ['read', 'read']],
    ['a sequence', sequence, ['read', 'read']],
    ['two sequences', sequence + sequence, []],
    ['a short sequence', `0117${'00'.repeat(23)}`, []],
    ['an option without data', '0200', []],
    ['half an option', '02', []],
    ['an option longer than its connection', '020461', []],
    ['engine data', '020161', ['read', 'read']],
    ['engine data twice', '020161020161', []],
    ['a name', '0303736970', ['read', 'read']],
    ['a name that is too long', `0311${'61'.repeat(17)}`, []],
    ['a name twice', '03016103016100'.slice(0, 12), []],
    ['an unknown option', '0903616263', ['unknown', 'read']],
    ['one that may be ignored', '4903616263', ['read', 'read']],
    ['a known one with the bit for ignoring', '420161', ['read', 'read']],
  ] as const) {
    test(what, () => expect(readWith(options)).toEqual(expected));
  }

  test('another version, another type, a length that lies', () => {
    expect(readWith('', (first) => (first[2] = 0x10))).toEqual([]);
    expect(readWith('', (first) => (first[0] = 2))).toEqual([]);
    expect(readWith('', (first) => (first[0] = 1))).toEqual([]);
    expect(readWith('', (first) => (first[3] = 35))).toEqual([]);
    expect(readWith('', (first) => (first[3] = 0))).toEqual([]);
    expect(readWith('', (first) => (first[2] = 0x0f))).toEqual([]);
  });

  test('version 0 stops where a connection is cut', () => {
    const vector = messages.find((message) => message.version === 0) as Vector;
    const bytes = fromHex(vector.payload_hex).slice(0, 4 + 24 + 23);
    new DataView(bytes.buffer).setUint16(2, bytes.length);
    expect(readAll(bytes)).toHaveLength(1);
  });
});

describe('any connections', () => {
  const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
  const port = fc.nat(65_535);
  const bytes = (maxLength: number) => fc.uint8Array({ minLength: 1, maxLength });
  const connection = fc
    .record({
      ipv6: fc.boolean(),
      protocol: fc.nat(255),
      flags: fc.nat(0x1ffff),
      state: port,
      ports: fc.tuple(port, port, port),
      mark: word,
      timeoutSeconds: fc.nat(2 ** 32 - 1),
      addresses: fc.array(word, { minLength: 12, maxLength: 12 }),
      sequences: fc.array(word, { minLength: 6, maxLength: 6 }),
      engine: fc.option(fc.tuple(bytes(255), fc.stringMatching(/^[a-z]{1,16}$/))),
    })
    .map((made) => {
      const result = new SyncConnection();
      result.ipv6 = made.ipv6;
      result.protocol = made.protocol;
      result.flags = made.flags;
      result.state = made.state;
      [result.clientPort, result.virtualPort, result.destinationPort] = made.ports;
      result.mark = made.mark;
      result.timeoutSeconds = made.timeoutSeconds;
      for (const [index, words] of [result.client, result.virtual, result.destination].entries()) {
        words.set(made.addresses.slice(4 * index, 4 * index + 4));
        if (!made.ipv6) words.fill(0, 0, 3);
      }
      result.hasSequences = (made.flags & 0x600) !== 0;
      if (result.hasSequences) result.sequences.set(made.sequences);
      if (made.engine !== null) [result.engineData, result.engineName] = made.engine;
      return result;
    });

  test('come back as they were written, as many as fit', () => {
    fc.assert(
      fc.property(fc.array(connection, { minLength: 1, maxLength: 12 }), fc.nat(1000), (connections, bytesMax) => {
        const writer = new SyncMessageWriter(1, 3, bytesMax, connections[0] as SyncConnection);
        const fitted = connections.filter((one) => writer.append(one));
        expect(fitted[0]).toBe(connections[0]);
        const message = writer.finish();
        expect(message.length).toBeLessThanOrEqual(Math.max(bytesMax, message.length * Number(fitted.length === 1)));
        expect(readAll(message)).toEqual(fitted.map((one) => asRead(1, one)));
      }),
    );
  });

  test('in version 0 too', () => {
    fc.assert(
      fc.property(
        fc.array(
          connection.filter((one) => !one.ipv6),
          { minLength: 1, maxLength: 12 },
        ),
        (connections) => {
          const plain = connections.map((one) => {
            const copy = Object.assign(new SyncConnection(), one);
            return Object.assign(copy, { mark: 0, engineData: new Uint8Array(0), engineName: '' });
          });
          expect(readAll(write(0, 3, plain))).toEqual(plain.map((one) => asRead(0, one)));
        },
      ),
    );
  });

  test('are never more than the count can say', () => {
    const one = connectionOf((messages[0] as Vector).conns[0] as VectorConnection);
    const writer = new SyncMessageWriter(1, 3, 65_507, one);
    for (let i = 0; i < 255; i++) expect(writer.append(one)).toBe(true);
    expect(writer.append(one)).toBe(false);
    expect(readAll(writer.finish())).toHaveLength(255);
  });

  test("show no flag on the wire that is the engine's own", () => {
    const one = connectionOf((messages[0] as Vector).conns[0] as VectorConnection);
    one.flags = -1;
    const bytes = write(1, 3, [one]);
    expect(new DataView(bytes.buffer).getUint32(12)).toBe(SYNC_FLAGS_ON_WIRE);
  });
});

test('spoiled messages: nobody throws, nothing outside is read', () => {
  const payloads = messages.map(({ payload_hex }) => fromHex(payload_hex));
  fc.assert(
    fc.property(
      fc.constantFrom(...payloads),
      fc.array(fc.tuple(fc.nat(), fc.constantFrom(0, 1, 2, 3, 0x10, 0x24, 0x48, 0x7f, 0xff)), { maxLength: 4 }),
      fc.nat(8),
      fc.nat(8),
      fc.boolean(),
      (payload, changes, before, after, fixLength) => {
        const bytes = new Uint8Array(before + payload.length + after).fill(0x5a);
        bytes.set(payload, before);
        const end = before + payload.length;
        for (const [where, value] of changes) bytes[before + (where % payload.length)] = value;
        if (fixLength) new DataView(bytes.buffer).setUint16(before + 2, payload.length);
        const read = readAll(bytes, before, end);
        const other = bytes.map((byte, i) => (i >= before && i < end ? byte : ~byte));
        expect(readAll(other, before, end)).toEqual(read);
      },
    ),
    { numRuns: 3000 },
  );
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  EPRT_COMMAND,
  EPSV_REPLY,
  FTP_FOUND,
  FtpAddress,
  PASV_REPLY,
  PORT_COMMAND,
  readFtpAddress,
} from '../../../src/engine/apps/ftp-text.ts';
import {
  ControlConnection,
  ControlState,
  HELPER_DATA_CONNECTION,
  HELPER_DROP,
  HELPER_NOTHING,
  type Helper,
  HelperOutcome,
} from '../../../src/engine/apps/helper.ts';
import { findHelper, helpInbound, helpOutbound } from '../../../src/engine/apps/index.ts';
import { type Segment, tcpChecksumIsRight } from '../../../src/engine/apps/payload.ts';
import { formatWords, parseAddress } from '../../../src/wire/address.ts';
import { readInt32, readUint16, writeUint16 } from '../../../src/wire/bytes.ts';
import { addBytes, checksum, fold } from '../../../src/wire/checksum.ts';
import { fillIpv4Checksum } from '../../../src/wire/ipv4.ts';
import { fromHex, readVectorFile, toHex } from '../../support/vectors.ts';

const ftp = findHelper(6, 21) as Helper;
const FORMS = { PORT: PORT_COMMAND, EPRT: EPRT_COMMAND, PASV: PASV_REPLY, EPSV: EPSV_REPLY } as const;
const CEILING = 512;

interface ParseVector {
  readonly kind: keyof typeof FORMS;
  readonly family: 4 | 6;
  readonly text: string;
  readonly result: number;
  readonly addr: string | null;
  readonly port: number;
  readonly start: number;
  readonly end: number;
}
interface RewriteVector {
  readonly server_line: string;
  readonly vip: string;
  readonly port: number;
  readonly client_sees: string;
}
interface RecordedStep {
  readonly packet?: string;
  readonly fromClient?: boolean;
  readonly output?: string;
  /** Entries in the state LISTEN: client, port, virtual, port, server, port, in hexadecimal. */
  readonly listening?: readonly (readonly string[])[];
}

const vectors = readVectorFile<{ parse: ParseVector[]; rewritten: RewriteVector[] }>(import.meta.url, 'ftp.json');
const bytesOf = (text: string) => Uint8Array.from(Buffer.from(text, 'latin1'));
const wordsOf = (text: string) => (parseAddress(text) as { words: Int32Array }).words;
const show = (ipv6: boolean, words: Int32Array) =>
  formatWords(ipv6, ...(Array.from(words) as [number, number, number, number]));

describe('addresses are read as IPVS reads them', () => {
  for (const vector of vectors.parse) {
    test(`${vector.kind} ${JSON.stringify(vector.text)}`, () => {
      const into = new FtpAddress();
      const bytes = bytesOf(`...${vector.text}???`);
      const ipv6 = vector.family === 6;
      const result = readFtpAddress(FORMS[vector.kind], bytes, 3, 3 + vector.text.length, ipv6, into);
      expect(result).toBe(vector.result);
      if (result !== FTP_FOUND) return;
      expect(into.hasAddress ? show(ipv6, into.words) : null).toBe(vector.addr);
      expect([into.port, into.textAt - 3, into.textEnd - 3]).toEqual([vector.port, vector.start, vector.end]);
    });
  }

  test('never from outside the payload', () => {
    const piece = fc.constantFrom(
      'PORT ',
      'EPRT ',
      '227 (',
      '229 (',
      '|',
      '||',
      '1',
      '2',
      ',',
      ')',
      '10.0.0.1',
      '::1',
      '65',
      ' ',
    );
    const payload = fc.oneof(
      fc.uint8Array({ maxLength: 80 }),
      fc.array(piece, { maxLength: 14 }).map((parts) => bytesOf(parts.join(''))),
    );
    fc.assert(
      fc.property(
        payload,
        fc.nat(8),
        fc.nat(8),
        fc.boolean(),
        fc.constantFrom(...Object.values(FORMS)),
        (bytes, start, cut, ipv6, form) => {
          const at = Math.min(start, bytes.length);
          const end = Math.max(at, bytes.length - cut);
          const read = (from: Uint8Array) => {
            const into = new FtpAddress();
            const result = readFtpAddress(form, from, at, end, ipv6, into);
            return result === FTP_FOUND ? into : result;
          };
          const found = read(bytes);
          if (typeof found === 'object') {
            expect(found.textAt).toBeGreaterThanOrEqual(at);
            expect(found.textEnd).toBeLessThanOrEqual(end);
            expect(found.textEnd).toBeGreaterThan(found.textAt);
          }
          expect(read(bytes.map((byte, i) => (i >= at && i < end ? byte : ~byte)))).toEqual(found);
        },
      ),
      { numRuns: 3000 },
    );
  });
});

/** Rewrites both addresses and ports as NAT does, with checksums made anew: the recorded ones are all right. */
function translate(segment: Segment, source: string, sourcePort: number, destination: string, destinationPort: number) {
  const { bytes, ipAt, transportAt, end, ipv6 } = segment;
  const [sourceAt, length] = ipv6 ? [ipAt + 8, 16] : [ipAt + 12, 4];
  const write = (text: string, at: number) => {
    const words = wordsOf(text);
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < length / 4; i++) view.setInt32(at + 4 * i, words[ipv6 ? i : 3] as number);
  };
  write(source, sourceAt);
  write(destination, sourceAt + length);
  writeUint16(bytes, transportAt, sourcePort);
  writeUint16(bytes, transportAt + 2, destinationPort);
  const ttlAt = ipAt + (ipv6 ? 7 : 8);
  bytes[ttlAt] = (bytes[ttlAt] as number) - 1;
  if (!ipv6) fillIpv4Checksum(bytes, ipAt, 20);
  const sum = addBytes(6 + end - transportAt, bytes, sourceAt, sourceAt + 2 * length);
  // The helper has left a right checksum, so the whole sum only differs by what was written here.
  writeUint16(bytes, transportAt + 16, 0);
  writeUint16(bytes, transportAt + 16, checksum(bytes, transportAt, end, sum));
}

function lay(ip: Uint8Array, partialChecksum = false): Segment & { bytes: Uint8Array } {
  const bytes = new Uint8Array(CEILING + 8).fill(0xee);
  bytes.set(ip, 64);
  const ipv6 = (ip[0] as number) >>> 4 === 6;
  return { bytes, ipAt: 64, transportAt: 64 + (ipv6 ? 40 : 20), end: 64 + ip.length, ipv6, partialChecksum };
}

describe('recorded conversations', () => {
  const recordings = readVectorFile<{ recording: string; steps: RecordedStep[] }[]>(
    import.meta.url,
    'recorded-ftp.json',
  );
  for (const { recording, steps } of recordings) {
    test(`${recording}: the same packets, the same data connections`, () => {
      const state = new ControlState();
      const control = new ControlConnection();
      const outcome = new HelperOutcome();
      const client = { address: '', port: 0 };
      let server = '';
      let virtual = '';
      const announced = new Set<string>();
      let compared = 0;
      for (const { packet, fromClient, output, listening } of steps) {
        if (packet !== undefined && output !== undefined) {
          const segment = lay(fromHex(packet));
          const out = fromHex(output);
          const { ipv6 } = segment;
          const addressOf = (bytes: Uint8Array, which: 0 | 1) =>
            ipv6
              ? formatWords(
                  true,
                  ...([0, 4, 8, 12].map((i) => readInt32(bytes, 8 + 16 * which + i)) as [
                    number,
                    number,
                    number,
                    number,
                  ]),
                )
              : formatWords(false, 0, 0, 0, readInt32(bytes, 12 + 4 * which));
          const transport = ipv6 ? 40 : 20;
          const isSyn = ((fromHex(packet)[transport + 13] as number) & 2) !== 0;
          if (fromClient) {
            client.address = addressOf(fromHex(packet), 0);
            client.port = readUint16(fromHex(packet), transport);
            virtual = addressOf(fromHex(packet), 1);
            server = addressOf(out, 1);
            control.ipv6 = ipv6;
            control.client.set(wordsOf(client.address));
            control.virtual.set(wordsOf(virtual));
            control.server.set(wordsOf(server));
            control.virtualPort = control.serverPort = 21;
          }
          const answer = fromClient
            ? helpInbound(ftp, state, control, !isSyn, segment, outcome)
            : helpOutbound(ftp, state, control, !isSyn, segment, CEILING, outcome);
          expect(answer).not.toBe(HELPER_DROP);
          if (answer === HELPER_DATA_CONNECTION) {
            announced.add(
              [
                [outcome.client, outcome.clientPort],
                [outcome.virtual, outcome.virtualPort],
                [outcome.server, outcome.serverPort],
              ]
                .map(([words, port]) => `${show(ipv6, words as Int32Array)} ${port}`)
                .join(' '),
            );
          }
          const sent = { ...segment, end: outcome.end };
          expect(tcpChecksumIsRight(sent)).toBe(true);
          if (fromClient) translate(sent, client.address, client.port, server, 21);
          else translate(sent, virtual, 21, client.address, client.port);
          expect(toHex(sent.bytes.subarray(sent.ipAt, sent.end))).toBe(output);
          expect(sent.bytes.subarray(sent.end + 8).every((byte) => byte === 0xee)).toBe(true);
          compared++;
        }
        for (const [caddr, cport, vaddr, vport, daddr, dport] of (listening ?? []) as string[][]) {
          const words = (text: string | undefined) => {
            const hex = (text as string).replaceAll(':', '');
            return show(
              hex.length > 8,
              Int32Array.from([0, 8, 16, 24], (i) =>
                hex.length > 8 ? Number.parseInt(hex.slice(i, i + 8), 16) : i === 24 ? Number.parseInt(hex, 16) : 0,
              ),
            );
          };
          const port = (text: string | undefined) => Number.parseInt(text as string, 16);
          expect(announced).toContain(
            `${words(caddr)} ${port(cport)} ${words(vaddr)} ${port(vport)} ${words(daddr)} ${port(dport)}`,
          );
        }
      }
      expect(compared).toBeGreaterThan(15);
      expect(announced.size).toBe(recording === 'pkt-ftp-pasv-again' ? 3 : 1);
    });
  }
});

/** A control connection between 203.0.113.5:1111 and 192.0.2.1:21 at the server 10.0.0.1:2121. */
class Conversation {
  readonly state = new ControlState();
  readonly control = new ControlConnection();
  readonly outcome = new HelperOutcome();
  established = true;
  partialChecksum = false;
  ceiling = CEILING;

  constructor() {
    this.control.client[3] = wordsOf('203.0.113.5')[3] as number;
    this.control.virtual[3] = wordsOf('192.0.2.1')[3] as number;
    this.control.server[3] = wordsOf('10.0.0.1')[3] as number;
    this.control.virtualPort = 21;
    this.control.serverPort = 2121;
  }

  fromClient(text: string, sequence = 1000, acknowledgement = 5000, options: Uint8Array = new Uint8Array(0)) {
    const segment = this.#segment(text, sequence, acknowledgement, options, '203.0.113.5', '192.0.2.1');
    const answer = helpInbound(ftp, this.state, this.control, this.established, segment, this.outcome);
    return this.#seen(segment, answer);
  }

  fromServer(text: string, sequence = 5000, acknowledgement = 1000, spoil = false) {
    const segment = this.#segment(text, sequence, acknowledgement, new Uint8Array(0), '10.0.0.1', '203.0.113.5');
    if (spoil) segment.bytes[segment.transportAt + 16]! ^= 1;
    const answer = helpOutbound(ftp, this.state, this.control, this.established, segment, this.ceiling, this.outcome);
    return this.#seen(segment, answer);
  }

  #seen(segment: Segment, answer: number) {
    const { bytes, ipAt, transportAt } = segment;
    const { end } = this.outcome;
    const headerBytes = ((bytes[transportAt + 12] as number) >>> 4) * 4;
    const right = { ...segment, end };
    if (this.partialChecksum) {
      const pseudo = fold(addBytes(6 + end - transportAt, bytes, ipAt + 12, ipAt + 20));
      expect(readUint16(bytes, transportAt + 16)).toBe(pseudo);
    } else if (answer !== HELPER_DROP) expect(tcpChecksumIsRight(right)).toBe(true);
    if (answer !== HELPER_DROP) {
      expect(readUint16(bytes, ipAt + 2)).toBe(end - ipAt);
      expect(checksum(bytes, ipAt, ipAt + 20)).toBe(0);
    }
    return {
      answer,
      text: Buffer.from(bytes).toString('latin1', transportAt + headerBytes, end),
      sequence: readInt32(bytes, transportAt + 4) >>> 0,
      acknowledgement: readInt32(bytes, transportAt + 8) >>> 0,
      options: toHex(bytes.subarray(transportAt + 20, transportAt + headerBytes)),
    };
  }

  #segment(text: string, sequence: number, acknowledgement: number, options: Uint8Array, from: string, to: string) {
    const headerBytes = 20 + options.length;
    const ip = new Uint8Array(20 + headerBytes + text.length);
    const view = new DataView(ip.buffer);
    view.setUint16(0, 0x4500);
    view.setUint16(2, ip.length);
    view.setUint16(8, 0x4006);
    view.setInt32(12, wordsOf(from)[3] as number);
    view.setInt32(16, wordsOf(to)[3] as number);
    fillIpv4Checksum(ip, 0, 20);
    view.setUint32(24, sequence);
    view.setUint32(28, acknowledgement);
    view.setUint16(32, ((headerBytes / 4) << 12) | 0x18);
    ip.set(options, 40);
    ip.set(bytesOf(text), 20 + headerBytes);
    const pseudo = addBytes(6 + headerBytes + text.length, ip, 12, 20);
    view.setUint16(36, this.partialChecksum ? fold(pseudo) : checksum(ip, 20, ip.length, pseudo));
    return lay(ip, this.partialChecksum);
  }
}

describe('what the client says', () => {
  const modes = { PASV: 1, EPSV: 2, nothing: 0 } as const;
  for (const [line, mode] of [
    ['PASV\r\n', 'PASV'],
    ['pasv\r\n', 'PASV'],
    ['NOOP\r\nPASV\r\n', 'PASV'],
    ['EPSV\r\n', 'EPSV'],
    ['epsv 1\r\n', 'EPSV'],
    ['EPSV 2\r\n', 'nothing'],
    ['EPSV ALL\r\n', 'nothing'],
    ['EPSV 1', 'nothing'],
    ['PASV\n\n', 'nothing'],
    ['PASV', 'nothing'],
    ['', 'nothing'],
  ] as const) {
    test(`${JSON.stringify(line)} asks for ${mode}`, () => {
      const talk = new Conversation();
      expect(talk.fromClient(line).answer).toBe(HELPER_NOTHING);
      expect(talk.state.mode).toBe(modes[mode]);
    });
  }

  test('PORT announces a connection from one port below, and ends passive mode', () => {
    const talk = new Conversation();
    talk.fromClient('PASV\r\n');
    const { answer, text } = talk.fromClient('PORT 203,0,113,5,20,10\r\n');
    expect(answer).toBe(HELPER_DATA_CONNECTION);
    expect(text).toBe('PORT 203,0,113,5,20,10\r\n');
    expect(talk.state.mode).toBe(0);
    expect(show(false, talk.outcome.client)).toBe('203.0.113.5');
    expect(show(false, talk.outcome.virtual)).toBe('192.0.2.1');
    expect(show(false, talk.outcome.server)).toBe('10.0.0.1');
    expect([talk.outcome.clientPort, talk.outcome.virtualPort, talk.outcome.serverPort]).toEqual([5130, 20, 2120]);
  });

  test('PORT counts only at the beginning', () => {
    expect(new Conversation().fromClient('NOOP\r\nPORT 203,0,113,5,20,10\r\n').answer).toBe(HELPER_NOTHING);
  });

  test('nothing counts before the connection is established', () => {
    const talk = new Conversation();
    talk.established = false;
    expect(talk.fromClient('PORT 203,0,113,5,20,10\r\n').answer).toBe(HELPER_NOTHING);
    talk.fromClient('PASV\r\n');
    expect(talk.state.mode).toBe(0);
  });
});

describe('what the server answers', () => {
  for (const vector of vectors.rewritten) {
    test(JSON.stringify(vector.server_line), () => {
      const talk = new Conversation();
      talk.fromClient(vector.server_line.startsWith('227') ? 'PASV\r\n' : 'EPSV\r\n');
      const { answer, text } = talk.fromServer(vector.server_line);
      expect(answer).toBe(HELPER_DATA_CONNECTION);
      expect(text).toBe(vector.client_sees);
      expect(talk.outcome.clientPort).toBe(0);
      expect([talk.outcome.virtualPort, talk.outcome.serverPort]).toEqual([vector.port, vector.port]);
      expect(show(false, talk.outcome.virtual)).toBe(vector.vip);
    });
  }

  const REPLY = '227 Entering Passive Mode (10,0,0,1,200,21).\r\n';
  test('is left alone when nobody asked, and the second time', () => {
    const talk = new Conversation();
    expect(talk.fromServer(REPLY)).toMatchObject({ answer: HELPER_NOTHING, text: REPLY });
    talk.fromClient('PASV\r\n');
    expect(talk.fromServer(REPLY).answer).toBe(HELPER_DATA_CONNECTION);
    expect(talk.fromServer(REPLY, 6000)).toMatchObject({ answer: HELPER_NOTHING, text: REPLY });
  });

  test('is changed again, and counted once, when it comes again', () => {
    const talk = new Conversation();
    talk.fromClient('PASV\r\n');
    const first = talk.fromServer(REPLY);
    expect(first.text).toContain('(192,0,2,1,200,21)');
    expect(talk.fromServer(REPLY)).toEqual(first);
    expect(talk.state.outbound).toMatchObject({ active: true, initial: 5000, delta: 1, previousDelta: 0 });
  });

  test('may name another address than the server, for another host', () => {
    const talk = new Conversation();
    talk.fromClient('PASV\r\n');
    talk.fromServer('227 (10,0,0,9,1,2)\r\n');
    expect(show(false, talk.outcome.server)).toBe('10.0.0.9');
  });

  test('is dropped with a wrong checksum, or when the longer text has no room', () => {
    const talk = new Conversation();
    talk.fromClient('PASV\r\n');
    expect(talk.fromServer(REPLY, 5000, 1000, true).answer).toBe(HELPER_DROP);
    talk.ceiling = 64 + 40 + REPLY.length;
    expect(talk.fromServer(REPLY).answer).toBe(HELPER_DROP);
    talk.ceiling++;
    expect(talk.fromServer(REPLY).answer).toBe(HELPER_DATA_CONNECTION);
  });

  test('keeps an unfinished checksum fit for the network card', () => {
    const talk = new Conversation();
    talk.partialChecksum = true;
    talk.fromClient('PASV\r\n');
    expect(talk.fromServer(REPLY).text).toContain('(192,0,2,1,200,21)');
    talk.fromServer('226 done\r\n', 5000 + REPLY.length);
  });
});

describe('numbers after a changed text', () => {
  test('a longer one: replies move up, acknowledgements down', () => {
    const talk = new Conversation();
    talk.fromClient('PASV\r\n');
    const reply = '227 (10,0,0,1,200,21)\r\n';
    const { sequence, text } = talk.fromServer(reply, 5000);
    expect(sequence).toBe(5000);
    expect(text.length).toBe(reply.length + 1);
    const next = 5000 + reply.length;
    expect(talk.fromServer('226\r\n', next).sequence).toBe(next + 1);
    expect(talk.fromServer('', 4000).sequence).toBe(4000);
    expect(talk.fromClient('', 1006, next + 1).acknowledgement).toBe(next);
    expect(talk.fromClient('', 1006, 5000).acknowledgement).toBe(5000);
  });

  test('a shorter one, across the end of the numbers', () => {
    const talk = new Conversation();
    talk.fromClient('EPSV\r\n');
    const reply = '229 ok (|1|10.0.0.9|51300|)\r\n';
    const { text } = talk.fromServer(reply, 0xffff_fff0);
    const difference = text.length - reply.length;
    expect(difference).toBe(-9);
    const next = (0xffff_fff0 + reply.length) % 0x1_0000_0000;
    expect(talk.fromServer('226\r\n', next).sequence).toBe(next - 9);
    expect(talk.fromClient('', 1006, next - 9).acknowledgement).toBe(next);
    // What was acknowledged before the changed reply keeps its number.
    expect(talk.fromClient('', 1006, 0xffff_ffee).acknowledgement).toBe(0xffff_ffee);
  });

  test('selective acknowledgements follow', () => {
    const talk = new Conversation();
    talk.fromClient('PASV\r\n');
    talk.fromServer('227 (10,0,0,1,200,21)\r\n', 5000);
    // No-operation, then a block 6000..6010 on an odd boundary, then no-operations.
    const sack = fromHex('01050a000017700000177a01');
    expect(talk.fromClient('', 1006, 5000, sack).options).toBe('01050a0000176f0000177901');
    // An option whose length lies is not followed.
    const lying = fromHex('05ff000017700000177a0000');
    expect(talk.fromClient('', 1006, 5000, lying).options).toBe('05ff000017700000177a0000');
  });

  test('add up: a stream read by either side is one stream', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 0xffff_ffff }),
        fc.array(
          fc.oneof(
            fc.nat(40).map((n) => 'x'.repeat(n + 1)),
            fc.constantFrom('227 (1,2,3,4,5,6)\r\n', '227 (210,211,212,213,214,215)\r\n'),
          ),
          { minLength: 1, maxLength: 12 },
        ),
        (start, lines) => {
          const talk = new Conversation();
          let sent = start;
          let seen = start;
          for (const line of lines) {
            if (line.startsWith('227')) talk.fromClient('PASV\r\n', 1000, seen);
            const { sequence, text } = talk.fromServer(line, sent);
            expect(sequence).toBe(seen);
            sent = (sent + line.length) % 0x1_0000_0000;
            seen = (seen + text.length) % 0x1_0000_0000;
            expect(talk.fromClient('', 1000, seen).acknowledgement).toBe(sent);
          }
        },
      ),
    );
  });
});

test('hostile segments: nobody throws, nothing outside the packet changes', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 20, maxLength: 120 }),
      fc.boolean(),
      fc.boolean(),
      fc.nat(3),
      (tcp, out, partial, mode) => {
        const ip = new Uint8Array(20 + tcp.length);
        ip[0] = 0x45;
        ip.set(tcp, 20);
        const segment = lay(ip, partial);
        const state = new ControlState();
        state.mode = mode;
        state.outbound.record(5, 3);
        const outcome = new HelperOutcome();
        const control = new ControlConnection();
        const before = segment.bytes.slice();
        if (out) helpOutbound(ftp, state, control, true, segment, CEILING, outcome);
        else helpInbound(ftp, state, control, true, segment, outcome);
        const tail = Math.max(outcome.end, segment.end);
        expect(toHex(segment.bytes.subarray(0, 64))).toBe(toHex(before.subarray(0, 64)));
        expect(toHex(segment.bytes.subarray(tail))).toBe(toHex(before.subarray(tail)));
        expect(outcome.end).toBeLessThanOrEqual(CEILING);
      },
    ),
    { numRuns: 1000 },
  );
});

test('there is a helper for port 21 of TCP alone', () => {
  expect([findHelper(6, 21)?.name, findHelper(17, 21), findHelper(6, 20)]).toEqual(['ftp', null, null]);
});

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { PacketIoError } from '../../src/packet-io/packet-io.ts';
import { ReplayIo } from '../../src/packet-io/replay.ts';
import { CaptureFileError, LinkType } from '../../src/wire/capture-format.ts';
import { NO_LINK } from '../../src/wire/packet-batch.ts';
import { PcapWriter } from '../../src/wire/pcap-file.ts';
import { PcapngWriter } from '../../src/wire/pcapng-writer.ts';
import { readCapture } from '../support/captures.ts';
import { ethernet, expectFrame, ipv4, udp } from '../support/expect-frame.ts';
import { frame, packet } from '../support/frames.ts';

const START_NS = 1_700_000_000_000_000_000n;
const MS = 1_000_000n;
const MAC = Uint8Array.of(2, 0, 0, 0, 0, 2);
const ETHERNET = { linkType: LinkType.ETHERNET, snapBytes: 0 };

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'uipvs-replay-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function save(name: string, ...pieces: Uint8Array[]): string {
  const path = join(folder, name);
  writeFileSync(path, Buffer.concat(pieces));
  return path;
}

function datagram(payload: string): Uint8Array {
  return frame().ipv4('10.0.0.5', '192.168.1.120').udp(40000, 53, { payload });
}

/** A pcapng file of datagrams on one interface. */
function saveTimes(...times: readonly [payload: string, ns: bigint][]): string {
  const writer = new PcapngWriter();
  const blocks = times.map(([payload, ns]) => writer.packet.bind(writer, 0, datagram(payload), ns));
  return save('in.pcapng', writer.header(), writer.interface(ETHERNET), ...blocks.map((block) => block()));
}

/** Receives all that is due now, as payload texts. */
function due(io: ReplayIo): string[] {
  const batch = io.createBatch(8);
  io.receive(batch);
  return Array.from({ length: batch.count }, (_, slot) => Buffer.from(batch.frame(slot).subarray(42)).toString());
}

describe('a replayed capture file', () => {
  test('gives its packets when their time has come, and waiting moves the time', () => {
    const io = new ReplayIo({
      input: saveTimes(
        ['a', START_NS],
        ['b', START_NS + 400n],
        ['c', START_NS + 1000n * MS],
        ['d', START_NS + 1001n * MS],
      ),
    });
    expect(io.startNs).toBe(START_NS);
    expect([io.timeMs, io.nextTimeMs]).toEqual([0, 0]);
    expect(due(io)).toEqual(['a', 'b']);
    expect(io.nextTimeMs).toBe(1000);
    io.wait(300);
    expect(io.timeMs).toBe(300);
    expect(due(io)).toEqual([]);
    io.wait(5000);
    expect(io.timeMs).toBe(1000);
    expect(due(io)).toEqual(['c']);
    io.wait(Number.POSITIVE_INFINITY);
    expect(due(io)).toEqual(['d']);
    expect(io.nextTimeMs).toBe(Number.POSITIVE_INFINITY);
    io.wait(60_000);
    io.wait(Number.POSITIVE_INFINITY);
    expect(io.timeMs).toBe(61_001);
    expect(io.counters).toMatchObject({ received: 4, receiveDrops: 0 });
    io.close();
  });

  test('does not follow times that run backwards', () => {
    const io = new ReplayIo({
      input: saveTimes(['a', START_NS + 10n * MS], ['b', START_NS], ['c', START_NS + 12n * MS]),
    });
    expect(due(io)).toEqual(['a', 'b']);
    expect(io.nextTimeMs).toBe(2);
  });

  test('takes names and addresses of the links from the file, or from whoever knows better', () => {
    const writer = new PcapngWriter();
    const input = save(
      'in.pcapng',
      writer.header(),
      writer.interface({ ...ETHERNET, name: 'c0', mac: MAC }),
      writer.interface(ETHERNET),
      writer.packet(1, datagram('a'), START_NS),
    );
    expect(new ReplayIo({ input }).links).toMatchObject([
      { index: 1, name: 'c0', mac: MAC },
      { index: 2, name: 'replay1' },
    ]);
    const known = { index: 40, name: 'eth0', mac: MAC, mtu: 1500, loopback: false };
    const io = new ReplayIo({ input, links: [{ ...known, index: 39 }, known] });
    const batch = io.createBatch(1);
    io.receive(batch);
    expect(batch.ingress[0]).toBe(40);
  });

  test('passes over what the recorded host had sent itself', () => {
    const writer = new PcapngWriter();
    const input = save(
      'in.pcapng',
      writer.header(),
      writer.interface(ETHERNET),
      writer.packet(0, datagram('sent'), START_NS, { direction: 'outbound' }),
      writer.packet(0, datagram('came'), START_NS, { direction: 'inbound' }),
    );
    expect(due(new ReplayIo({ input }))).toEqual(['came']);
  });

  test('counts packets of a detached link as drops', () => {
    const io = new ReplayIo({ input: saveTimes(['a', START_NS], ['b', START_NS + MS]) });
    io.detach(1);
    expect(due(io)).toEqual([]);
    expect(io.counters.receiveDrops).toBe(1);
    io.wait(10);
    io.attach({ index: 1, name: 'c0', mac: MAC, mtu: 1500, loopback: false });
    expect(due(io)).toEqual(['b']);
  });

  test('puts Ethernet around packets that were captured without', () => {
    const inside = packet().ipv4('10.0.0.5', '192.168.1.120').udp(40000, 53, { payload: 'a' });
    const links = [{ index: 1, name: 'c0', mac: MAC, mtu: 1500, loopback: false }];
    const raw = new PcapWriter({ linkType: LinkType.RAW });
    const cooked = new PcapWriter({ linkType: LinkType.LINUX_SLL });
    // For us, broadcast, sent by us: type, ARPHRD_ETHER, address length, address, padding, protocol.
    const head = (type: string) => Buffer.from(`${type}000100060200000000aa00000800`, 'hex');
    const cookedFile = save(
      'cooked.pcap',
      cooked.header(),
      ...['0000', '0001', '0004'].map((type) => cooked.packet(Buffer.concat([head(type), inside]), START_NS)),
    );
    const received = (input: string): Uint8Array[] => {
      const io = new ReplayIo({ input, links });
      const batch = io.createBatch(8);
      io.receive(batch);
      return Array.from({ length: batch.count }, (_, slot) => batch.frame(slot));
    };
    const datagramLayers = [ipv4({ from: '10.0.0.5' }), udp({ toPort: 53, payload: 'a' })];
    const fromRaw = received(save('raw.pcap', raw.header(), raw.packet(inside, START_NS)));
    expectFrame(fromRaw, ethernet({ to: '02:00:00:00:00:02', type: 0x0800 }), ...datagramLayers);
    const fromCooked = received(cookedFile);
    expect(fromCooked).toHaveLength(2);
    expectFrame(fromCooked[0], ethernet({ to: '02:00:00:00:00:02', from: '02:00:00:00:00:aa' }), ...datagramLayers);
    expectFrame(fromCooked[1], ethernet({ to: 'ff:ff:ff:ff:ff:ff' }), ...datagramLayers);
  });
});

describe('the file that a replay writes', () => {
  test.each(['pcap', 'pcapng'] as const)('is a %s file with the virtual times', (outputFormat) => {
    const output = join(folder, 'out');
    const io = new ReplayIo({ input: saveTimes(['a', START_NS], ['b', START_NS + 7n * MS]), output, outputFormat });
    const batch = io.createBatch(4);
    for (const egress of [1, NO_LINK]) {
      io.receive(batch);
      batch.egress[0] = egress;
      io.transmit(batch);
      io.wait(1000);
    }
    batch.egress[0] = 1;
    io.wait(13);
    expect(io.transmit(batch)).toBe(1);
    batch.egress[0] = 5;
    expect(io.transmit(batch)).toBe(0);
    io.close();
    io.close();
    expect(io.counters).toMatchObject({ transmitted: 2, transmitErrors: { ENODEV: 1 } });
    const { interfaces, packets } = readCapture(readFileSync(output));
    expect(packets.map((sent) => sent.timestampNs)).toEqual([START_NS, START_NS + 1020n * MS]);
    expect(packets[1]?.data).toEqual(datagram('b'));
    if (outputFormat === 'pcapng') expect(interfaces).toMatchObject([{ name: 'replay0' }]);
  });

  test('is the same, byte for byte, every time', () => {
    const input = saveTimes(['a', START_NS], ['b', START_NS + 7n * MS]);
    const play = (name: string): Buffer => {
      const io = new ReplayIo({ input, output: join(folder, name) });
      const batch = io.createBatch(4);
      while (io.nextTimeMs < Number.POSITIVE_INFINITY) {
        if (io.receive(batch) === 0) io.wait(1);
        batch.egress.fill(1);
        io.transmit(batch);
      }
      io.close();
      return readFileSync(join(folder, name));
    };
    const first = play('one');
    expect(first.length).toBeGreaterThan(200);
    expect(play('two')).toEqual(first);
  });
});

describe('a file that cannot be replayed', () => {
  test('is named, with the reason', () => {
    expect(() => new ReplayIo({ input: join(folder, 'none') })).toThrow(PacketIoError);
    expect(() => new ReplayIo({ input: join(folder, 'none') })).toThrow(/cannot read .*none: ENOENT/);
    expect(() => new ReplayIo({ input: save('text', Buffer.from('hello')) })).toThrow(CaptureFileError);
    expect(() => new ReplayIo({ input: folder })).toThrow(/cannot read .*EISDIR/);
    const input = saveTimes(['a', START_NS]);
    expect(() => new ReplayIo({ input, output: join(folder, 'no', 'such') })).toThrow(/cannot write .*ENOENT/);
  });

  test('is not overwritten by its own replay', () => {
    const input = saveTimes(['a', START_NS]);
    const before = readFileSync(input);
    expect(() => new ReplayIo({ input, output: join(folder, '.', 'in.pcapng') })).toThrow(/is the file that is read/);
    expect(readFileSync(input)).toEqual(before);
  });

  test('gives the packets before the damage, then says where it is', () => {
    const whole = readFileSync(saveTimes(['a', START_NS], ['b', START_NS + 5n * MS]));
    const io = new ReplayIo({ input: save('cut.pcapng', whole.subarray(0, whole.length - 3)) });
    expect(due(io)).toEqual(['a']);
    expect(io.nextTimeMs).toBe(0);
    expect(() => due(io)).toThrow(/capture file, packet 2, byte \d+: a block takes 76 bytes, but only 73 are left/);
  });
});

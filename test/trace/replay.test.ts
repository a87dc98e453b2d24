import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { formatReplay } from '../../src/trace/replay-report.ts';
import { LinkType } from '../../src/wire/capture-format.ts';
import { PcapWriter } from '../../src/wire/pcap-file.ts';
import { PcapngWriter } from '../../src/wire/pcapng-writer.ts';
import { readCapture } from '../support/captures.ts';
import { ethernet, expectFrame, ipv4, ipv6, tcp } from '../support/expect-frame.ts';
import { frame, packet } from '../support/frames.ts';
import { DIRECTOR_MAC, ROUTER_MAC, WEB_VIP, webCapture } from '../support/web-capture.ts';
import { server, webTable, workbench } from './support.ts';

const { save, play, folder } = workbench();

const START_NS = 1_700_000_000_123_456_789n;
const SECOND = 1_000_000_000n;
/** Of the capture that a replay of `webCapture({ connections: 100 })` writes. */
const HUNDRED_CONNECTIONS = '8fb79a719a1af0c947f6c924e60668ea65e04a41a869ab870c1c955d510cad90';

const whole = (connections: number) => Buffer.concat([...webCapture({ connections })]);

function syn(port: number, fields: { to?: string; mac?: string } = {}): Uint8Array {
  return frame()
    .ethernet({ from: ROUTER_MAC, to: fields.mac ?? DIRECTOR_MAC })
    .ipv4('10.0.0.5', fields.to ?? WEB_VIP)
    .tcp(port, 80, { syn: true });
}

function pcap(packets: readonly (readonly [Uint8Array, bigint])[], linkType: number = LinkType.ETHERNET): Buffer {
  const writer = new PcapWriter({ linkType });
  return Buffer.concat([writer.header(), ...packets.map(([bytes, ns]) => writer.packet(bytes, ns))]);
}

describe('a replay', () => {
  test('distributes the connections of a capture, and every answer finds its way back', async () => {
    const { report } = await play(save('in.pcap', whole(100)));
    expect(report).toMatchObject({ packets: 1000, sent: 1000, passedOver: {} });
    expect(report.counters).toMatchObject({ drops: {}, passes: {}, connections: 100 });
    const [web] = report.services;
    expect(web?.statistics).toMatchObject({ connections: 100, inPackets: 600, outPackets: 400 });
    expect(web?.destinations.map(({ statistics }) => statistics.connections).sort()).toEqual([33, 33, 34]);
  });

  test('gives the same bytes every time, on every computer and every Node', async () => {
    const input = save('in.pcap', whole(100));
    const first = await play(input);
    expect(first.report.output).toEqual({ bytes: first.file.length, sha256: HUNDRED_CONNECTIONS });
    expect(createHash('sha256').update(first.file).digest('hex')).toBe(HUNDRED_CONNECTIONS);
    expect((await play(input)).file.equals(first.file)).toBe(true);
  });

  test('is told without being written, with the same sum', async () => {
    const { report } = await play(save('in.pcap', whole(100)), { output: null });
    expect(report.output.sha256).toBe(HUNDRED_CONNECTIONS);
  });

  test('writes what came and what left on two interfaces, with a comment on what was changed', async () => {
    const { interfaces, packets } = await play(save('in.pcap', whole(1)));
    expect(interfaces.map(({ name }) => name)).toEqual(['uipvs-in', 'uipvs-out']);
    expect(packets.map(({ interfaceIndex }) => interfaceIndex)).toEqual(Array.from({ length: 20 }, (_, i) => i % 2));
    expect(packets[0]?.comments).toEqual([]);
    expect(packets[1]?.comments[0]).toMatch(
      /^dst 192\.168\.1\.120 → 192\.168\.1\.13, ttl 60 → 59, checksum [0-9a-f]{4} → [0-9a-f]{4}$/,
    );
    expect(packets[3]?.comments[0]).toMatch(/^src 192\.168\.1\.13 → 192\.168\.1\.120, ttl 64 → 63, checksum /);
    expectFrame(
      packets[1]?.data,
      ethernet({ from: DIRECTOR_MAC, to: '02:00:00:00:01:02' }),
      ipv4({ to: '192.168.1.13' }),
      tcp({ toPort: 80, checksum: 'valid' }),
    );
    expectFrame(packets[3]?.data, ethernet({ to: ROUTER_MAC }), ipv4({ from: WEB_VIP }), tcp({ fromPort: 80 }));
  });

  test('keeps the nanoseconds of the capture', async () => {
    const { packets } = await play(
      save(
        'in.pcap',
        pcap([
          [syn(1), START_NS],
          [syn(2), START_NS + 1n],
          [syn(3), START_NS + 7n * SECOND + 11n],
        ]),
      ),
    );
    const times = [START_NS, START_NS, START_NS + 1n, START_NS + 1n, START_NS + 7n * SECOND + 11n];
    expect(packets.slice(0, 5).map(({ timestampNs }) => timestampNs)).toEqual(times);
  });

  test.each([
    ['direct', /^to MAC 02:/],
    ['tunnel', /^in a tunnel \(IPIP, 20 bytes more\): src 192\.168\.1\.120, dst 192\.168\.1\.13$/],
  ] as const)('says what %s forwarding did', async (method, comment) => {
    const { packets } = await play(save('in.pcap', pcap([[syn(1), START_NS]])), { desired: webTable(method) });
    expect(packets[1]?.comments[0]).toMatch(comment);
  });

  test('does the same with IPv6', async () => {
    const table = webTable('masquerade', 'fd00::100');
    const [service] = table.services as [(typeof table.services)[number]];
    const desired = { ...table, services: [{ ...service, destinations: [server('fd00:1::11')] }] };
    const request = frame()
      .ethernet({ from: ROUTER_MAC, to: DIRECTOR_MAC })
      .ipv6('2001:db8::7', 'fd00::100')
      .tcp(1, 80, { syn: true });
    const answer = frame()
      .ethernet({ to: DIRECTOR_MAC })
      .ipv6('fd00:1::11', '2001:db8::7')
      .tcp(80, 1, { syn: true, ack: 1 });
    const input = save(
      'in.pcap',
      pcap([
        [request, START_NS],
        [answer, START_NS],
      ]),
    );
    const { report, packets } = await play(input, { desired });
    expect(report).toMatchObject({ sent: 2, counters: { drops: {}, passes: {} } });
    expect(packets.map(({ comments }) => comments[0]?.replace(/, checksum.*/, ''))).toEqual([
      undefined,
      'dst fd00::100 → fd00:1::11, ttl 64 → 63',
      undefined,
      'src fd00:1::11 → fd00::100, ttl 64 → 63',
    ]);
    expectFrame(
      packets[3]?.data,
      ethernet({ to: ROUTER_MAC }),
      ipv6({ from: 'fd00::100' }),
      tcp({ checksum: 'valid' }),
    );
  });

  test('says why packets were not sent', async () => {
    const stray = frame().ethernet({ to: DIRECTOR_MAC }).ipv4('10.0.0.5', WEB_VIP).tcp(9, 80, { ack: 5 });
    const input = save(
      'in.pcap',
      pcap([
        [syn(1), START_NS],
        [stray, START_NS],
        [syn(2, { to: '10.9.9.9' }), START_NS],
      ]),
    );
    const { report, packets, lines } = await play(input);
    expect(report.counters.passes).toEqual({ 'no-connection': 1, 'no-service': 1 });
    expect(packets[2]?.comments[0]).toMatch(/^not balanced: no-connection \(a TCP segment that opens nothing/);
    expect(lines[0]).toMatch(/^#1 \+0\.000000000 IP 10\.0\.0\.5\.1 > .* Flags \[S\].* \| dst 192\.168\.1\.120 → /);
    expect(lines[2]).toMatch(/^#3 .* \| not balanced: no-service/);
    const text = formatReplay(report, 1);
    expect(text).toMatch(/-> 192\.168\.1\.13:80 +1 +1 /);
    expect(text).toMatch(/not balanced +1 {2}no-service: no virtual service at this address/);
  });

  test('takes frames that the balancer itself had sent for those of another host', async () => {
    const own = frame()
      .ethernet({ from: DIRECTOR_MAC, to: '02:00:00:00:01:02' })
      .ipv4('10.0.0.5', WEB_VIP)
      .tcp(1, 80, {});
    const { report } = await play(
      save(
        'in.pcap',
        pcap([
          [syn(1), START_NS],
          [own, START_NS],
        ]),
      ),
    );
    expect(report.counters.passes).toEqual({ 'other-host': 1 });
    expect(report.sent).toBe(1);
  });

  test('lets connections end in the time of the capture', async () => {
    const { report } = await play(
      save(
        'in.pcap',
        pcap([
          [syn(1), START_NS],
          [syn(2), START_NS + 400_000n * SECOND],
        ]),
      ),
    );
    expect(report.counters.connections).toBe(1);
    expect(report.seconds).toBe(400_000);
  });

  test('writes a plain capture of what left, for programs that read nothing else', async () => {
    const { interfaces, packets } = await play(save('in.pcap', whole(1)), { format: 'pcap' });
    expect(interfaces).toHaveLength(1);
    expect(packets).toHaveLength(10);
  });
});

describe('captures of other kinds', () => {
  const inside = packet().ipv4('10.0.0.5', WEB_VIP).tcp(1, 80, { syn: true });
  const cooked2 = Buffer.from('0800000000000002000100060200000000aa0000', 'hex');

  test.each([
    ['raw IP', LinkType.RAW, [inside]],
    ['raw IPv4', LinkType.IPV4, [inside]],
    ['BSD loopback', LinkType.NULL, [Buffer.from('02000000', 'hex'), inside]],
    ['the loopback of OpenBSD', LinkType.LOOP, [Buffer.from('00000002', 'hex'), inside]],
    ['Linux cooked', LinkType.LINUX_SLL, [Buffer.from('0000000100060200000000aa00000800', 'hex'), inside]],
    ['Linux cooked, second version', LinkType.LINUX_SLL2, [cooked2, inside]],
  ] as const)('%s', async (_, linkType, pieces) => {
    const { report } = await play(save('in.pcap', pcap([[Buffer.concat(pieces), START_NS]], linkType)));
    expect(report).toMatchObject({ packets: 1, sent: 1 });
  });

  test('in every byte order and resolution give the same packets', async () => {
    const sent = [];
    for (const littleEndian of [true, false]) {
      for (const resolution of ['microseconds', 'nanoseconds'] as const) {
        const writer = new PcapWriter({ linkType: LinkType.ETHERNET, littleEndian, resolution });
        const { file } = await play(
          save('in.pcap', writer.header(), writer.packet(syn(1), 1_000_000_000_000_001_000n)),
        );
        sent.push(file.toString('hex'));
      }
      const writer = new PcapngWriter({ littleEndian });
      const about = writer.interface({ linkType: LinkType.ETHERNET, snapBytes: 0 });
      const record = writer.packet(0, syn(1), 1_000_000_000_000_001_000n);
      sent.push((await play(save('in.pcapng', writer.header(), about, record))).file.toString('hex'));
    }
    expect(new Set(sent).size).toBe(1);
  });

  test('packets that the capture cut off are balanced, and cut off again', async () => {
    const data = frame()
      .ethernet({ to: DIRECTOR_MAC })
      .ipv4('10.0.0.5', WEB_VIP)
      .tcp(1, 80, { syn: true, payload: 'x'.repeat(900) });
    const writer = new PcapWriter({ linkType: LinkType.ETHERNET });
    const input = save('in.pcap', writer.header(), writer.packet(data.subarray(0, 96), START_NS, data.length));
    const { report, packets } = await play(input);
    expect(report).toMatchObject({ sent: 1, counters: { drops: {} } });
    expect(packets.map(({ data: { length }, originalBytes }) => [length, originalBytes])).toEqual([
      [96, data.length],
      [96, data.length],
    ]);
  });

  test('interfaces that are described later are served, and named', async () => {
    const writer = new PcapngWriter();
    const input = save(
      'in.pcapng',
      writer.header(),
      writer.interface({ linkType: LinkType.ETHERNET, snapBytes: 0, name: 'eth0' }),
      writer.packet(0, syn(1), START_NS),
      writer.interface({ linkType: LinkType.ETHERNET, snapBytes: 0, name: 'eth1' }),
      writer.packet(1, syn(2), START_NS, { comments: ['theirs'] }),
      writer.packet(1, syn(3), START_NS, { direction: 'outbound' }),
    );
    const { report, packets } = await play(input);
    expect(report).toMatchObject({ packets: 3, sent: 2, passedOver: { outbound: 1 } });
    expect(packets[2]?.comments).toEqual(['link eth1']);
  });
});

describe('a capture that cannot be replayed', () => {
  test.each([
    [
      'cut off',
      () => whole(2).subarray(0, 1000),
      /packet 12, byte 919: a packet with its header takes 113 bytes, but only 81 are left/,
    ],
    ['no capture', () => Buffer.from('hello world'), /byte 0: expected a pcap or pcapng file, found .* 68656c6c/],
    ['empty', () => Buffer.alloc(0), /expected a pcap or pcapng file, found one of 0 bytes/],
    ['of a wireless card', () => pcap([], 127), /byte 20: link type 127 \(802\.11 .*\) cannot be read, only Ethernet/],
    [
      'with a packet of four gigabytes',
      () => Buffer.concat([pcap([[syn(1), 0n]]), Buffer.alloc(16, 255)]),
      /packet 2, byte 94: a packet claims 4294967295 bytes; expected at most 262144/,
    ],
    [
      'that jumps to another century',
      () =>
        pcap([
          [syn(1), 0n],
          [syn(2), 4_000_000_000n * SECOND],
        ]),
      /packet 2, .*: its time is more than a year after that of the packet before/,
    ],
  ] as const)('%s', async (_, make, message) => {
    await expect(play(save('in.pcap', make()))).rejects.toThrow(message);
  });

  test('is named when it is not there', async () => {
    await expect(play(`${folder()}/none`)).rejects.toThrow(/cannot read .*none: ENOENT/);
  });

  test('has its first packets written before the damage is told', async () => {
    const pieces: Uint8Array[] = [];
    const output = {
      write: (bytes: Uint8Array) => void pieces.push(bytes),
      settle: () => {},
      flush: () => {},
      close: () => {},
    };
    await expect(play(save('in.pcap', whole(2).subarray(0, 1000)), { output })).rejects.toThrow(/cut off/);
    expect(readCapture(Buffer.concat(pieces)).packets.length).toBe(22);
  });

  test('any damage is an error or a counted drop, never a crash', async () => {
    const good = whole(1);
    for (let at = 0; at < good.length; at += 19) {
      const bad = Buffer.from(good);
      bad[at] = (bad[at] as number) ^ 0xff;
      await play(save('in.pcap', bad)).catch((error: Error) => expect(error.message).toMatch(/^capture file, /));
    }
  });

  test('a table that is refused is named', async () => {
    const table = webTable();
    const [service] = table.services as [(typeof table.services)[number]];
    const desired = { ...table, services: [{ ...service, spec: { ...service.spec, scheduler: 'fast' } }] };
    await expect(play(save('in.pcap', whole(1)), { desired })).rejects.toThrow(/the table is refused: .*fast/);
  });
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readInt32, readUint16 } from '../../src/wire/bytes.ts';
import { changeOf16, changeOf32, pseudoHeaderSum } from '../../src/wire/checksum.ts';
import {
  fillIcmpChecksum,
  ICMP_CODE_FRAGMENTATION_NEEDED,
  ICMP_HEADER_BYTES,
  ICMP_UNREACHABLE,
  icmpChecksumIsRight,
  icmpType,
  isIcmpError,
  writeIcmpErrorHeader,
} from '../../src/wire/icmp.ts';
import { setIpv4Destination, setIpv4Source } from '../../src/wire/ipv4.ts';
import {
  adjustPartialTcpChecksum,
  adjustTcpChecksum,
  setTcpDestinationPort,
  setTcpSourcePort,
  TCP_ACK,
  TCP_FIN,
  TCP_RST,
  TCP_SYN,
  tcpFlags,
  tcpHeaderBytes,
} from '../../src/wire/tcp.ts';
import {
  adjustPartialUdpChecksum,
  adjustUdpChecksum,
  fillUdpChecksum,
  setUdpDestinationPort,
  setUdpSourcePort,
  udpChecksum,
} from '../../src/wire/udp.ts';
import { ipBytes } from '../support/addresses.ts';
import { expectPacket, icmp, ipv4, tcp, udp } from '../support/expect-frame.ts';
import { packet } from '../support/frames.ts';

const CLIENT = '10.0.0.5';
const VIP = '192.168.1.120';
const REAL1 = '10.1.0.11';
const AT = 20;

const wordOf = (address: string) => readInt32(ipBytes(address), 0);
const endpoints = fc.tuple(fc.ipV4(), fc.ipV4(), fc.nat(0xffff), fc.nat(0xffff));
const payloads = fc.uint8Array({ maxLength: 61 });
const choices = fc.constantFrom<'complete' | 'partial'>('complete', 'partial');

type Endpoints = readonly [from: string, to: string, fromPort: number, toPort: number];

/** What a change of both addresses, and of both ports, adds to a sum. */
function changes(before: Endpoints, after: Endpoints): { addresses: number; ports: number } {
  return {
    addresses: changeOf32(wordOf(before[0]), wordOf(after[0])) + changeOf32(wordOf(before[1]), wordOf(after[1])),
    ports: changeOf16(before[2], after[2]) + changeOf16(before[3], after[3]),
  };
}

function setAddresses(bytes: Uint8Array, after: Endpoints): void {
  setIpv4Source(bytes, 0, wordOf(after[0]));
  setIpv4Destination(bytes, 0, wordOf(after[1]));
}

describe('a TCP header', () => {
  const segment = (ends: Endpoints, fields: object) => packet().ipv4(ends[0], ends[1]).tcp(ends[2], ends[3], fields);

  test('is as long as it says, and whole', () => {
    const bytes = packet()
      .ipv4(CLIENT, VIP)
      .tcp(1, 2, { options: [1, 1, 1, 1], payload: 'xyz' });
    expect(tcpHeaderBytes(bytes, AT, bytes.length)).toBe(24);
    expect(tcpHeaderBytes(bytes, AT, AT + 24)).toBe(24);
    expect(tcpHeaderBytes(bytes, AT, AT + 23)).toBe(0);
    expect(tcpHeaderBytes(bytes, AT, AT + 19)).toBe(0);
    for (const [dataOffset, headerBytes] of [
      [0x4f, 0],
      [0x50, 20],
      [0x6f, 24],
      [0x70, 0],
      [0xf0, 0],
    ] as const) {
      bytes[AT + 12] = dataOffset;
      expect(tcpHeaderBytes(bytes, AT, bytes.length), dataOffset.toString(16)).toBe(headerBytes);
    }
  });

  test.each([
    ['fin', TCP_FIN],
    ['syn', TCP_SYN],
    ['rst', TCP_RST],
    ['ack', TCP_ACK],
  ])('has the flag %s', (name, flag) => {
    expect(
      tcpFlags(
        packet()
          .ipv4(CLIENT, VIP)
          .tcp(1, 2, { [name]: true }),
        AT,
      ),
    ).toBe(flag);
  });

  test('that is rewritten is the one that would have been built so, with its checksum complete or unfinished', () => {
    fc.assert(
      fc.property(endpoints, endpoints, payloads, choices, (before, after, payload, checksum) => {
        const bytes = segment(before, { syn: true, payload, checksum });
        const { addresses, ports } = changes(before, after);
        setAddresses(bytes, after);
        setTcpSourcePort(bytes, AT, after[2]);
        setTcpDestinationPort(bytes, AT, after[3]);
        if (checksum === 'complete') adjustTcpChecksum(bytes, AT, addresses, ports);
        else adjustPartialTcpChecksum(bytes, AT, addresses);
        expect(bytes).toEqual(segment(after, { syn: true, payload, checksum }));
      }),
    );
  });

  test('keeps a wrong checksum wrong', () => {
    const before = [CLIENT, VIP, 40000, 80] as const;
    const after = [CLIENT, REAL1, 40000, 8080] as const;
    const bytes = segment(before, { checksum: 'broken' });
    const { addresses, ports } = changes(before, after);
    setAddresses(bytes, after);
    setTcpDestinationPort(bytes, AT, 8080);
    adjustTcpChecksum(bytes, AT, addresses, ports);
    expectPacket(bytes, ipv4({ to: REAL1 }), tcp({ toPort: 8080, checksum: 'broken' }));
  });
});

describe('a UDP header', () => {
  const datagram = (ends: Endpoints, fields: object) => packet().ipv4(ends[0], ends[1]).udp(ends[2], ends[3], fields);

  test('that is rewritten is the one that would have been built so, with its checksum complete or unfinished', () => {
    fc.assert(
      fc.property(endpoints, endpoints, payloads, choices, (before, after, payload, checksum) => {
        const bytes = datagram(before, { payload, checksum });
        const { addresses, ports } = changes(before, after);
        setAddresses(bytes, after);
        setUdpSourcePort(bytes, AT, after[2]);
        setUdpDestinationPort(bytes, AT, after[3]);
        if (checksum === 'complete') adjustUdpChecksum(bytes, AT, addresses, ports);
        else adjustPartialUdpChecksum(bytes, AT, addresses);
        expect(bytes).toEqual(datagram(after, { payload, checksum }));
      }),
    );
  });

  test('never says "no checksum" when there is one: 0 goes out as 0xffff', () => {
    // A port is chosen that makes the checksum 0 in the first place, and reached by rewriting, too.
    const open = packet().ipv4(CLIENT, VIP).udp(40000, 0, { payload: 'ab' });
    const port = readUint16(open, AT + 6);
    const built = packet().ipv4(CLIENT, VIP).udp(40000, port, { payload: 'ab' });
    expect(udpChecksum(built, AT)).toBe(0xffff);
    const rewritten = open.slice();
    setUdpDestinationPort(rewritten, AT, port);
    adjustUdpChecksum(rewritten, AT, 0, changeOf16(0, port));
    expect(rewritten).toEqual(built);
    const filled = built.slice();
    filled.set([0x12, 0x34], AT + 6);
    fillUdpChecksum(filled, AT, filled.length, pseudoHeaderSum(wordOf(CLIENT), wordOf(VIP), 17, filled.length - AT));
    expect(filled).toEqual(built);
  });

  test('gets a new checksum over an odd number of bytes, too', () => {
    fc.assert(
      fc.property(endpoints, payloads, (ends, payload) => {
        const bytes = datagram(ends, { payload, checksum: 0x1234 });
        fillUdpChecksum(
          bytes,
          AT,
          bytes.length,
          pseudoHeaderSum(wordOf(ends[0]), wordOf(ends[1]), 17, bytes.length - AT),
        );
        expect(bytes).toEqual(datagram(ends, { payload }));
      }),
    );
  });

  test('shows when the sender computed no checksum', () => {
    const bytes = datagram([CLIENT, VIP, 1, 2], { checksum: 'none' });
    expect(udpChecksum(bytes, AT)).toBe(0);
    expectPacket(bytes, ipv4({}), udp({ checksum: 'none' }));
  });
});

describe('an ICMP message', () => {
  test('is right or wrong by its checksum', () => {
    const bytes = packet().ipv4(CLIENT, VIP).icmpEchoRequest({ id: 4, sequence: 9, payload: 'odd' });
    expect(icmpType(bytes, AT)).toBe(8);
    expect(icmpChecksumIsRight(bytes, AT, bytes.length)).toBe(true);
    bytes[bytes.length - 1] = 0;
    expect(icmpChecksumIsRight(bytes, AT, bytes.length)).toBe(false);
    fillIcmpChecksum(bytes, AT, bytes.length);
    expectPacket(bytes, ipv4({}), icmp({ type: 8, id: 4, sequence: 9, payload: 'od\0', checksum: 'valid' }));
  });

  test('quotes a datagram when it is one of three errors', () => {
    const errors = Array.from({ length: 256 }, (_, type) => type).filter(isIcmpError);
    expect(errors).toEqual([3, 4, 11]);
  });

  test('that is an error is the one that would have been built so', () => {
    const quoted = packet()
      .ipv4(CLIENT, VIP, { df: true })
      .tcp(40000, 80, { payload: new Uint8Array(100) });
    const expected = packet().ipv4(VIP, CLIENT).icmpError(3, 4, quoted, { mtu: 1400, quoteBytes: 28 });
    const bytes = expected.slice();
    bytes.fill(0xff, AT, AT + ICMP_HEADER_BYTES);
    writeIcmpErrorHeader(bytes, AT, ICMP_UNREACHABLE, ICMP_CODE_FRAGMENTATION_NEEDED, 1400);
    fillIcmpChecksum(bytes, AT, bytes.length);
    expect(bytes).toEqual(expected);
    const quote = [ipv4({ from: CLIENT, to: VIP, df: true }), tcp({ toPort: 80, checksum: 'unverifiable' })];
    expectPacket(bytes, ipv4({ from: VIP }), icmp({ type: 3, code: 4, mtu: 1400, quoted: quote }));
  });
});

import { describe, expect, test } from 'vitest';
import { DROP, REASON, TRANSMIT } from '../../src/engine/verdict.ts';
import type { ServiceStatus } from '../../src/model/service.ts';
import { Conversations } from '../../src/trace/conversations.ts';
import { formatWatch, watchReport } from '../../src/trace/watch-report.ts';
import type { TapFrame, TapRecord } from '../../src/wire/tap-record.ts';
import { frame, type TcpFields } from '../support/frames.ts';

const VIP = '192.0.2.1';
const CLIENT = '198.51.100.7';

/** Connections over the balancer, step by step, at a time that goes on by a millisecond with each packet. */
class Wire {
  readonly conversations = new Conversations();
  nowUs = 1_000_000;

  up(port: number, server: string, fields: TcpFields): this {
    return this.#pass(
      frame().ipv4(CLIENT, VIP).tcp(port, 80, fields),
      frame().ipv4(CLIENT, server).tcp(port, 80, fields),
    );
  }

  down(port: number, server: string, fields: TcpFields): this {
    return this.#pass(
      frame().ipv4(server, CLIENT).tcp(80, port, fields),
      frame().ipv4(VIP, CLIENT).tcp(80, port, fields),
    );
  }

  /** A whole connection; the answer comes `answerMs` after the request. */
  whole(port: number, server: string, answerMs = 1): this {
    this.up(port, server, { syn: true, seq: 100 })
      .down(port, server, { syn: true, ack: 101, seq: 900 })
      .up(port, server, { ack: 901, seq: 101 })
      .up(port, server, { ack: 901, seq: 101, payload: 'GET /' });
    this.nowUs += (answerMs - 1) * 1000;
    return this.down(port, server, { ack: 106, seq: 901, payload: 'hello' })
      .up(port, server, { ack: 906, seq: 106, fin: true })
      .down(port, server, { ack: 107, seq: 906, fin: true })
      .up(port, server, { ack: 907, seq: 107 });
  }

  refuse(port: number, why: keyof typeof REASON): this {
    return this.add(tapped(frame().ipv4(CLIENT, VIP).tcp(port, 80, { syn: true })), null, {
      verdict: DROP,
      reason: REASON[why],
    });
  }

  add(came: TapFrame | null, left: TapFrame | null, more: Partial<TapRecord> = {}): this {
    this.nowUs += 1000;
    this.conversations.add({
      timeUs: this.nowUs,
      verdict: TRANSMIT,
      reason: 0,
      ingress: 1,
      egress: 2,
      came,
      left,
      ...more,
    });
    return this;
  }

  #pass(came: Uint8Array, left: Uint8Array): this {
    return this.add(tapped(came), tapped(left));
  }
}

function tapped(bytes: Uint8Array): TapFrame {
  return { bytes, originalBytes: bytes.length, partialChecksum: false, superFrame: false };
}

function report(wire: Wire, more: { exitCode?: number; lost?: number; services?: readonly ServiceStatus[] } = {}) {
  return watchReport({
    command: ['ab'],
    exitCode: 0,
    seconds: 1,
    lost: 0,
    services: [],
    ...more,
    conversations: wire.conversations,
  });
}

describe('what is said about', () => {
  test('connections that are fine', () => {
    const wire = new Wire();
    for (let i = 0; i < 6; i++) wire.whole(1000 + i, `10.0.0.1${(i % 3) + 1}`);
    const said = report(wire);
    expect(said).toMatchObject({ packets: 48, connections: 6, segments: 12, sentAgain: 0, findings: 0, drops: {} });
    expect(
      said.servers.map(({ server, connections, share, medianMs }) => [server, connections, share, medianMs]),
    ).toEqual([
      ['10.0.0.11:80', 2, 33.3, 1],
      ['10.0.0.12:80', 2, 33.3, 1],
      ['10.0.0.13:80', 2, 33.3, 1],
    ]);
    expect(said.verdict).toEqual([
      'All 6 connections were answered, none was reset by a server.',
      'They were spread 2 / 2 / 2.',
    ]);
    expect(formatWatch(said)).toMatch(/^10\.0\.0\.11:80 +2 +33\.3 +0 +0 +0 +0 +0 +0 +1 +1$/m);
  });

  test('a server that does not answer, and a client that asks again', () => {
    const wire = new Wire().whole(1, '10.0.0.11');
    for (let i = 0; i < 3; i++) wire.up(2, '10.0.0.12', { syn: true, seq: 7 });
    const said = report(wire);
    expect(said).toMatchObject({ openedAgain: 2, connections: 2 });
    expect(said.servers[1]).toMatchObject({ server: '10.0.0.12:80', unanswered: 1, halfOpen: 0 });
    expect(said.verdict[0]).toMatch(/^10\.0\.0\.12:80 did not answer 1 of 1 connection\. Is it up/);
    expect(said.verdict).toContain('Clients had to ask 2 times again for a connection (SYN).');
  });

  test('a server where nothing listens, and one that breaks off', () => {
    const wire = new Wire()
      .up(1, '10.0.0.11', { syn: true, seq: 7 })
      .down(1, '10.0.0.11', { rst: true, ack: 8 })
      .up(2, '10.0.0.12', { syn: true, seq: 7 })
      .down(2, '10.0.0.12', { syn: true, ack: 8, seq: 9 })
      .up(2, '10.0.0.12', { ack: 10, seq: 8, payload: 'GET /' })
      .down(2, '10.0.0.12', { rst: true, seq: 10 });
    const said = report(wire);
    expect(said.servers).toMatchObject([
      { refused: 1, unanswered: 0, resetByServer: 0 },
      { refused: 0, resetByServer: 1 },
    ]);
    expect(said.verdict).toEqual([
      '10.0.0.11:80 refused 1 of 1 connection: nothing listens there.',
      '10.0.0.12:80 broke off 1 of 1 connection (RST).',
      'They were spread 1 / 1.',
    ]);
  });

  test('a server that ends so what its client has ended is not breaking off', () => {
    const wire = new Wire()
      .up(2, '10.0.0.12', { syn: true, seq: 7 })
      .down(2, '10.0.0.12', { syn: true, ack: 8, seq: 9 })
      .up(2, '10.0.0.12', { ack: 10, seq: 8, fin: true })
      .down(2, '10.0.0.12', { rst: true, seq: 10 });
    expect(report(wire)).toMatchObject({ findings: 0, servers: [{ resetByServer: 0 }] });
  });

  test('clients that do not go on', () => {
    const wire = new Wire()
      .up(2, '10.0.0.12', { syn: true, seq: 7 })
      .down(2, '10.0.0.12', { syn: true, ack: 8, seq: 9 });
    expect(report(wire).verdict[0]).toBe(
      '10.0.0.12:80 answered 1 of 1 connection whose client did not go on (half open).',
    );
  });

  test('segments that are sent again, also over the end of the sequence numbers', () => {
    const wire = new Wire()
      .up(1, '10.0.0.11', { syn: true, seq: 0xffff_fffe })
      .down(1, '10.0.0.11', { syn: true, ack: 0xffff_ffff, seq: 1 });
    for (const seq of [0xffff_ffff, 4, 4, 9, 0xffff_ffff]) wire.up(1, '10.0.0.11', { ack: 2, seq, payload: '12345' });
    const said = report(wire);
    expect(said).toMatchObject({ segments: 5, sentAgain: 2 });
    expect(said.verdict[0]).toBe('2 of 5 segments (40.0 %) were sent again: packets are lost, or answers come late.');
  });

  test('ports that are used again', () => {
    const wire = new Wire().whole(1, '10.0.0.11').up(1, '10.0.0.12', { syn: true, seq: 5_000 });
    wire.down(1, '10.0.0.12', { syn: true, ack: 5001, seq: 1 }).up(1, '10.0.0.12', { ack: 2, seq: 5001 });
    const said = report(wire);
    expect(said).toMatchObject({ reusedPorts: 1, connections: 2, findings: 0 });
    expect(said.verdict).toContain('1 connection came from a port that had been used before.');
  });

  test('a slow server', () => {
    const wire = new Wire();
    for (let i = 0; i < 9; i++) wire.whole(1000 + i, `10.0.0.1${(i % 3) + 1}`, i % 3 === 2 ? 400 : 2);
    const said = report(wire);
    expect(said.slowest[0]).toEqual({ client: '198.51.100.7:1002', server: '10.0.0.13:80', ms: 400 });
    expect(said.verdict[0]).toBe(
      '10.0.0.13:80 is slow: half of its answers took 400 ms or more, those of the others 2.0 ms.',
    );
  });

  test('what the balancer dropped, and what it does not know', () => {
    const wire = new Wire()
      .refuse(1, 'no-destination')
      .add(tapped(frame().ipv4(CLIENT, VIP).tcp(9, 80, { ack: 5 })), null, {
        verdict: 0,
        reason: REASON['no-connection'],
      });
    const said = report(wire);
    expect(said).toMatchObject({ drops: { 'no-destination': 1 }, strays: 1, connections: 1 });
    expect(said.verdict).toEqual([
      '1 connection went to no server.',
      'The balancer dropped 1 packet: no-destination.',
      '1 segment belonged to no connection: the balancer does not know them, or no more.',
    ]);
  });

  test('connections whose first packet waited for the next hop', () => {
    const syn = { syn: true, seq: 7 };
    const wire = new Wire()
      .add(tapped(frame().ipv4(CLIENT, VIP).tcp(1, 80, syn)), null)
      .add(null, tapped(frame().ipv4(CLIENT, '10.0.0.11').tcp(1, 80, syn)))
      .add(tapped(frame().ipv4('10.0.0.11', CLIENT).tcp(80, 1, { syn: true, ack: 8, seq: 3 })), null)
      .up(1, '10.0.0.11', { ack: 4, seq: 8 });
    expect(report(wire)).toMatchObject({ findings: 0, servers: [{ server: '10.0.0.11:80', connections: 1 }] });
  });

  test('direct routing, where answers do not pass', () => {
    const data = frame().ethernet({ to: '02:00:00:00:00:0b' }).ipv4(CLIENT, VIP).tcp(1, 80, { syn: true, seq: 7 });
    const said = report(
      new Wire().add(tapped(frame().ipv4(CLIENT, VIP).tcp(1, 80, { syn: true, seq: 7 })), tapped(data)),
    );
    expect(said.servers).toMatchObject([{ server: 'MAC 02:00:00:00:00:0b', oneWay: true, unanswered: 0 }]);
    expect(said.verdict).toEqual([
      'The one connection was given to a server. Answers go past the balancer, so nothing is known about them here.',
    ]);
    expect(formatWatch(said)).toMatch(/MAC 02:00:00:00:00:0b +1 +100 +- +- +- +- +0/);
  });

  test('datagrams', () => {
    const wire = new Wire();
    const ask = (server: string, port: number) =>
      wire.add(
        tapped(frame().ipv4(CLIENT, VIP).udp(port, 53, { payload: '?' })),
        tapped(frame().ipv4(CLIENT, server).udp(port, 53, { payload: '?' })),
      );
    ask('10.0.0.11', 1).add(
      tapped(frame().ipv4('10.0.0.11', CLIENT).udp(53, 1, { payload: '!' })),
      tapped(frame().ipv4(VIP, CLIENT).udp(53, 1, { payload: '!' })),
    );
    ask('10.0.0.12', 2);
    expect(report(wire).servers).toMatchObject([
      { server: '10.0.0.11:53', connections: 1, unanswered: 0, medianMs: 1 },
      { server: '10.0.0.12:53', connections: 1, unanswered: 1 },
    ]);
  });

  test('nothing', () => {
    expect(report(new Wire(), { exitCode: 7 }).verdict).toEqual([
      'The command ended with exit code 7.',
      expect.stringMatching(/^Nothing came to the balancer\./),
    ]);
  });

  test('packets that were not seen', () => {
    expect(report(new Wire().whole(1, '10.0.0.11'), { lost: 5 }).verdict[0]).toMatch(/^5 packets passed too quickly/);
  });

  test('shares that the weights do not explain', () => {
    const wire = new Wire();
    for (let i = 0; i < 40; i++) wire.whole(1000 + i, i < 35 ? '10.0.0.11' : '10.0.0.12');
    const of = (address: string) => ({ spec: { address, port: 80, weight: 1 } });
    const spec = { scheduler: 'rr', persistenceTimeoutSeconds: null };
    const services = [{ spec, destinations: [of('10.0.0.11'), of('10.0.0.12')] }] as unknown as ServiceStatus[];
    expect(report(wire, { services }).verdict.slice(0, 2)).toEqual([
      '10.0.0.11:80 was given 87.5 % of the connections; by its weight it should be 50.0 %.',
      '10.0.0.12:80 was given 12.5 % of the connections; by its weight it should be 50.0 %.',
    ]);
  });
});

test('no frame, whatever its bytes, is more than a frame', () => {
  const wire = new Wire();
  const whole = frame().ipv4(CLIENT, VIP).tcp(1, 80, { syn: true, payload: 'x' });
  for (let length = 0; length <= whole.length; length++) {
    const cut = tapped(whole.slice(0, length));
    wire.add(cut, null).add(null, cut).add(cut, cut);
  }
  for (let at = 0; at < whole.length; at++) {
    const bad = whole.slice();
    bad[at] = 0xff;
    wire.add(tapped(bad), tapped(bad));
  }
  expect(report(wire).packets).toBeGreaterThan(100);
});

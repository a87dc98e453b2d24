/** Listed connections as the messages that directors send each other: what a backup reads out of them. */
import { describe, expect, test } from 'vitest';
import { type HandedService, writeHandOver } from '../../../src/data-plane/hand-over/sync-messages.ts';
import { ConnectionFlag } from '../../../src/engine/connection.ts';
import type { ConnectionStatus } from '../../../src/model/connection-status.ts';
import { formatAddress } from '../../../src/wire/address.ts';
import { SyncConnection } from '../../../src/wire/sync-message.ts';
import { SYNC_CONNECTION, SYNC_END, SyncMessageReader } from '../../../src/wire/sync-message-reader.ts';
import { destination, key, service } from '../support/specs.ts';

const WEB: HandedService = {
  spec: service(key('192.0.2.1', 80)),
  destinations: [{ spec: destination('10.0.0.1', 8080) }, { spec: destination('10.0.0.2', 8080, 'direct') }],
};
const end = (address: string, port: number) => ({ address, port });
const open: ConnectionStatus = {
  protocol: 'TCP',
  client: end('203.0.113.5', 1001),
  virtual: end('192.0.2.1', 80),
  destination: end('10.0.0.1', 8080),
  state: 'ESTABLISHED',
  expiresSeconds: 899,
  template: false,
  origin: 'LOCAL',
};

function read(datagrams: readonly Uint8Array[], syncId = 7) {
  const found: Record<string, unknown>[] = [];
  const reader = new SyncMessageReader();
  const connection = new SyncConnection();
  for (const datagram of datagrams) {
    expect(datagram.length).toBeLessThanOrEqual(1472);
    expect(reader.open(datagram, 0, datagram.length, syncId)).toBe(true);
    for (let answer = reader.next(connection); answer !== SYNC_END; answer = reader.next(connection)) {
      expect(answer).toBe(SYNC_CONNECTION);
      const text = (words: Int32Array) => formatAddress(connection.ipv6 ? 'ipv6' : 'ipv4', words);
      found.push({
        protocol: connection.protocol,
        client: `${text(connection.client)} ${connection.clientPort}`,
        virtual: `${text(connection.virtual)} ${connection.virtualPort}`,
        server: `${text(connection.destination)} ${connection.destinationPort}`,
        state: connection.state,
        flags: connection.flags,
        seconds: connection.timeoutSeconds,
        mark: connection.mark >>> 0,
        engine: `${connection.engineName} ${Buffer.from(connection.engineData).toString('latin1')}`,
      });
    }
  }
  return found;
}

describe('handed over', () => {
  test('an open connection, one that ends, and a template', () => {
    const ending = {
      ...open,
      client: end('203.0.113.5', 1002),
      destination: end('10.0.0.2', 8080),
      state: 'TIME_WAIT',
      expiresSeconds: 0,
    };
    const template = { ...open, client: end('203.0.113.5', 0), state: 'NONE', template: true };
    const { datagrams, kept, left } = writeHandOver([open, ending, template], [WEB], 7);
    expect([kept, left.size, datagrams.length]).toEqual([3, 0, 1]);
    const common = { protocol: 6, virtual: '192.0.2.1 80', mark: 0, engine: ' ' };
    expect(read(datagrams)).toEqual([
      { ...common, client: '203.0.113.5 1001', server: '10.0.0.1 8080', state: 1, flags: 0, seconds: 899 },
      {
        ...common,
        client: '203.0.113.5 1002',
        server: '10.0.0.2 8080',
        state: 5,
        flags: ConnectionFlag.INACTIVE | 3,
        seconds: 1,
      },
      {
        ...common,
        client: '203.0.113.5 0',
        server: '10.0.0.1 8080',
        state: 0,
        flags: ConnectionFlag.TEMPLATE,
        seconds: 899,
      },
    ]);
  });

  test('IPv6, SIP templates, services by mark, services of every port', () => {
    const services: HandedService[] = [
      { spec: service(key('2001:db8::1', 0)), destinations: [{ spec: destination('fd00::1', 0) }] },
      {
        spec: { ...service(key('192.0.2.1', 5060, 'udp')), persistenceEngine: 'sip' },
        destinations: [{ spec: destination('10.0.0.1', 5060) }],
      },
      {
        spec: service({ mark: 4_000_000_000, family: 'ipv4' }),
        destinations: [{ spec: destination('10.0.0.9', 0, 'direct') }],
      },
    ];
    const six = {
      ...open,
      client: end('2001:db8::5', 9),
      virtual: end('2001:db8::1', 443),
      destination: end('fd00::1', 443),
    };
    const sip = {
      ...open,
      protocol: 'UDP',
      client: end('203.0.113.5', 0),
      virtual: end('192.0.2.1', 5060),
      destination: end('10.0.0.1', 5060),
      state: 'NONE',
      template: true,
      engine: { name: 'sip', data: 'call 1@host' },
    };
    const marked = { ...open, virtual: end('198.51.100.9', 99), destination: end('10.0.0.9', 99) };
    const { datagrams, kept, left } = writeHandOver([six, sip, marked], services, 7);
    expect([kept, left.size]).toEqual([3, 0]);
    expect(read(datagrams)).toMatchObject([
      { client: '2001:db8::5 9', server: 'fd00::1 443' },
      { protocol: 17, flags: ConnectionFlag.TEMPLATE, engine: 'sip call 1@host' },
      { mark: 4_000_000_000, flags: 3 },
    ]);
  });

  test('ten thousand connections fill datagrams that fit into a frame', () => {
    const many = Array.from({ length: 10_000 }, (_, n) => ({
      ...open,
      client: end(`203.0.${n >> 8}.${n & 255}`, 1001),
    }));
    const { datagrams, kept } = writeHandOver(many, [WEB], 7);
    expect([kept, read(datagrams).length]).toEqual([10_000, 10_000]);
    expect(datagrams.length).toBeLessThan(300);
  });
});

describe('left behind, with the reason', () => {
  const ftp: HandedService = {
    spec: service(key('192.0.2.1', 21)),
    destinations: [{ spec: destination('10.0.0.1', 21) }],
  };
  const ops: HandedService = {
    spec: { ...service(key('192.0.2.1', 53, 'udp')), onePacket: true },
    destinations: [{ spec: destination('10.0.0.1', 53) }],
  };
  test.each([
    ['full NAT', { local: end('10.0.0.254', 5) }],
    ['is not there any more', { destination: end('10.0.0.77', 8080) }],
    ['is not there any more', { virtual: end('192.0.2.99', 80) }],
    ['FTP', { virtual: end('192.0.2.1', 21), destination: end('10.0.0.1', 21) }],
    ['one-packet', { protocol: 'UDP', state: 'UDP', virtual: end('192.0.2.1', 53), destination: end('10.0.0.1', 53) }],
    ['the state NONSENSE of TCP', { state: 'NONSENSE' }],
    ['the state ESTABLISHED of ESP', { protocol: 'ESP' }],
    ['another family', { client: end('2001:db8::5', 1) }],
    ['too long', { engine: { name: 'sip', data: 'x'.repeat(256) } }],
  ])('%s', (reason, more) => {
    const { datagrams, kept, left } = writeHandOver([{ ...open, ...more }], [WEB, ftp, ops], 7);
    expect([datagrams.length, kept]).toEqual([0, 0]);
    expect([...left.values()]).toEqual([1]);
    expect([...left.keys()][0]).toContain(reason);
  });
});

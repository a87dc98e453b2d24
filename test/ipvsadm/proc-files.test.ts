/** The texts of /proc/net/ip_vs*, as the kernel writes them. */
import { expect, test } from 'vitest';
import {
  procConnections,
  procHelpers,
  procPerCpu,
  procServices,
  procStatistics,
  procSyncedConnections,
} from '../../src/ipvsadm/proc-files.ts';
import type { ConnectionStatus } from '../../src/model/connection-status.ts';
import type { DestinationStatus } from '../../src/model/destination.ts';
import { PLAIN_TUNNEL } from '../../src/model/forwarding.ts';
import type { ServiceSpec, ServiceStatus } from '../../src/model/service.ts';

const NONE = { connections: 0, inPackets: 0, outPackets: 0, inBytes: 0, outBytes: 0 };
const STILL = {
  connectionsPerSecond: 0,
  inPacketsPerSecond: 0,
  outPacketsPerSecond: 0,
  inBytesPerSecond: 0,
  outBytesPerSecond: 0,
};
const INFO = { version: '1.2.1', connectionTableSize: 4096 };

function service(spec: Partial<ServiceSpec>, ...destinations: DestinationStatus[]): ServiceStatus {
  return {
    spec: {
      key: { protocol: 'tcp', address: '192.0.2.1', port: 80 },
      scheduler: 'rr',
      schedulerFlags: [],
      persistenceTimeoutSeconds: null,
      netmask: '255.255.255.255',
      persistenceEngine: null,
      onePacket: false,
      ...spec,
    },
    statistics: NONE,
    rates: STILL,
    destinations,
  };
}

function destination(address: string, port: number, method: DestinationStatus['spec']['method']): DestinationStatus {
  return {
    spec: { address, port, method, weight: 1, upperThreshold: 0, lowerThreshold: 0, tunnel: PLAIN_TUNNEL },
    activeConnections: 1,
    inactiveConnections: 0,
    persistentConnections: 0,
    statistics: NONE,
    rates: STILL,
  };
}

test('ip_vs lists services with their servers, blanks and all', () => {
  const text = procServices(INFO, [
    service({}, destination('10.0.0.1', 8080, 'masquerade')),
    service({ key: { protocol: 'udp', address: '192.0.2.1', port: 514 }, onePacket: true }),
    service({
      key: { protocol: 'tcp', address: '192.0.2.2', port: 80 },
      persistenceTimeoutSeconds: 300,
      netmask: '255.255.255.0',
    }),
    service({
      key: { protocol: 'tcp', address: '2001:db8:ff::1', port: 80 },
      persistenceTimeoutSeconds: 10,
      netmask: '64',
    }),
    service(
      { key: { mark: 0x1234, family: 'ipv4' }, persistenceTimeoutSeconds: 100 },
      destination('2001:db8:2::5', 80, 'tunnel'),
    ),
    service({ key: { mark: 5, family: 'ipv4' }, onePacket: true }, destination('10.0.0.1', 0, 'direct')),
    service({ key: { protocol: 'sctp', address: '192.0.2.1', port: 9 } }, destination('127.0.0.1', 9, 'local')),
  ]);
  expect(text.split('\n')).toEqual([
    'IP Virtual Server version 1.2.1 (size=4096)',
    'Prot LocalAddress:Port Scheduler Flags',
    '  -> RemoteAddress:Port Forward Weight ActiveConn InActConn',
    'TCP  C0000201:0050 rr  ',
    '  -> 0A000001:1F90      Masq    1      1          0         ',
    'UDP  C0000201:0202 rr ops  ',
    'TCP  C0000202:0050 rr  persistent 75000 FFFFFF00',
    'TCP  [2001:0db8:00ff:0000:0000:0000:0000:0001]:0050 rr persistent 2500 40000000',
    'FWM  00001234 rr persistent 25000 FFFFFFFF',
    '  -> [2001:0db8:0002:0000:0000:0000:0000:0005]:0050      Tunnel  1      1          0         ',
    'FWM  00000005 rr ops ',
    '  -> 0A000001:0000      Route   1      1          0         ',
    'SCTP  C0000201:0009 rr  ',
    '  -> 7F000001:0009      Local   1      1          0         ',
    '',
  ]);
});

test('ip_vs counts persistence in ticks, of which there are 32 bits', () => {
  expect(procServices(INFO, [service({ persistenceTimeoutSeconds: 4_294_967_295 })])).toContain(
    'persistent 4294967046 FFFFFFFF\n',
  );
});

function connection(changes: Partial<ConnectionStatus>): ConnectionStatus {
  return {
    protocol: 'TCP',
    client: { address: '203.0.113.5', port: 1111 },
    virtual: { address: '192.0.2.1', port: 80 },
    destination: { address: '10.0.0.1', port: 8080 },
    state: 'SYN_RECV',
    expiresSeconds: 59,
    template: false,
    origin: 'LOCAL',
    ...changes,
  };
}

test('ip_vs_conn lists connections, templates and what engines know', () => {
  const text = procConnections([
    connection({}),
    connection({
      protocol: 'IP',
      client: { address: '203.0.113.5', port: 0 },
      virtual: { address: '0.0.18.52', port: 0 },
      destination: { address: '10.0.0.2', port: 0 },
      state: 'NONE',
      expiresSeconds: 99,
      template: true,
    }),
    connection({
      client: { address: '2001:db8:c::5', port: 1114 },
      virtual: { address: '2001:db8:ff::1', port: 80 },
      destination: { address: '2001:db8:2::1', port: 8080 },
      state: 'ESTABLISHED',
      expiresSeconds: 896,
    }),
    connection({ protocol: 'UDP', state: 'ASSURED', expiresSeconds: 175, engine: { name: 'sip', data: 'abc@host' } }),
    connection({ expiresSeconds: 4_294_968 }),
  ]);
  expect(text.split('\n')).toEqual([
    'Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData',
    'TCP CB007105 0457 C0000201 0050 0A000001 1F90 SYN_RECV         59',
    'IP  CB007105 0000 00001234 0000 0A000002 0000 NONE             99',
    'TCP 2001:0db8:000c:0000:0000:0000:0000:0005 045A 2001:0db8:00ff:0000:0000:0000:0000:0001 0050 2001:0db8:0002:0000:0000:0000:0000:0001 1F90 ESTABLISHED     896',
    'UDP CB007105 0457 C0000201 0050 0A000001 1F90 ASSURED         175 sip abc@host',
    'TCP CB007105 0457 C0000201 0050 0A000001 1F90 SYN_RECV          0',
    '',
  ]);
});

test('ip_vs_conn_sync tells where an entry comes from', () => {
  expect(procSyncedConnections([connection({ state: 'ESTABLISHED', origin: 'SYNC', expiresSeconds: 76 })])).toBe(
    'Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Origin Expires\n' +
      'TCP CB007105 0457 C0000201 0050 0A000001 1F90 ESTABLISHED SYNC        76\n',
  );
});

const COUNTED = { connections: 12, inPackets: 30, outPackets: 6, inBytes: 0x2fc9, outBytes: 0x551 };
const MOVING = {
  connectionsPerSecond: 1,
  inPacketsPerSecond: 2,
  outPacketsPerSecond: 0,
  inBytesPerSecond: 0x41a,
  outBytesPerSecond: 0x7f,
};

test('ip_vs_stats shows the totals and the rates', () => {
  expect(procStatistics(COUNTED, MOVING)).toBe(
    '   Total Incoming Outgoing         Incoming         Outgoing\n' +
      '   Conns  Packets  Packets            Bytes            Bytes\n' +
      '       C       1E        6             2FC9              551\n' +
      '\n' +
      ' Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n' +
      '       1        2        0              41A               7F\n',
  );
});

test('ip_vs_stats_percpu shows what each processor counted, and the totals', () => {
  const first = { connections: 6, inPackets: 11, outPackets: 3, inBytes: 0x1cd, outBytes: 0x8d };
  const second = { connections: 6, inPackets: 20, outPackets: 4, inBytes: 0x2e40, outBytes: 0x508 };
  const processors = [
    { processor: 0, counted: first },
    { processor: 1, counted: second },
  ];
  expect(procPerCpu(processors, COUNTED, MOVING)).toBe(
    '       Total Incoming Outgoing         Incoming         Outgoing\n' +
      'CPU    Conns  Packets  Packets            Bytes            Bytes\n' +
      '  0        6        B        3              1CD               8D\n' +
      '  1        6       14        4             2E40              508\n' +
      '  ~        C       1E        6             2FC9              551\n' +
      '\n' +
      '     Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n' +
      '           1        2        0              41A               7F\n',
  );
});

test('ip_vs_app lists helpers with their use', () => {
  expect(procHelpers([{ name: 'ftp', protocol: 'tcp', port: 21, connections: 1 }])).toBe(
    'prot port    usecnt name\nTCP  21      1      ftp              \n',
  );
});

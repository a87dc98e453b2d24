import { expect, test } from 'vitest';
import { directorConfiguration, serviceConfiguration } from '../../src/lab/configuration.ts';
import { parseTable, parseTableConnections } from '../../src/lab/director.ts';
import { drawTopology, formatDistribution, type LabResult, Progress } from '../../src/lab/report.ts';
import { LAB_MODES, oneHostTopology, tutorialTopology } from '../../src/lab/topology.ts';
import { tunnelCommands } from '../../src/lab/tunnels.ts';

const RESULT: LabResult = {
  scenario: 'tutorial',
  mode: 'fullnat',
  family: 'ipv4',
  tunnel: null,
  io: 'pcap',
  scheduler: 'rr',
  requests: 1000,
  failed: 0,
  requestsPerSecond: 5000,
  perServer: { '192.168.1.11': 334, '192.168.1.12': 333, '127.0.0.1': 0 },
  perServerInTable: { '192.168.1.11': 336, '192.168.1.12': 335 },
  reasonsDropped: {},
  wrongChecksums: 0,
};

test('the picture of every mode fits a terminal of 80 columns and shows every address', () => {
  const families = ['ipv4', 'ipv6'] as const;
  for (const topology of LAB_MODES.flatMap((mode) => families.map((family) => tutorialTopology(mode, { family })))) {
    const picture = drawTopology(topology);
    for (const line of picture.split('\n')) expect(line.length, line).toBeLessThan(80);
    for (const link of topology.hosts.flatMap((host) => host.links)) {
      for (const address of link.addresses) expect(picture).toContain(address.split('/')[0]);
    }
  }
});

test('the picture of one host shows the servers by their ports', () => {
  const picture = drawTopology(oneHostTopology());
  for (const text of ['this host', 'VIP 192.168.1.120:80 on lo', 'rs3  127.0.0.1:8003'])
    expect(picture).toContain(text);
});

test('the distribution shows both counts, and a dash where the table has no such server', () => {
  const rows = formatDistribution(RESULT)
    .split('\n')
    .map((row) => row.trim().split(/ {2,}/));
  expect(rows[1].slice(0, 3)).toEqual(['192.168.1.11', '334', '336']);
  expect(rows[3]).toEqual(['127.0.0.1 (fallback)', '0', '-']);
});

test('colours and lines that are written over are for terminals only', () => {
  const write = (isTTY: boolean) => {
    let text = '';
    const progress = new Progress({ write: (part: string) => (text += part), isTTY });
    progress.step('one');
    progress.passing('two');
    progress.notice('three');
    return text;
  };
  expect(write(false)).toBe('> one\n! three\n');
  expect(write(true)).toContain('\x1b[32m>\x1b[0m one\n');
  expect(write(true)).toContain('two\r\x1b[K');
});

test('direct routing says gate and another scheduler replaces rr; nothing else changes', () => {
  const tutorial = directorConfiguration('fullnat', 'rr');
  expect(tutorial).toContain('\treal=192.168.1.11:80 masq\n');
  expect(tutorial).toContain('\tfallback=127.0.0.1:80 masq\n\tscheduler=rr\n');
  expect(directorConfiguration('masq', 'rr')).toBe(tutorial);
  expect(directorConfiguration('tun', 'rr')).toBe(tutorial.replaceAll(' masq', ' ipip'));
  expect(directorConfiguration('dr', 'wlc')).toBe(tutorial.replaceAll(' masq', ' gate').replace('=rr', '=wlc'));
});

test('the tutorial’s file is the tutorial’s, word for word', () => {
  expect(directorConfiguration('fullnat', 'rr')).toBe(`checktimeout=10
checkinterval=2
autoreload=no
logfile="/var/log/ldirectord.log"
quiescent=yes

virtual=192.168.1.120:80
\treal=192.168.1.11:80 masq
\treal=192.168.1.12:80 masq
\treal=192.168.1.13:80 masq
\tfallback=127.0.0.1:80 masq
\tscheduler=rr
\tprotocol=tcp
\tchecktype=ping
`);
});

test('IPv6 has directives of its own, and other services their own words', () => {
  const six = directorConfiguration('dr', 'rr', 'ipv6');
  for (const line of ['virtual6=[fd00:1::120]:80', '\treal6=[fd00:1::11]:80 gate', '\tfallback6=[::1]:80 gate']) {
    expect(six).toContain(`${line}\n`);
  }
  const dns = serviceConfiguration(tutorialTopology('dr', { port: 53, fallback: false }), {
    scheduler: 'rr',
    protocol: 'udp',
    checktype: 'ping',
    more: ['ops=yes'],
  });
  expect(dns).toContain('\treal=192.168.1.13:53 gate\n\tscheduler=rr\n\tprotocol=udp\n\tchecktype=ping\n\tops=yes\n');
});

test('tunnels that ldirectord.cf has no word for are set up with ipvsadm', () => {
  const words = tunnelCommands(tutorialTopology('tun'), 'gue', 'wrr').map((command) => command.join(' '));
  expect(words[0]).toBe('-A -t 192.168.1.120:80 -s wrr');
  expect(words[1]).toBe('-a -t 192.168.1.120:80 -r 192.168.1.11:80 -i --tun-type gue --tun-port 6080');
  expect(words).toHaveLength(4);
  const six = tunnelCommands(tutorialTopology('tun', { family: 'ipv6' }), 'gre', 'rr');
  expect(six[1].join(' ')).toBe('-a -t [fd00:1::120]:80 -r [fd00:1::11]:80 -i --tun-type gre');
});

test('IPv6 servers are read from ipvsadm as it prints them', () => {
  const listing = `TCP  [fd00:1::120]:80 rr
  -> [fd00:1::11]:80              Tunnel  1      0          0         
`;
  expect(parseTable(listing)).toEqual([{ address: 'fd00:1::11', port: 80, method: 'Tunnel', weight: 1 }]);
  const counted = '  -> [fd00:1::11]:80                   101      507        0    45275        0\n';
  expect(parseTableConnections(counted)).toEqual({ '[fd00:1::11]:80': 101 });
});

test('real servers, weights and connections are read from ipvsadm as it prints them', () => {
  const listing = `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  192.168.1.120:80 rr
  -> 192.168.1.11:80              Masq    1      3          15        
  -> 192.168.1.12:80              Route   0      0          1         
`;
  expect(parseTable(listing)).toEqual([
    { address: '192.168.1.11', port: 80, method: 'Masq', weight: 1 },
    { address: '192.168.1.12', port: 80, method: 'Route', weight: 0 },
  ]);
  const statistics = `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes
  -> RemoteAddress:Port
TCP  192.168.1.120:80                 1000     6000     4000   400000   900000
  -> 192.168.1.11:80                   334     2004     1336   133000   300000
`;
  expect(parseTableConnections(statistics)).toEqual({ '192.168.1.11:80': 334 });
});

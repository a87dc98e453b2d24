import { expect, test } from 'vitest';
import { directorConfiguration } from '../../src/lab/configuration.ts';
import { parseTable, parseTableConnections } from '../../src/lab/director.ts';
import { drawTopology, formatDistribution, type LabResult, Progress } from '../../src/lab/report.ts';
import { LAB_MODES, tutorialTopology } from '../../src/lab/topology.ts';

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
  for (const mode of LAB_MODES) {
    const topology = tutorialTopology(mode);
    const picture = drawTopology(topology);
    for (const line of picture.split('\n')) expect(line.length, line).toBeLessThan(80);
    for (const link of topology.hosts.flatMap((host) => host.links)) {
      for (const address of link.addresses) expect(picture).toContain(address.split('/')[0]);
    }
  }
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
  expect(directorConfiguration('dr', 'wlc')).toBe(tutorial.replaceAll(' masq', ' gate').replace('=rr', '=wlc'));
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

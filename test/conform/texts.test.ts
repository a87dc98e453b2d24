/** Listings with connections: what is forgiven, and where that ends. */
import { describe, expect, test } from 'vitest';
import type { CommandStep, FileStep } from '../../src/conform/recording.ts';
import { compareCommand, compareFile } from '../../src/conform/texts.ts';
import { Leniency } from '../../src/conform/tolerances.ts';

const HEADINGS = 'IPVS connection entries\npro expire state       source             virtual            destination\n';
const row = (time: string, client: string, state = 'ESTABLISHED'): string =>
  `TCP ${time.padEnd(6)} ${state.padEnd(11)} ${client.padEnd(18)} 10.0.0.100:80      10.1.0.11:80\n`;

function listing(kernel: string, came: string, t = 1, leniency = new Leniency(), proc = '') {
  const step: CommandStep = { t, do: 'cmd', argv: ['ipvsadm', '-Lnc'], stdout: HEADINGS + kernel, stderr: '', exit: 0 };
  const result = { stdout: HEADINGS + came, stderr: '', exit: 0 };
  return { difference: compareCommand(step, result, proc, leniency), used: [...leniency.used].sort() };
}

describe('a listing of connections', () => {
  const one = row('14:59', '192.0.2.5:40000');
  const two = row('01:00', '192.0.2.6:40000', 'SYN_RECV');

  test('may have another order', () => {
    expect(listing(one + two, two + one)).toEqual({ difference: null, used: ['connections-as-a-set'] });
  });

  test('may be one second off, not two', () => {
    const later = row('00:59', '192.0.2.6:40000', 'SYN_RECV');
    expect(listing(two, later)).toEqual({ difference: null, used: ['connections-as-a-set', 'one-second'] });
    expect(listing(two, row('00:58', '192.0.2.6:40000', 'SYN_RECV')).difference).not.toBeNull();
  });

  test('differs by a state, an address, a missing row, one too many, a blank', () => {
    expect(listing(one, row('14:59', '192.0.2.5:40000', 'FIN_WAIT')).difference).toMatchObject({
      field: 'stdout, connection',
    });
    expect(listing(one, row('14:59', '192.0.2.5:40001')).difference).not.toBeNull();
    expect(listing(one + two, one).difference).not.toBeNull();
    expect(listing(one, one + two).difference).not.toBeNull();
    expect(listing(one, one + one).difference).not.toBeNull();
    expect(listing(one, one.replace('14:59  ', '14:59 ')).difference).not.toBeNull();
    expect(listing(one, one.slice(0, -1)).difference).not.toBeNull();
  });

  test('may show an overdue entry on one side only, for 20 seconds', () => {
    const overdue = row('00:00', '192.0.2.7:40000', 'SYN_RECV');
    const leniency = new Leniency();
    expect(listing(one, one + overdue, 60, leniency).difference).toBeNull();
    expect(listing(one, one + overdue, 80, leniency).difference).toBeNull();
    expect(listing(one, one + overdue, 81, leniency).difference).not.toBeNull();
    expect(listing(one + overdue, one, 81).used).toEqual(['connections-as-a-set', 'overdue-entries']);
  });

  test('does not copy the flaw of long rows', () => {
    const data = 'x'.repeat(200);
    const start = `UDP C6336463 0000 0A000064 13C4 0A01000D 13C4 NONE             59 sip `;
    const line = `${start}${data}`;
    const shown = 'UDP 00:59  NONE        198.51.100.99:0    10.0.0.100:5060    10.1.0.13:5060\n';
    const bogus = `${'x'.repeat(8)} 00:59  NONE        198.51.100.99:0    10.0.0.100:0       10.1.0.13:5060\n`;
    expect(line.length).toBeGreaterThan(263);
    expect(listing(shown + bogus, shown, 1, new Leniency(), line)).toEqual({ difference: null, used: ['long-row'] });
    expect(listing(shown + bogus, shown, 1, new Leniency(), start).difference).not.toBeNull();
  });
});

describe('a file', () => {
  const compare = (path: string, text: string | null, came: string | null) => {
    const leniency = new Leniency();
    const step: FileStep = { t: 1, do: 'file', path, text };
    return { difference: compareFile(step, came, leniency), used: [...leniency.used] };
  };

  test('may hold the services in another order, but not their servers', () => {
    const head = 'IP Virtual Server\nProt\n  -> RemoteAddress:Port\n';
    const web = 'TCP  0A000064:0050 rr  \n  -> 0A01000B:0050\n  -> 0A01000C:0050\n';
    const swapped = 'TCP  0A000064:0050 rr  \n  -> 0A01000C:0050\n  -> 0A01000B:0050\n';
    const dns = 'UDP  0A000064:0035 rr  \n';
    const path = '/proc/net/ip_vs';
    expect(compare(path, head + web + dns, head + dns + web)).toEqual({
      difference: null,
      used: ['services-as-a-set'],
    });
    expect(compare(path, head + web + dns, head + dns + swapped).difference).not.toBeNull();
  });

  test('is there or is not', () => {
    expect(compare('/proc/net/ip_vs', null, null).difference).toBeNull();
    expect(compare('/proc/net/ip_vs', 'x\n', null).difference).not.toBeNull();
    expect(compare('/proc/net/ip_vs', null, 'x\n').difference).not.toBeNull();
  });

  test('may name an FTP helper that nobody uses', () => {
    const head = 'prot port    usecnt name\n';
    const path = '/proc/net/ip_vs_app';
    const unused = 'TCP  21      0      ftp              \n';
    expect(compare(path, head, head + unused)).toEqual({ difference: null, used: ['loaded-helpers'] });
    expect(compare(path, head + unused, head).difference).not.toBeNull();
    expect(compare(path, head, `${head}TCP  21      1      ftp              \n`).difference).not.toBeNull();
  });
});

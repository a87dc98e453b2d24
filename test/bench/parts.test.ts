/** Parts of the benchmark that can be seen to work without measuring anything. */
import { describe, expect, test } from 'vitest';
import { parseDataPlanes } from '../../bench/peers/kinds/uipvs.ts';
import { freshClientAddress, planCables } from '../../bench/peers/network.ts';
import { busySeconds, stolenSeconds } from '../../bench/peers/processor.ts';
import { countSamples } from '../../bench/peers/profile.ts';
import { udpFrame } from '../../bench/peers/programs/flood-frames.ts';
import { Progress } from '../../bench/peers/progress.ts';
import { formatMarkdown } from '../../bench/text-table.ts';
import { expectFrame, ipv4, udp } from '../support/expect-frame.ts';

test('a client address is never used twice, and all are in the client network', () => {
  const addresses = Array.from({ length: 2000 }, (_, n) => freshClientAddress(n));
  expect(new Set(addresses).size).toBe(2000);
  for (const address of addresses) expect(address).toMatch(/^10\.80\.(?:[1-9]|[1-9][0-9])\.(?:[1-9][0-9]{0,2})$/);
  for (const address of addresses) expect(Number(address.split('.')[3])).toBeLessThanOrEqual(250);
});

test('the generator sends whole frames with right checksums', () => {
  const frame = udpFrame({
    sourceMac: '02:80:00:00:00:02',
    destinationMac: '02:80:00:00:00:01',
    source: '10.80.0.2',
    destination: '10.80.0.100',
    sourcePort: 20_000,
    destinationPort: 9,
  });
  expect(frame).toHaveLength(60);
  expectFrame(
    frame,
    ipv4({ from: '10.80.0.2', to: '10.80.0.100' }),
    udp({ fromPort: 20_000, toPort: 9, checksum: 'valid' }),
  );
});

describe('the network of a peer', () => {
  test('has two cables through the director, and one where nobody is between', () => {
    const cables = (cabling: 'through-director' | 'straight') =>
      planCables('abcdef', cabling).filter((words) => words.includes('veth')).length;
    expect(cables('through-director')).toBe(2);
    expect(cables('straight')).toBe(1);
  });
});

describe('ways to carry traffic', () => {
  test('are read from the help of uipvsd', () => {
    const help = `Options:
  --data-plane <name>        who carries the traffic (choices: "packet", "proxy",
                             "kernel", default: "packet")
  --io <back end>            how packets are read (choices: "packet-mmsg", "pcap")`;
    expect(parseDataPlanes(help)).toEqual(['packet', 'proxy', 'kernel']);
    expect(parseDataPlanes('  --io <back end>  how (choices: "packet-mmsg", "pcap")')).toEqual([]);
  });
});

describe('samples', () => {
  const sample = (...frames: string[]) => `${frames.map((frame) => `\tffff1234 ${frame}`).join('\n')}\n`;
  const KERNEL = '([kernel.kallsyms])';

  test('are put down to the system call, to our code, or to those who receive inside our sending', () => {
    const script = [
      sample(
        `__memcpy ${KERNEL}`,
        `packet_recvmsg ${KERNEL}`,
        `__sys_recvmmsg ${KERNEL}`,
        '__recvmmsg (/lib/libc.so.6)',
      ),
      sample(`veth_xmit ${KERNEL}`, `__sys_sendmmsg ${KERNEL}`, '[unknown] (/x/koffi.node)'),
      sample(`tcp_v4_rcv ${KERNEL}`, `__do_softirq ${KERNEL}`, `veth_xmit ${KERNEL}`, `__sys_sendmmsg ${KERNEL}`),
      sample('[unknown] (//anon)', '[unknown] (/x/koffi.node)'),
      sample('Builtins_InterpreterEntryTrampoline (/usr/bin/node)'),
      sample('[unknown] (/x/koffi.node)'),
      sample('v8::internal::Heap::Scavenge() (/usr/bin/node)'),
      sample(`do_sys_poll ${KERNEL}`, `__x64_sys_poll ${KERNEL}`),
    ].join('\n');
    const { shares, samples } = countSamples(script);
    expect(samples).toBe(8);
    expect(shares).toEqual({
      'other hosts': 0.125,
      'kernel receive': 0.125,
      'kernel send': 0.125,
      'kernel wait': 0.125,
      JS: 0.25,
      FFI: 0.125,
      Node: 0.125,
    });
  });

  test('that are not there have no shares', () => {
    expect(countSamples('')).toEqual({ shares: {}, samples: 0 });
  });
});

test('processor times leave out waiting, and count what other machines took by itself', () => {
  const stat = 'cpu  100 20 300 9000 50 6 24 77 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n';
  expect(busySeconds(stat)).toBe(4.5);
  expect(stolenSeconds(stat)).toBe(0.77);
});

test('a table is Markdown with aligned figures', () => {
  expect(
    formatMarkdown(
      ['', 'a'],
      [
        ['x', '1'],
        ['long name', '12345'],
      ],
    ),
  ).toBe(
    ['|           |     a |', '| --------- | ----: |', '| x         |     1 |', '| long name | 12345 |'].join('\n'),
  );
});

describe('progress', () => {
  function at(isTTY: boolean) {
    const written: string[] = [];
    let nowMs = 0;
    const progress = new Progress({ write: (text) => void written.push(text), isTTY, columns: 60 }, () => nowMs);
    return { progress, written, pass: (ms: number) => (nowMs += ms) };
  }

  test('says what runs and how long it will take by what was done so far', () => {
    const { progress, written, pass } = at(true);
    progress.plan(10);
    progress.run('first', 1);
    expect(written.at(-1)).toBe('\r\u001b[Kfirst');
    pass(2000);
    progress.run('second', 1);
    expect(written.at(-1)).toBe('\r\u001b[Ksecond (18 s left)');
    pass(60_000);
    progress.run('third', 1);
    expect(written.at(-1)).toBe('\r\u001b[Kthird (5 min left)');
  });

  test('stays on one line of a terminal and does not fill a log', () => {
    const terminal = at(true);
    terminal.progress.step('x'.repeat(200));
    expect(terminal.written[0].length).toBeLessThan(70);
    const log = at(false);
    log.progress.plan(3);
    for (let i = 0; i < 3; i++) log.progress.run(`run ${i}`, 1);
    expect(log.written).toEqual(['bench: run 0\n']);
  });
});

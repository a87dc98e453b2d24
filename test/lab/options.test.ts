import { expect, test } from 'vitest';
import { parseLabArguments, type RunLabOptions } from '../../src/lab/options.ts';

function options(...words: string[]): RunLabOptions {
  const command = parseLabArguments(words);
  if (command.word !== 'run') throw new Error(`not a run: ${command.word}`);
  return command.options;
}

test('without words the tutorial runs as the tutorial says', () => {
  expect(options()).toEqual({
    scenario: 'tutorial',
    dataPlane: 'packet',
    mode: 'fullnat',
    family: 'ipv4',
    tunnel: 'ipip',
    onePacket: false,
    io: 'packet-ring',
    shards: 1,
    scheduler: 'rr',
    requests: 1000,
    concurrency: 20,
    steps: [],
    keep: false,
    json: false,
    capture: null,
  });
});

test('run, the scenario, both or neither may stand first', () => {
  for (const words of [
    ['run'],
    ['tutorial'],
    ['run', 'tutorial'],
    ['--scenario', 'tutorial'],
    ['run', '--scenario=tutorial'],
  ]) {
    expect(options(...words)).toEqual(options());
  }
});

test('every scenario brings its own mode and its own number of requests', () => {
  expect(options('dns')).toMatchObject({ mode: 'dr', requests: 300, concurrency: 20 });
  expect(options('ftp')).toMatchObject({ mode: 'masq', requests: 12, concurrency: 1 });
  expect(options('real-ldirectord')).toMatchObject({ mode: 'fullnat', requests: 900 });
  expect(options('dns', '--ops', '--mode', 'tun', '--requests', '7')).toMatchObject({ onePacket: true, requests: 7 });
  expect(options('--mode', 'tun', '--tunnel', 'gue', '--family', '6')).toMatchObject({ tunnel: 'gue', family: 'ipv6' });
});

test('servers die and come back in order of their time', () => {
  const steps = options('--revive', '192.168.1.12@700', '--kill', '192.168.1.12@300', '--kill', '192.168.1.11@0').steps;
  expect(steps.map((step) => `${step.power} ${step.address} ${step.afterRequests}`)).toEqual([
    'off 192.168.1.11 0',
    'off 192.168.1.12 300',
    'on 192.168.1.12 700',
  ]);
});

test('no more requests at a time than there are in all, since ab refuses that', () => {
  expect(options('--requests', '7').concurrency).toBe(7);
});

test.each([
  [
    ['run', 'other'],
    'there is no scenario "other"; there is: tutorial, one-host, dns, ftp, reload, real-ldirectord, tutorial-literal, proxy',
  ],
  [['--mode', 'bridge'], '--mode in tutorial takes fullnat, masq, dr, tun, not "bridge"'],
  [['ftp', '--mode', 'dr'], '--mode in ftp takes masq, not "dr"'],
  [['--family', '5'], '--family takes 4, 6, not "5"'],
  [['one-host', '--family', '6'], 'the scenario one-host has no --family 6'],
  [['--tunnel', 'gue'], '--tunnel needs --mode tun'],
  [['--mode', 'tun', '--tunnel', 'vxlan'], '--tunnel takes ipip, gue, gre, not "vxlan"'],
  [['--ops'], '--ops is for the scenario dns'],
  [['dns', '--ops', '--mode', 'masq'], '--ops needs --mode dr or tun'],
  [['dns', '--kill', '192.168.1.11@3'], 'the scenario dns has no --kill and --revive'],
  [['--mode', 'tun', '--tunnel', 'gre', '--kill', '192.168.1.11@3'], '--kill and --revive need health checks'],
  [['--family', '6', '--kill', '192.168.1.11@3'], '--kill takes ADDRESS@REQUESTS with one of fd00:1::11'],
  [['--io', 'ring'], '--io takes packet-ring, packet-mmsg, pcap, xdp, macvtap, not "ring"'],
  [['--shards', '0'], '--shards takes a number from 1 to 64, not "0"'],
  [['--shards', '2', '--io', 'pcap'], '--shards needs the packet engine'],
  [['proxy', '--shards', '2'], '--shards needs the packet engine'],
  [['--requests', '0'], '--requests takes a number from 1 to 10000000, not "0"'],
  [['--requests', '1e3'], '--requests takes a number from 1 to 10000000, not "1e3"'],
  [['--kill', '192.168.1.14@3'], '--kill takes ADDRESS@REQUESTS with one of'],
  [['--kill', '192.168.1.11'], '--kill takes ADDRESS@REQUESTS with one of'],
  [['--revive', '192.168.1.11@1001'], '--revive takes a number from 0 to 1000, not "1001"'],
  [['--colour'], "Unknown option '--colour'; see uipvs lab --help"],
])('%j is refused with a sentence', (words, sentence) => {
  expect(() => parseLabArguments(words)).toThrow(sentence);
});

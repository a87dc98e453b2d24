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
    mode: 'fullnat',
    io: 'packet-mmsg',
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
  [['run', 'other'], 'there is no scenario "other"; there is: tutorial'],
  [['--mode', 'tun'], '--mode takes fullnat, masq, dr, not "tun"'],
  [['--io', 'ring'], '--io takes packet-mmsg, pcap, not "ring"'],
  [['--requests', '0'], '--requests takes a number from 1 to 10000000, not "0"'],
  [['--requests', '1e3'], '--requests takes a number from 1 to 10000000, not "1e3"'],
  [['--kill', '192.168.1.14@3'], '--kill takes ADDRESS@REQUESTS with one of'],
  [['--kill', '192.168.1.11'], '--kill takes ADDRESS@REQUESTS with one of'],
  [['--revive', '192.168.1.11@1001'], '--revive takes a number from 0 to 1000, not "1001"'],
  [['--colour'], "Unknown option '--colour'; see uipvs lab --help"],
])('%j is refused with a sentence', (words, sentence) => {
  expect(() => parseLabArguments(words)).toThrow(sentence);
});

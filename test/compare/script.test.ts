import { describe, expect, test } from 'vitest';
import { differenceText, findDifferences } from '../../src/compare/differences.ts';
import { comparable } from '../../src/compare/play.ts';
import { parseScript, ScriptError } from '../../src/compare/script.ts';
import { SHIPPED_SCRIPT } from '../../src/compare/shipped-script.ts';

describe('a script', () => {
  test('has a step a line; comments and empty lines are none', () => {
    const lines = parseScript(
      '# hello\n\n  ipvsadm -A -t 192.0.2.1:80  -s rr\ntcp 192.0.2.1:80 3\nudp [fd00::1]:53\nset conntrack=1\nwait 2\n',
    );
    expect(lines.map(({ number }) => number)).toEqual([3, 4, 5, 6, 7]);
    expect(lines.map(({ step }) => step)).toEqual([
      { do: 'ipvsadm', words: ['-A', '-t', '192.0.2.1:80', '-s', 'rr'] },
      { do: 'connect', protocol: 'tcp', address: '192.0.2.1', port: 80, count: 3 },
      { do: 'connect', protocol: 'udp', address: 'fd00::1', port: 53, count: 1 },
      { do: 'set', setting: 'conntrack', value: '1' },
      { do: 'wait', seconds: 2 },
    ]);
    expect(lines[0]?.text).toBe('ipvsadm -A -t 192.0.2.1:80 -s rr');
  });

  test.each([
    ['', /no steps/],
    ['# nothing\n', /no steps/],
    ['ipvsadm -Ln\nrm -rf /', /^line 2: there is no step "rm"/],
    ['tcp', /line 1: this step is written tcp ADDRESS:PORT/],
    ['tcp 192.0.2.1', /line 1/],
    ['tcp 192.0.2.1:0', /line 1: "0" is no number from 1 to 65535/],
    ['tcp 192.0.2.1:99999', /65535/],
    ['tcp 192.0.2.1:80 0', /from 1 to 1000/],
    ['tcp 192.0.2.1:80 1001', /from 1 to 1000/],
    ['tcp 192.0.2.1:80 1 2', /line 1/],
    ['tcp host:80', /line 1/],
    ['set conntrack', /set NAME=VALUE/],
    ['set ../x=1', /set NAME=VALUE/],
    ['wait', /wait SECONDS/],
    ['wait 61', /from 1 to 60/],
    ['wait -1', /from 1 to 60/],
    ['\n'.repeat(10_001), /at most 10000 lines/],
  ])('%j is refused', (text, message) => {
    expect(() => parseScript(text)).toThrow(ScriptError);
    expect(() => parseScript(text)).toThrow(message);
  });

  test('comes with uipvs: commands, real connections by both protocols, settings', () => {
    const steps = parseScript(SHIPPED_SCRIPT).map(({ step }) => step);
    expect(steps.length).toBeGreaterThanOrEqual(80);
    const connections = steps.flatMap((step) => (step.do === 'connect' ? [step.count] : []));
    expect(connections.reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(50);
    expect(steps.some((step) => step.do === 'connect' && step.protocol === 'udp')).toBe(true);
  });
});

describe('what is compared', () => {
  test('leaves out when connections run out and their order', () => {
    const text =
      'IPVS connection entries\npro expire state\nTCP 01:58  TIME_WAIT b\nTCP 00:03  TIME_WAIT a\nUDP 04:59  UDP c\n';
    const expected = [
      'IPVS connection entries',
      'pro expire state',
      'TCP --:--  TIME_WAIT a',
      'TCP --:--  TIME_WAIT b',
      'UDP --:--  UDP c',
    ];
    for (const words of [['-Lnc'], ['-L', '-n', '-c'], ['-L', '--connection']])
      expect(comparable(words, text)).toEqual(expected);
  });

  test('keeps everything else, but for a data plane’s own words', () => {
    expect(comparable(['-Ln'], 'TCP  x rr\n  -> y 01:58\n')).toEqual(['TCP  x rr', '  -> y 01:58']);
    expect(comparable(['-A'], 'No such service\nuipvs: because\n')).toEqual(['No such service']);
  });

  test('differences name the step and show both', () => {
    const script = parseScript('ipvsadm -Ln\ntcp 192.0.2.1:80 2\nwait 1\n');
    expect(findDifferences(script, [['exit 0'], ['rs1', 'rs2'], []], [['exit 0'], ['rs1', 'rs2'], []])).toEqual([]);
    const found = findDifferences(script, [['exit 0'], ['rs1', 'rs2'], []], [['exit 0', 'x'], ['rs1', 'rs3'], []]);
    expect(found.map(({ line }) => line)).toEqual([1, 2]);
    expect(differenceText(found[0] as (typeof found)[0], ['packet', 'kernel'])).toBe(
      'line 1: ipvsadm -Ln\n  packet  (nothing)\n  kernel  x\n',
    );
    expect(differenceText(found[1] as (typeof found)[0], ['packet', 'kernel'])).toBe(
      'line 2: tcp 192.0.2.1:80 2\n  packet  rs2\n  kernel  rs3\n',
    );
  });
});

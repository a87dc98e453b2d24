/** The words of labs that stay up, and what is drawn of them; nothing is built here. */
import { expect, test, vi } from 'vitest';
import { CHOICES, chooseLab } from '../../src/lab/labs/index.ts';
import { drawLab, drawLabAsSvg } from '../../src/lab/standing/graph.ts';
import { beginState, checkStandingName } from '../../src/lab/standing/state.ts';
import { LabUsageError, parseStandingWords } from '../../src/lab/standing/words.ts';

test('behind the host of `sh` all words are the command’s', () => {
  const shell = (...words: string[]) => {
    const { name, host, command } = parseStandingWords(['sh', ...words]);
    return { name, host, command };
  };
  expect(shell('director')).toEqual({ name: null, host: 'director', command: [] });
  expect(shell('rs1', '--', 'ip', '-j', 'link')).toEqual({ name: null, host: 'rs1', command: ['ip', '-j', 'link'] });
  expect(shell('rs1', 'ip', '--help')).toEqual({ name: null, host: 'rs1', command: ['ip', '--help'] });
  expect(shell('--name', 'x', 'rs1', 'true')).toEqual({ name: 'x', host: 'rs1', command: ['true'] });
  expect(shell('rs1', '--name', 'x', '--', 'true')).toEqual({ name: 'x', host: 'rs1', command: ['true'] });
  expect(shell('rs1', '--name=x', '--', '--')).toEqual({ name: 'x', host: 'rs1', command: ['--'] });
});

test('a name stands behind the word or in --name', () => {
  expect(parseStandingWords(['check', 'dr']).name).toBe('dr');
  expect(parseStandingWords(['check', '--name', 'dr']).name).toBe('dr');
  expect(parseStandingWords(['up', 'dr', '--name', 'x'])).toMatchObject({ name: 'dr', standAs: 'x' });
});

test.each([
  [['up'], 'lab up takes the name of a lab'],
  [['sh'], 'lab sh takes a host'],
  [['sh', '--name'], '--name'],
  [['check', 'a', 'b'], 'lab check takes one name'],
  [['up', 'nat', '--svg', 'x'], 'lab up has no --svg'],
  [['down', '--jsn'], "Unknown option '--jsn'"],
  [['hint', '--svg='], 'lab hint has no --svg'],
])('a wrong call is told: %j', (words, sentence) => {
  expect(() => parseStandingWords(words)).toThrow(LabUsageError);
  expect(() => parseStandingWords(words)).toThrow(sentence);
});

test('an unknown lab, and a name that would leave its folder, are refused', () => {
  expect(() => chooseLab('nut')).toThrow('there is no lab "nut"; there is: nat,');
  for (const name of ['', '../x', 'a/b', '.hidden', 'x'.repeat(65), 'a b', 'a\n']) {
    expect(() => checkStandingName(name)).toThrow('is no name for a lab');
  }
});

test('every lab has a name of its own, a drawing and a picture', () => {
  expect(new Set(CHOICES.map(({ name }) => name)).size).toBe(CHOICES.length);
  for (const { name, kind } of CHOICES) {
    const text = drawLab(kind.topology);
    for (const host of kind.topology.hosts) expect(text).toContain(`  ${host.name}`);
    expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThan(120);
    const svg = drawLabAsSvg(kind.topology, name);
    expect(svg).toMatch(/^<svg [\s\S]*<\/svg>\n$/);
    expect(svg).not.toContain('undefined');
    expect(svg.match(/<rect/g)?.length).toBe(1 + kind.topology.hosts.length);
  }
});

test('where nothing can be noted, that is said', () => {
  const state = { name: 'x', lab: 'nat', id: '000000', phase: 'up', since: '', hintsTold: 0 } as const;
  vi.stubEnv('UIPVS_RUN_DIR', '/proc');
  try {
    expect(() => beginState(state)).toThrow(/^what stands cannot be noted in \/proc\/uipvs\/labs: E/);
  } finally {
    vi.unstubAllEnvs();
  }
});

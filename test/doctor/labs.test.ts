/** `uipvs doctor` on labs that stand: silent on healthy ones; on a broken one it finds its fault alone, and mends it. */
import { readFileSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Diagnosis } from '../../src/doctor/examine.ts';
import { isAutomatic } from '../../src/doctor/report.ts';
import { RULES } from '../../src/doctor/rules/index.ts';
import { FAULTS } from '../../src/lab/faults/index.ts';
import { LABS } from '../../src/lab/labs/index.ts';
import type { StandingKind } from '../../src/lab/standing/kind.ts';
import { checked, notPassed, typed } from '../lab/standing-support.ts';
import { LabHost, whyNoLab } from '../lab/support.ts';
import { MATRIX, matrixTable } from './matrix.ts';

const LONG_MS = 300_000;
const PAGE = new URL('../../src/doctor/README.md', import.meta.url);
const WHY_NOT =
  process.getuid?.() === 0
    ? whyNoLab('packet-ring', ['sysctl', 'ss', 'ethtool'])
    : 'needs root: these labs outlive the command';

let opened: LabHost | null = null;
beforeEach(async () => {
  if (WHY_NOT === null) opened = await LabHost.open();
});
afterEach(async () => {
  if (opened !== null) await typed(opened, 0, 'down', '--all');
  await opened?.close();
  opened = null;
});

function hostFor(skip: (condition: boolean, note?: string) => void, { programs = [] }: StandingKind): LabHost {
  const why = WHY_NOT ?? whyNoLab('packet-ring', programs);
  skip(why !== null, why ?? '');
  return opened as LabHost;
}

/** On the director, while the lab's own checks send their traffic. */
async function doctor(host: LabHost, name: string, ...words: string[]): Promise<Diagnosis> {
  const traffic = host.start('check', name, '--json');
  const run = host.start('sh', '--name', name, 'director', '--', 'uipvs', 'doctor', '--json', ...words);
  const code = await run.ended();
  await traffic.ended();
  if (![0, 3].includes(code)) throw new Error(`uipvs doctor ended with ${code}: ${run.stderr}`);
  const diagnosis = JSON.parse(run.stdout) as Diagnosis;
  expect(code).toBe(diagnosis.findings.length > 0 && !words.includes('--fix') ? 3 : code);
  return diagnosis;
}

/** What a failed test shows. */
function told({ findings }: Diagnosis): string[] {
  return findings.map(
    ({ rule, what, evidence }) => `${rule}: ${what} (${evidence.map(({ says }) => says).join('; ')})`,
  );
}

describe('finds nothing on a healthy lab', () => {
  for (const kind of LABS) {
    test(
      kind.name,
      async ({ skip }) => {
        const host = hostFor(skip, kind);
        await typed(host, 0, 'up', kind.name);
        const diagnosis = await doctor(host, kind.name);
        expect(told(diagnosis)).toEqual([]);
        expect(diagnosis.rules.filter(({ outcome }) => outcome === 'fine').length).toBeGreaterThan(5);
      },
      LONG_MS,
    );
  }
});

describe('finds the fault of a broken lab and no other, and what it says mends it', () => {
  for (const line of MATRIX) {
    test(
      `broken-${line.fault}: ${line.rule}`,
      async ({ skip }) => {
        const fault = FAULTS.find(({ name }) => name === line.fault);
        if (fault === undefined) throw new Error(`there is no lab broken-${line.fault}`);
        const host = hostFor(skip, fault.lab);
        const name = `broken-${line.fault}`;
        const watch = ['--watch', String(line.watchSeconds ?? 5)];
        await typed(host, 0, 'up', name);
        const diagnosis = await doctor(host, name, ...watch, ...(line.mended === 'fix' ? ['--fix'] : []));
        expect([...new Set(diagnosis.findings.map(({ rule }) => rule))], told(diagnosis).join('\n')).toEqual([
          line.rule,
        ]);
        const symptoms = diagnosis.findings.flatMap(({ alsoSeen }) => alsoSeen.map(({ rule }) => rule));
        expect(symptoms.filter((rule) => !(line.symptoms ?? []).includes(rule))).toEqual([]);
        if (line.mended === 'commands') await typeWhatItSays(host, name, fault.lab, diagnosis);
        if (line.mended === 'cure') await typed(host, 0, 'cure', name);
        expect(notPassed(await checked(host, name))).toEqual([]);
        expect(told(await doctor(host, name, ...watch))).toEqual([]);
      },
      LONG_MS,
    );
  }
});

/** For every host that is named, the first cure for it. */
async function typeWhatItSays(
  host: LabHost,
  name: string,
  { topology }: StandingKind,
  { findings }: Diagnosis,
): Promise<void> {
  const mended = new Set<string>();
  for (const { on, commands, undo } of findings.flatMap(({ cures }) => cures)) {
    expect(isAutomatic({ on, undo })).toBe(false);
    const place = topology.hosts.find(({ links }) =>
      links.some(({ addresses }) => addresses.some((own) => own.startsWith(`${on}/`))),
    );
    if (place === undefined || mended.has(on)) continue;
    mended.add(on);
    for (const words of commands) await typed(host, 0, 'sh', '--name', name, place.name, '--', ...words);
  }
  expect(mended.size).toBeGreaterThan(0);
}

test('the page of the room shows the table of rules and labs (UPDATE_PAGES=1 writes it)', () => {
  const page = readFileSync(PAGE, 'utf8');
  const wanted = page.replace(/(?<=<!-- rules -->\n\n)[\s\S]*(?=\n\n<!-- end of rules -->)/, matrixTable(RULES));
  if (process.env['UPDATE_PAGES'] === '1') writeFileSync(PAGE, wanted);
  else expect(page).toBe(wanted);
  expect(page).toContain('<!-- rules -->');
});

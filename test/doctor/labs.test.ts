/** `uipvs doctor` on labs that stand: silent on healthy ones; on a broken one it finds its fault alone, and mends it. */
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test, vi } from 'vitest';
import type { Diagnosis } from '../../src/doctor/examine.ts';
import { isAutomatic } from '../../src/doctor/report.ts';
import { RULES } from '../../src/doctor/rules/index.ts';
import { FAULTS } from '../../src/lab/faults/index.ts';
import { LABS } from '../../src/lab/labs/index.ts';
import type { StandingKind } from '../../src/lab/standing/kind.ts';
import { type CheckReport, checked, notPassed, typed } from '../lab/standing-support.ts';
import { LabHost, whyNoLab } from '../lab/support.ts';
import { MATRIX, type MatrixLine, matrixTable } from './matrix.ts';

const LONG_MS = 300_000;
// Most of a lab's time is waiting.
vi.setConfig({ maxConcurrency: 8 });
const PAGE = new URL('../../src/doctor/README.md', import.meta.url);
const WHY_NOT =
  process.getuid?.() === 0
    ? whyNoLab('packet-ring', ['sysctl', 'ss', 'ethtool'])
    : 'needs root: these labs outlive the command';

/** Watched for, unless a lab's own traffic takes longer. On a busy machine it begins late. */
const WATCH_SECONDS = 6;
/** What shows in traffic only may be missed by one look. */
const LOOKS_MAX = 3;

/** A host of the test's own, with the labs on it taken down at the end. */
async function onHost(
  skip: (condition: boolean, note?: string) => void,
  { programs = [] }: StandingKind,
  work: (host: LabHost) => Promise<void>,
): Promise<void> {
  const why = WHY_NOT ?? whyNoLab('packet-ring', programs);
  skip(why !== null, why ?? '');
  const host = await LabHost.open();
  try {
    await work(host);
  } finally {
    await typed(host, 0, 'down', '--all');
    await host.close();
  }
}

/** Labs whose checks cut hosts off, which the doctor could only tell as it is. */
const CUT_OFF = ['fallback', 'keepalived'];

/** On the director of such a lab, while clients come for some ten seconds. */
async function doctorBesideClients(host: LabHost, { name, topology }: StandingKind): Promise<Diagnosis> {
  const visit = `curl -s -o /dev/null --max-time 3 http://${topology.virtualAddress}/`;
  const many = `for i in $(seq 100); do ${visit}; sleep 0.1; done`;
  const visits = host.start('sh', '--name', name, 'client', '--', 'sh', '-c', many);
  const run = await typed(host, 0, 'sh', '--name', name, 'director', '--', 'uipvs', 'doctor', '--json');
  expect(await visits.ended()).toBe(0);
  return JSON.parse(run.stdout) as Diagnosis;
}

/** On the director, while the lab's own checks send their traffic, again and again. With the last of their reports. */
async function doctor(
  host: LabHost,
  name: string,
  ...words: string[]
): Promise<{ said: Diagnosis; check: CheckReport }> {
  const run = host.start('sh', '--name', name, 'director', '--', 'uipvs', 'doctor', '--json', ...words);
  let code: number | null = null;
  const ended = run.ended().then((status) => (code = status));
  let check = await checked(host, name);
  while (code === null) check = await checked(host, name);
  await ended;
  if (code !== 0 && code !== 3) throw new Error(`uipvs doctor ended with ${code}: ${run.stderr}`);
  const said = JSON.parse(run.stdout) as Diagnosis;
  if (!words.includes('--fix')) expect(code).toBe(said.findings.length > 0 ? 3 : 0);
  return { said, check };
}

/** What a failed test shows. */
function told({ findings }: Diagnosis): string[] {
  return findings.map(
    ({ rule, what, evidence }) => `${rule}: ${what} (${evidence.map(({ says }) => says).join('; ')})`,
  );
}

// Labs share nothing.
describe.concurrent('finds nothing on a healthy lab', () => {
  for (const kind of LABS) {
    test(
      kind.name,
      ({ skip }) =>
        onHost(skip, kind, async (host) => {
          await typed(host, 0, 'up', kind.name);
          const said = CUT_OFF.includes(kind.name)
            ? await doctorBesideClients(host, kind)
            : (await doctor(host, kind.name)).said;
          expect(told(said)).toEqual([]);
          expect(said.rules.filter(({ outcome }) => outcome === 'fine').length).toBeGreaterThan(5);
        }),
      LONG_MS,
    );
  }
});

describe.concurrent('finds the fault of a broken lab and no other, and what it says mends it', () => {
  for (const line of MATRIX) {
    const fault = FAULTS.find(({ name }) => name === line.fault);
    if (fault === undefined) throw new Error(`there is no lab broken-${line.fault}`);
    test(
      `broken-${line.fault}: ${line.rule}`,
      ({ skip }) =>
        onHost(skip, fault.lab, async (host) => {
          const name = `broken-${line.fault}`;
          const watch = ['--watch', String(line.watchSeconds ?? WATCH_SECONDS)];
          await typed(host, 0, 'up', name);
          const diagnosis = await lookFor(line, host, name, ...watch, ...(line.mended === 'fix' ? ['--fix'] : []));
          const symptoms = diagnosis.findings.flatMap(({ alsoSeen }) => alsoSeen.map(({ rule }) => rule));
          expect(symptoms.filter((rule) => !(line.symptoms ?? []).includes(rule))).toEqual([]);
          if (line.mended === 'commands') await typeWhatItSays(host, name, fault.lab, diagnosis);
          if (line.mended === 'cure') await typed(host, 0, 'cure', name);
          const { said, check } = await doctor(host, name, ...watch);
          expect(told(said)).toEqual([]);
          expect(notPassed(check)).toEqual([]);
          if (line.fault === 'weights') await undoes(host, name);
        }),
      LONG_MS,
    );
  }
});

/** What was mended by --fix is broken again after --undo, once. */
async function undoes(host: LabHost, name: string): Promise<void> {
  const ask = (code: number, ...words: string[]) =>
    typed(host, code, 'sh', '--name', name, 'director', '--', 'uipvs', 'doctor', ...words);
  expect((await ask(0, '--undo')).stdout).toMatch(/^taken back:\nweights: uipvsadm -e .* -w 0\n/);
  expect((await ask(3, '--watch', '3', '--rule', 'weights')).stdout).toContain('is 0, so none takes a new connection');
  expect((await ask(0, '--undo')).stdout).toBe('there is nothing to take back\n');
}

/** Until the rule has found it. No look may find anything else. */
async function lookFor(
  { rule: wanted }: MatrixLine,
  host: LabHost,
  name: string,
  ...words: string[]
): Promise<Diagnosis> {
  for (let look = 1; ; look++) {
    const { said: diagnosis } = await doctor(host, name, ...words);
    expect(
      diagnosis.findings.filter(({ rule }) => rule !== wanted).map(({ rule }) => rule),
      told(diagnosis).join('\n'),
    ).toEqual([]);
    if (diagnosis.findings.length > 0) return diagnosis;
    if (look === LOOKS_MAX)
      throw new Error(`${wanted} found nothing in ${look} looks: ${JSON.stringify(diagnosis.rules)}`);
  }
}

/** For every host that is named, the first cure for it; what is for the director only where nothing is for others. */
async function typeWhatItSays(
  host: LabHost,
  name: string,
  { topology }: StandingKind,
  { findings }: Diagnosis,
): Promise<void> {
  const cures = findings.flatMap((finding) => finding.cures);
  const elsewhere = cures.filter(({ on }) => on !== 'here');
  const mended = new Set<string>();
  for (const { on, commands, undo } of elsewhere.length > 0 ? elsewhere : cures) {
    expect(isAutomatic({ on, undo })).toBe(false);
    const place = topology.hosts.find(
      ({ role, links }) =>
        (on === 'here' && role === 'director') ||
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

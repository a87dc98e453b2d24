/** One recording through the engine in virtual time. */

import type { IpvsadmIo, NameService } from '../ipvsadm/io.ts';
import { runIpvsadm } from '../ipvsadm/ipvsadm.ts';
import { procConnections, procStatistics } from '../ipvsadm/proc-files.ts';
import { RecordedDirector } from './director.ts';
import { createRecordedNames } from './names.ts';
import type { Difference } from './outputs.ts';
import type { RecordedStep, Recording } from './recording.ts';
import { compareCommandOutput, compareFile } from './text.ts';

export interface CaseResult {
  readonly id: string;
  readonly category: string;
  readonly passed: boolean;
  /** Of the first difference. */
  readonly step?: number;
  readonly what?: string;
  readonly difference?: Difference;
}

/** Plays to the first difference. */
export async function playRecording(recording: Recording): Promise<CaseResult> {
  const director = new RecordedDirector(recording);
  const names = createRecordedNames();
  const result = { id: recording.id, category: recording.category };
  for (const [index, step] of recording.steps.entries()) {
    const found = await playStep(director, names, step);
    if (found !== null) {
      return { ...result, passed: false, step: index, what: found.what, difference: found.difference };
    }
  }
  return { ...result, passed: true };
}

interface Found {
  readonly what: string;
  readonly difference: Difference;
}

async function playStep(director: RecordedDirector, names: NameService, step: RecordedStep): Promise<Found | null> {
  switch (step.do) {
    case 'packet': {
      const difference = director.packet(step);
      return difference === null ? null : { what: `packet ${step.sum ?? step.hex}`, difference };
    }
    case 'wait': {
      const difference = director.wait(step);
      return difference === null ? null : { what: `wait of ${step.seconds} s`, difference };
    }
    case 'cmd':
      return playCommand(director, names, step);
    case 'file': {
      const text = await readProcFile(director, step.path);
      const difference =
        text === null || step.text === null
          ? text === step.text
            ? null
            : { field: 'file', expected: String(step.text), actual: String(text) }
          : compareFile(step.path, step.text, text);
      return difference === null ? null : { what: `file ${step.path}`, difference };
    }
    default:
      return null;
  }
}

async function playCommand(
  director: RecordedDirector,
  names: NameService,
  step: Extract<RecordedStep, { do: 'cmd' }>,
): Promise<Found | null> {
  director.advanceTo(step.t);
  let stdout = '';
  let stderr = '';
  const io: IpvsadmIo = {
    programName: step.argv[0] as string,
    names,
    async *stdin() {
      yield step.stdin ?? '';
    },
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
    connect: async () => director.dataPlane,
  };
  const exit = await runIpvsadm(step.argv.slice(1), io);
  const what = `command ${step.argv.join(' ')}`;
  if (stderr !== step.stderr) return { what, difference: { field: 'stderr', expected: step.stderr, actual: stderr } };
  if (exit !== step.exit) return { what, difference: { field: 'exit', expected: `${step.exit}`, actual: `${exit}` } };
  const difference = compareCommandOutput(step.argv, step.stdout, stdout);
  return difference === null ? null : { what, difference };
}

async function readProcFile(director: RecordedDirector, path: string): Promise<string | null> {
  const { dataPlane } = director;
  if (path === '/proc/net/ip_vs_conn') {
    const page = await dataPlane.execute<'listConnections'>({ name: 'listConnections' });
    return procConnections(page.items);
  }
  if (path === '/proc/net/ip_vs_stats') {
    const { statistics, rates } = await dataPlane.execute<'getTotals'>({ name: 'getTotals' });
    return procStatistics(statistics, rates);
  }
  return null;
}

/** `uipvs conform --running`: the recordings that need no packets, played over the data plane of the running daemon. */
import { isPlayableAnywhere, type PlaneOutcome, playOnPlane } from '../conform/planes/play.ts';
import { RecordingError } from '../conform/recording.ts';
import { readRecordings } from '../conform/recording-files.ts';
import type { DataPlane } from '../model/data-plane.ts';
import type { Output } from './command-line.ts';

const DIFFERENT_EXIT_CODE = 1;

export interface PlaneReport {
  readonly dataPlane: string;
  readonly cases: readonly ({ readonly id: string } & PlaneOutcome)[];
  readonly passed: number;
  readonly failed: number;
  readonly leftOut: number;
}

/** Refuses a table that is in use: it would be emptied. Resolves to the exit code. */
export async function conformPlane(
  plane: DataPlane,
  paths: readonly string[],
  wanted: (recording: { readonly id: string; readonly category: string }) => boolean,
  json: boolean,
  io: Output,
): Promise<number> {
  const { items } = await plane.execute<'listServices'>({ name: 'listServices', limit: 1 });
  if (items.length > 0) {
    throw new RecordingError('the table has services, and playing would remove them; use a daemon that nobody needs');
  }
  const cases: ({ readonly id: string } & PlaneOutcome)[] = [];
  for (const recording of readRecordings(paths)) {
    if (!wanted(recording) || !isPlayableAnywhere(recording)) continue;
    cases.push({ id: recording.id, ...(await playOnPlane(recording, plane)) });
  }
  await plane.execute({ name: 'flush' });
  const count = (outcome: PlaneOutcome['outcome']) => cases.filter((it) => it.outcome === outcome).length;
  const [passed, failed, leftOut] = [count('passed'), count('failed'), count('left-out')];
  if (passed + failed === 0) throw new RecordingError('there is no recording that can be played here');
  const report: PlaneReport = { dataPlane: plane.capabilities.name, cases, passed, failed, leftOut };
  await io.stdout(json ? `${JSON.stringify(report, null, 2)}\n` : reportText(report));
  return failed === 0 ? 0 : DIFFERENT_EXIT_CODE;
}

function reportText({ dataPlane, cases, passed, failed, leftOut }: PlaneReport): string {
  const reasons = new Map<string, number>();
  const lines: string[] = [];
  for (const it of cases) {
    if (it.outcome === 'left-out') reasons.set(it.capability, (reasons.get(it.capability) ?? 0) + 1);
    if (it.outcome !== 'failed') continue;
    const { field, kernel, came } = it.difference;
    lines.push(
      `${it.id}, step ${it.step}: ${it.what}`,
      `  ${field}`,
      `    kernel  ${kernel}`,
      `    came    ${came}`,
      '',
    );
  }
  for (const [capability, count] of reasons) lines.push(`left out: ${count} that need ${capability}`);
  lines.push(`${dataPlane}: ${passed} passed, ${failed} failed, ${leftOut} left out`);
  return `${lines.join('\n')}\n`;
}

/** The checks of a lab, one after the other: what one does to the traffic must not be seen by the next. */
import { LabError } from '../host.ts';
import type { Check, Graded } from './kind.ts';
import type { Visit } from './visit.ts';

/** A check that cannot be carried out has not passed; its evidence says why. `onDone` hears of each at once. */
export async function grade(
  checks: readonly Check[],
  visit: Visit,
  onDone: (graded: Graded) => void = () => {},
): Promise<Graded[]> {
  const graded: Graded[] = [];
  for (const { item, test } of checks) {
    const evidence = await test(visit).catch((error: unknown) => {
      if (!(error instanceof LabError) || visit.signal.aborted) throw error;
      return { passed: false, evidence: error.message };
    });
    const done = { item, ...evidence };
    graded.push(done);
    onDone(done);
  }
  return graded;
}

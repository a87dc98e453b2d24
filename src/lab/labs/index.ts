/** The labs that stay up: one line each; and every one of them that has a fault, found by name. */
import { FAULTS } from '../faults/index.ts';
import { LabError } from '../host.ts';
import type { LabChoice, StandingKind } from '../standing/kind.ts';
import { dr } from './dr.ts';
import { fullnat } from './fullnat.ts';
import { nat } from './nat.ts';

export const LABS: readonly StandingKind[] = [nat, fullnat, dr];

/** All of them, the working ones first. */
export const CHOICES: readonly LabChoice[] = [
  ...LABS.map((kind): LabChoice => ({ name: kind.name, summary: kind.summary, kind, fault: null })),
  ...FAULTS.map(
    (fault): LabChoice => ({
      ...{ name: `broken-${fault.name}`, summary: fault.symptom, kind: fault.lab, fault },
    }),
  ),
];

/** Throws a LabError that names those there are. */
export function chooseLab(name: string): LabChoice {
  const found = CHOICES.find((choice) => choice.name === name);
  if (found !== undefined) return found;
  throw new LabError(`there is no lab "${name}"; there is: ${CHOICES.map((choice) => choice.name).join(', ')}`);
}

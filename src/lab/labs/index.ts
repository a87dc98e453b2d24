/** The labs that stay up: one line each; and every one of them that has a fault, found by name. */
import { FAULTS } from '../faults/index.ts';
import { LabError } from '../host.ts';
import type { LabChoice, StandingKind } from '../standing/kind.ts';
import { dr } from './dr.ts';
import { fallback } from './fallback.ts';
import { fullnat } from './fullnat.ts';
import { ipv6 } from './ipv6.ts';
import { keepalived } from './keepalived.ts';
import { nat } from './nat.ts';
import { persistence } from './persistence.ts';
import { proxy } from './proxy.ts';
import { tun } from './tun.ts';
import { udp } from './udp.ts';

export const LABS: readonly StandingKind[] = [
  nat,
  fullnat,
  dr,
  tun,
  ipv6,
  udp,
  persistence,
  fallback,
  proxy,
  keepalived,
];

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

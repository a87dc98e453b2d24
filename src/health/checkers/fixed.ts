/** Checks that ask nobody. */
import { type CheckerKind, healthy } from '../checker.ts';

export const on: CheckerKind = {
  name: 'on',
  summary: 'always up, nothing is contacted',
  concurrencyMax: Number.POSITIVE_INFINITY,
  create: () => ({ check: async () => healthy() }),
};

/** Makes no statement at all, so a server that is not up stays that way. */
export const off: CheckerKind = {
  name: 'off',
  summary: 'never checked and never up',
  concurrencyMax: Number.POSITIVE_INFINITY,
  create: () => ({ check: async () => ({ healthy: false, message: 'not checked' }) }),
};

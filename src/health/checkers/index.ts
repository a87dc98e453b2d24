/** Every kind of check: one line each. */
import type { CheckerKind } from '../checker.ts';
import { connect } from './connect.ts';
import { external, externalPerl } from './external.ts';
import { off, on } from './fixed.ts';
import { http } from './http.ts';
import { ping } from './ping.ts';
import { simpletcp } from './simpletcp.ts';

export const CHECKERS = {
  connect,
  external,
  'external-perl': externalPerl,
  http,
  off,
  on,
  ping,
  simpletcp,
} as const satisfies Readonly<Record<string, CheckerKind>>;

export type CheckerName = keyof typeof CHECKERS;

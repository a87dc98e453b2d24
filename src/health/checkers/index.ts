/** Every kind of check: one line each. */
import type { CheckerKind } from '../checker.ts';
import { connect } from './connect.ts';
import { external, externalPerl } from './external.ts';
import { off, on } from './fixed.ts';
import { ftp } from './ftp.ts';
import { http } from './http.ts';
import { imap } from './imap.ts';
import { nntp } from './nntp.ts';
import { ping } from './ping.ts';
import { pop } from './pop.ts';
import { simpletcp } from './simpletcp.ts';
import { sip } from './sip.ts';
import { smtp } from './smtp.ts';

export const CHECKERS = {
  connect,
  external,
  'external-perl': externalPerl,
  ftp,
  http,
  imap,
  nntp,
  off,
  on,
  ping,
  pop,
  simpletcp,
  sip,
  smtp,
} as const satisfies Readonly<Record<string, CheckerKind>>;

export type CheckerName = keyof typeof CHECKERS;

/** Every kind of check: one line each. */
import type { CheckerKind } from '../checker.ts';
import { connect } from './connect.ts';
import { dns } from './dns.ts';
import { external, externalPerl } from './external.ts';
import { off, on } from './fixed.ts';
import { ftp } from './ftp.ts';
import { http } from './http.ts';
import { imap } from './imap.ts';
import { ldap } from './ldap.ts';
import { mysql } from './mysql.ts';
import { nntp } from './nntp.ts';
import { pgsql } from './pgsql.ts';
import { ping } from './ping.ts';
import { pop } from './pop.ts';
import { radius } from './radius.ts';
import { simpletcp } from './simpletcp.ts';
import { sip } from './sip.ts';
import { smtp } from './smtp.ts';

export const CHECKERS = {
  connect,
  dns,
  external,
  'external-perl': externalPerl,
  ftp,
  http,
  imap,
  ldap,
  mysql,
  nntp,
  off,
  on,
  pgsql,
  ping,
  pop,
  radius,
  simpletcp,
  sip,
  smtp,
} as const satisfies Readonly<Record<string, CheckerKind>>;

export type CheckerName = keyof typeof CHECKERS;

/** The schedulers there are. To add one: a file beside this one, and its line here. */
import type { SchedulerKind } from '../scheduler.ts';
import { dh } from './dh.ts';
import { fo } from './fo.ts';
import { lblc } from './lblc.ts';
import { lblcr } from './lblcr.ts';
import { lc } from './lc.ts';
import { mh } from './mh.ts';
import { none } from './none.ts';
import { nq } from './nq.ts';
import { ovf } from './ovf.ts';
import { rr } from './rr.ts';
import { sed } from './sed.ts';
import { sh } from './sh.ts';
import { twos } from './twos.ts';
import { wlc } from './wlc.ts';
import { wrr } from './wrr.ts';

export const SCHEDULERS: Readonly<Record<string, SchedulerKind>> = {
  rr,
  wrr,
  lc,
  wlc,
  sed,
  nq,
  dh,
  sh,
  mh,
  lblc,
  lblcr,
  fo,
  ovf,
  twos,
  none,
};

/** Schedulers that IPVS has, but that Debian's 6.1 kernel is built without. They are accepted here. */
export const SCHEDULERS_DEBIAN_LACKS: readonly string[] = ['twos'];

export function findScheduler(name: string): SchedulerKind | null {
  return Object.hasOwn(SCHEDULERS, name) ? (SCHEDULERS[name] as SchedulerKind) : null;
}

/**
 * When the master tells of a connection: at a certain packet and every so many behind it, when its state changes,
 * and, with a refresh period, before the backup's copy would expire. Behaviour: net.ipv4.vs.sync_* (ipvs-sysctl).
 */
import { TICKS_PER_SECOND } from '../model/settings.ts';
import { PROTOCOL_SCTP, PROTOCOL_TCP } from '../wire/ipv4.ts';
import {
  SCTP_CLOSED,
  SCTP_ESTABLISHED,
  SCTP_SHUTDOWN_ACK_SENT,
  SCTP_SHUTDOWN_RECEIVED,
  SCTP_SHUTDOWN_SENT,
} from './protocols/sctp-states.ts';
import { TCP_CLOSE, TCP_CLOSE_WAIT, TCP_ESTABLISHED, TCP_FIN_WAIT, TCP_TIME_WAIT } from './protocols/tcp-states.ts';

/** The settings that decide, by the kernel's names. */
export interface SyncSettings {
  /** Tell at packet `threshold` of each `period`; period 0: only once. */
  readonly sync_threshold: readonly [threshold: number, period: number];
  /** Seconds; 0: no refreshing. */
  readonly sync_refresh_period: number;
  /** Repetitions within a refresh period, 0..3. */
  readonly sync_retries: number;
  /** Not 0: connections of templates are not told of, only the templates. */
  readonly sync_persist_mode: number;
}

/** What the decision needs to know of a connection. One object, filled anew for every question. */
export class SyncCandidate {
  protocol = 0;
  isTemplate = false;
  /** Some connection up the chain of controllers is a template. */
  hasTemplate = false;
  state = 0;
  timeoutTicks = 0;
  /**
   * The memory of the last telling, two words that the engine keeps with the connection: when the copy expires, in
   * ticks with the repetitions in the two lowest bits - `firstSyncEnd` at the beginning - and the state it has, 0 at
   * the beginning. Both are new after "yes".
   */
  syncEnd = 0;
  syncState = 0;
}

/** `SyncCandidate.syncEnd` of a connection that is made now. */
export function firstSyncEnd(nowTick: number): number {
  return nowTick & ~RETRIES_MASK;
}

const RETRIES_MASK = 3;
const REFRESH_DIFFERENCE_TICKS_MIN = 10 * TICKS_PER_SECOND;

const setOf = (...states: readonly number[]) => states.reduce((set, state) => set | (1 << state), 0);
const TCP_TOLD = setOf(TCP_ESTABLISHED, TCP_FIN_WAIT, TCP_CLOSE, TCP_CLOSE_WAIT, TCP_TIME_WAIT);
const SCTP_TOLD = setOf(
  SCTP_ESTABLISHED,
  SCTP_SHUTDOWN_SENT,
  SCTP_SHUTDOWN_RECEIVED,
  SCTP_SHUTDOWN_ACK_SENT,
  SCTP_CLOSED,
);

/** True when the connection is to be told of now, at its packet number `packets`. */
export function syncNeeded(
  candidate: SyncCandidate,
  packets: number,
  nowTick: number,
  settings: SyncSettings,
): boolean {
  const { protocol, isTemplate, state, timeoutTicks } = candidate;
  let stateChanged = false;
  if (!isTemplate) {
    if (settings.sync_persist_mode !== 0 && candidate.hasTemplate) return false;
    const told = protocol === PROTOCOL_TCP ? TCP_TOLD : protocol === PROTOCOL_SCTP ? SCTP_TOLD : 0;
    if (told !== 0) {
      if ((told & (1 << state)) === 0) return false;
      const established = protocol === PROTOCOL_TCP ? TCP_ESTABLISHED : SCTP_ESTABLISHED;
      stateChanged = state !== candidate.syncState && state !== established;
    }
  }
  const end = (nowTick + timeoutTicks) & ~RETRIES_MASK;
  let retries = 0;
  if (!stateChanged) {
    const refreshTicks = settings.sync_refresh_period * TICKS_PER_SECOND;
    if (refreshTicks > 0 && isFresh(candidate, end, refreshTicks)) {
      const before = candidate.syncEnd & RETRIES_MASK;
      const notBefore = (candidate.syncEnd - timeoutTicks + (refreshTicks >> 3)) | 0;
      if (before >= settings.sync_retries || ((nowTick - notBefore) | 0) < 0) return false;
      retries = before + 1;
    }
    const [threshold, period] = settings.sync_threshold;
    if (period > 0) {
      if (!isTemplate && packets % period !== threshold) return false;
    } else if (refreshTicks <= 0 && packets !== threshold) {
      return false;
    }
  }
  candidate.syncState = state;
  candidate.syncEnd = end | retries;
  return true;
}

/** The backup's copy would live about as long as the connection here. */
function isFresh(candidate: SyncCandidate, end: number, refreshTicks: number): boolean {
  const difference = Math.abs((end - candidate.syncEnd) | 0);
  return difference < Math.min(refreshTicks, Math.max(candidate.timeoutTicks >> 1, REFRESH_DIFFERENCE_TICKS_MIN));
}

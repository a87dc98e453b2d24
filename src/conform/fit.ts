/**
 * Plays a case, and when it fails where only the estimator's or the timer wheel's phase may be to blame, tries other
 * phases: tolerances `estimator-phase` and `timer-wheel-phase`. One pair of phases must fit the whole case.
 */
import { type Failure, type Phases, type PlayedCase, playOnce } from './play.ts';
import type { Recording } from './recording.ts';
import type { ToleranceName } from './tolerances.ts';

export interface CaseResult {
  readonly id: string;
  readonly category: string;
  readonly title: string;
  readonly passed: boolean;
  /** What was forgiven, sorted. */
  readonly tolerances: readonly ToleranceName[];
  /** The phases that got furthest. */
  readonly phases: Phases;
  /** The first difference, with the usual phases. */
  readonly failure: Failure | null;
}

/** Fits most cases; the recordings' description names the tick counter. */
export const USUAL_PHASES: Phases = { estimatorMs: 0, wheelTicks: 3456 };

/** -16 to +20 ms. */
const ESTIMATOR_PHASES_MS = Array.from({ length: 37 }, (_, index) => index - 16);
/** A long timer fires at multiples of 4096 ticks, a shorter one at those of 512: every 64 ticks is tried. */
const WHEEL_PHASES_TICKS = Array.from({ length: 64 }, (_, index) => index * 64);
/** One after the other, so that both can be fitted, and the first again. */
const ROUNDS = 3;

interface Attempt {
  readonly phases: Phases;
  readonly played: PlayedCase;
}

export async function playRecording(recording: Recording): Promise<CaseResult> {
  const usual = await playOnce(recording, USUAL_PHASES);
  const best = await fitPhases(recording, { phases: USUAL_PHASES, played: usual });
  const passed = best.played.failure === null;
  const tolerances = new Set(best.played.tolerances);
  if (passed && best.phases.estimatorMs !== USUAL_PHASES.estimatorMs) tolerances.add('estimator-phase');
  if (passed && best.phases.wheelTicks !== USUAL_PHASES.wheelTicks) tolerances.add('timer-wheel-phase');
  return {
    id: recording.id,
    category: recording.category,
    title: recording.title,
    passed,
    phases: best.phases,
    tolerances: [...tolerances].sort(),
    failure: passed ? null : usual.failure,
  };
}

/** The attempt that gets furthest; others are made only while there is something to gain. */
async function fitPhases(recording: Recording, first: Attempt): Promise<Attempt> {
  let best = first;
  for (let round = 0; round < ROUNDS && best.played.failure !== null; round++) {
    const others = alternatives(recording, best);
    const before = best;
    for (const phases of others) {
      const played = await playOnce(recording, phases);
      if (reach(played) > reach(best.played)) best = { phases, played };
      if (best.played.failure === null) return best;
    }
    if (best === before) break;
  }
  return best;
}

function reach({ failure }: PlayedCase): number {
  return failure === null ? Number.POSITIVE_INFINITY : failure.step;
}

/** Other phases that could make the failing step come out differently. */
function alternatives(recording: Recording, { phases, played }: Attempt): Phases[] {
  const failure = played.failure as Failure;
  if (looksAtCounters(recording, failure)) {
    return ESTIMATOR_PHASES_MS.map((estimatorMs) => ({ ...phases, estimatorMs }));
  }
  if (failure.seconds < SHORTEST_TIMER_SECONDS) return [];
  // Where in a tick the case begins decides what has gone some milliseconds after it was expired.
  const within = [1, 2, 3].map((ms) => ({ ...phases, estimatorMs: Math.min(phases.estimatorMs + ms, 20) }));
  return [...within, ...WHEEL_PHASES_TICKS.map((wheelTicks) => ({ ...phases, wheelTicks }))];
}

/** Before the first timer of a connection can fire, the wheel makes no difference. */
const SHORTEST_TIMER_SECONDS = 2;

function looksAtCounters(recording: Recording, failure: Failure): boolean {
  const step = recording.steps[failure.step];
  if (step?.do === 'file') return step.path.startsWith('/proc/net/ip_vs_stats');
  return step?.do === 'cmd' && step.argv.some((word) => ['--stats', '--rate'].includes(word));
}

/** After one success of a thorough check, N cheap ones; then, or as soon as a cheap one fails, the thorough one again. */
import type { Checker } from '../checker.ts';

/** A checker with the time it gets; the target's own `timeoutMs` only has to be long enough for both. */
export interface TimedChecker {
  readonly checker: Checker;
  readonly timeoutMs: number;
}

/** One object per target: it counts. `cheapCount` 0: always the thorough one. */
export function combine(thorough: TimedChecker, cheap: TimedChecker, cheapCount: number): Checker {
  let cheapLeft = 0;
  return {
    async check(target, signal) {
      const { checker, timeoutMs } = cheapLeft > 0 ? cheap : thorough;
      const result = await checker.check({ ...target, timeoutMs }, signal);
      if (!result.healthy) cheapLeft = 0;
      else cheapLeft = cheapLeft > 0 ? cheapLeft - 1 : cheapCount;
      return result;
    },
  };
}

/** A clock that stands still until it is told to go on. */
import type { Clock } from '../../src/health/clock.ts';

interface Timer {
  readonly dueMs: number;
  readonly order: number;
  readonly action: () => void;
}

export class VirtualClock implements Clock {
  #nowMs = 0;
  #order = 0;
  readonly #timers = new Set<Timer>();

  nowMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, action: () => void): () => void {
    const timer = { dueMs: this.#nowMs + delayMs, order: this.#order++, action };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Goes on by `ms`, ringing every timer at its time; what it sets off is finished before the next one. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    await settle();
    for (;;) {
      const due = [...this.#timers]
        .filter(({ dueMs }) => dueMs <= endMs)
        .sort((a, b) => a.dueMs - b.dueMs || a.order - b.order);
      if (due.length === 0) break;
      this.#timers.delete(due[0]);
      this.#nowMs = Math.max(this.#nowMs, due[0].dueMs);
      due[0].action();
      await settle();
    }
    this.#nowMs = endMs;
  }

  get timerCount(): number {
    return this.#timers.size;
  }
}

/** Lets every promise that can settle do so. */
export async function settle(): Promise<void> {
  for (let round = 0; round < 5; round++) await new Promise((resolve) => setImmediate(resolve));
}

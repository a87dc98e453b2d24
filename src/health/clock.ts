/** Time as a parameter, so that tests can set it. */
export interface Clock {
  /** Monotonic, milliseconds. */
  nowMs(): number;
  /** Calls `action` once after `delayMs`; the answer takes that back. */
  after(delayMs: number, action: () => void): () => void;
}

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  after(delayMs, action) {
    const timer = setTimeout(action, delayMs);
    return () => clearTimeout(timer);
  },
};

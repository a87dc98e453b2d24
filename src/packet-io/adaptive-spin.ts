/**
 * How long to look for frames again and again before going to sleep. Waking a thread costs tens of microseconds, so
 * looking pays when frames come soon; when they do not, it takes the processor from others. The window grows while
 * sleeps turn out short and closes with the first long one, as KVM does it for halted processors (halt_poll_ns). Under
 * load, when many frames come between two sleeps, nobody waits for a single one of them, and looking would only take
 * time from those who send: then it sleeps at once.
 */
const FIRST_WINDOW_US = 10;
/** Frames between two sleeps up to which somebody may be waiting for an answer. */
const FEW_FRAMES = 4;

export class AdaptiveSpin {
  readonly #maxUs: number;
  #windowUs = 0;

  /** `maxUs` 0: never. */
  constructor(maxUs: number) {
    this.#maxUs = maxUs;
  }

  get active(): boolean {
    return this.#maxUs > 0;
  }

  /** Microseconds to look after so many frames since the last sleep. */
  windowAfter(frames: number): number {
    return frames <= FEW_FRAMES ? this.#windowUs : 0;
  }

  /** Something came after we had slept so long, or (`came` false) the sleep ended without. */
  slept(us: number, came: boolean): void {
    if (!came || us > this.#maxUs) this.#windowUs = 0;
    else this.#windowUs = Math.min(this.#maxUs, Math.max(FIRST_WINDOW_US, this.#windowUs * 2));
  }
}

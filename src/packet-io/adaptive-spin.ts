/**
 * How long to look for frames again and again before going to sleep. Waking a thread costs tens of microseconds, so
 * looking pays when frames come soon; when they do not, it takes the processor from others. The window grows while
 * sleeps turn out short and closes with the first long one, as KVM does it for halted processors (halt_poll_ns).
 */
const FIRST_WINDOW_US = 10;

export class AdaptiveSpin {
  readonly #maxUs: number;
  #windowUs = 0;

  /** `maxUs` 0: never. */
  constructor(maxUs: number) {
    this.#maxUs = maxUs;
  }

  /** Microseconds to look before the next sleep. */
  get windowUs(): number {
    return this.#windowUs;
  }

  get active(): boolean {
    return this.#maxUs > 0;
  }

  /** Something came after we had slept so long, or (`came` false) the sleep ended without. */
  slept(us: number, came: boolean): void {
    if (!came || us > this.#maxUs) this.#windowUs = 0;
    else this.#windowUs = Math.min(this.#maxUs, Math.max(FIRST_WINDOW_US, this.#windowUs * 2));
  }
}

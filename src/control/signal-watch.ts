/** Signals that end a daemon: the first asks, the second does not. */

/** Numbers of signal(7): a process ended by one has the exit code 128 + number. */
const SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;
type EndingSignal = keyof typeof SIGNALS;
const NAMES = Object.keys(SIGNALS) as EndingSignal[];

/** Remembers the first signal until somebody listens; at the second it calls `atOnce` and ends the process. */
export class SignalWatch {
  #first: EndingSignal | null = null;
  #listener: ((signal: string) => void) | null = null;
  readonly #handler: (signal: NodeJS.Signals) => void;

  /** With `on` false no signal is taken; `atOnce` may only do what needs no waiting. */
  constructor(on: boolean, atOnce: (signal: string) => void) {
    this.#handler = (signal) => this.#take(signal as EndingSignal, atOnce);
    if (on) for (const name of NAMES) process.on(name, this.#handler);
  }

  get first(): string | null {
    return this.#first;
  }

  /** Calls back with the first signal, now if it has come already. */
  onFirst(listener: (signal: string) => void): void {
    this.#listener = listener;
    if (this.#first !== null) listener(this.#first);
  }

  stop(): void {
    for (const name of NAMES) process.off(name, this.#handler);
  }

  #take(signal: EndingSignal, atOnce: (signal: string) => void): void {
    if (this.#first === null) {
      this.#first = signal;
      this.#listener?.(signal);
      return;
    }
    atOnce(signal);
    process.exit(128 + SIGNALS[signal]);
  }
}

/** What goes on now, and how long it will still take: one line that is written over on a terminal, lines in a log. */

export interface TextSink {
  write(text: string): void;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export class Progress {
  readonly #sink: TextSink;
  readonly #nowMs: () => number;
  #total = 0;
  #done = 0;
  #weight = 0;
  #begunMs = 0;
  #toldMs = Number.NEGATIVE_INFINITY;

  constructor(sink: TextSink, nowMs: () => number = () => performance.now()) {
    this.#sink = sink;
    this.#nowMs = nowMs;
  }

  /** A part that takes its time and is not counted. */
  step(text: string): void {
    this.#write(text);
  }

  /** So much is to be done, in whatever unit `run` gives weights. */
  plan(total: number): void {
    this.#total = total;
    this.#begunMs = this.#nowMs();
  }

  /** The next part begins; the one before is done. */
  run(text: string, weight: number): void {
    this.#done += this.#weight;
    this.#weight = weight;
    // A log does not need every single one.
    if (this.#sink.isTTY !== true && this.#nowMs() - this.#toldMs < LOG_EVERY_MS) return;
    this.#write(`${text}${this.#timeLeft()}`);
  }

  notice(text: string): void {
    this.#sink.write(`${this.#sink.isTTY === true ? CLEAR : ''}bench: ${text}\n`);
  }

  /** Leaves an empty line behind. */
  end(): void {
    if (this.#sink.isTTY === true) this.#sink.write(CLEAR);
  }

  #timeLeft(): string {
    if (this.#done < 1) return '';
    const perUnit = (this.#nowMs() - this.#begunMs) / this.#done;
    const seconds = Math.max(0, ((this.#total - this.#done) * perUnit) / 1000);
    return seconds < 90 ? ` (${Math.ceil(seconds)} s left)` : ` (${Math.ceil(seconds / 60)} min left)`;
  }

  #write(text: string): void {
    this.#toldMs = this.#nowMs();
    const line = `${CLEAR}${text.slice(0, Math.max(20, (this.#sink.columns || 80) - 1))}`;
    this.#sink.write(this.#sink.isTTY === true ? line : `bench: ${text}\n`);
  }
}

const CLEAR = '\r\u001b[K';
const LOG_EVERY_MS = 5000;

/** One line on a terminal that is written over; nothing elsewhere. */
import type { Output } from './command-line.ts';

export interface ProgressIo extends Output {
  /** Standard error is a terminal. */
  readonly isTty?: boolean;
}

export class ProgressLine {
  readonly #io: ProgressIo;
  #shown = false;

  constructor(io: ProgressIo) {
    this.#io = io;
  }

  async show(text: string): Promise<void> {
    if (this.#io.isTty !== true) return;
    this.#shown = true;
    await this.#io.stderr(`\r\u001b[K${text.slice(0, 79)}`);
  }

  async clear(): Promise<void> {
    if (!this.#shown) return;
    this.#shown = false;
    await this.#io.stderr('\r\u001b[K');
  }
}

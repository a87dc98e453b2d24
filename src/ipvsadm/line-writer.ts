/** Lines on their way to standard output, handed over in larger pieces. */
import type { IpvsadmIo } from './io.ts';

const PIECE_CHARACTERS = 1 << 16;

export class LineWriter {
  readonly #io: Pick<IpvsadmIo, 'stdout'>;
  #waiting: string[] = [];
  #characters = 0;

  constructor(io: Pick<IpvsadmIo, 'stdout'>) {
    this.#io = io;
  }

  line(text: string): this {
    this.#waiting.push(text);
    this.#characters += text.length + 1;
    return this;
  }

  /** Hands over what has gathered when it is much. To be called between lines of long output. */
  async breathe(): Promise<void> {
    if (this.#characters >= PIECE_CHARACTERS) await this.end();
  }

  /** Hands over everything. */
  async end(): Promise<void> {
    if (this.#waiting.length === 0) return;
    const text = `${this.#waiting.join('\n')}\n`;
    this.#waiting = [];
    this.#characters = 0;
    await this.#io.stdout(text);
  }
}

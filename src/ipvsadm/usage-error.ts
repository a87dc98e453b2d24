/** A mistake in the words of a command line, with the text and the exit status that belong to it. */

/**
 * `mistake`: the words are wrong (status 2). `parser`: the option parser did not understand a word (status 255);
 * a run of `-R` prints it and goes on. `first-word`: the first word is no command (status 255).
 */
export type UsageErrorKind = 'mistake' | 'parser' | 'first-word';

export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly kind: UsageErrorKind;

  /** `message` is what goes to standard error, without its final newline. */
  constructor(kind: UsageErrorKind, message: string) {
    super(message);
    this.kind = kind;
  }

  get exitStatus(): number {
    return this.kind === 'mistake' ? 2 : 255;
  }

  /** Whether a run of `-R` ends here. */
  get endsRestore(): boolean {
    return this.kind !== 'parser';
  }
}

export function mistake(message: string): UsageError {
  return new UsageError('mistake', message);
}

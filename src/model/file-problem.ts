/** What is wrong in a file that people write, and where. */

/** Both count from 1; line 0: the file as a whole. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

export const WHOLE_FILE: Place = { line: 0, column: 0 };

export interface FileProblem {
  readonly place: Place;
  /** One sentence: what is wrong, what would have been right, the nearest valid word. */
  readonly text: string;
}

/** The file is refused. There is at least one problem; they are in the order of the file. */
export class FileRefused extends Error {
  override readonly name = 'FileRefused';
  readonly problems: readonly FileProblem[];

  constructor(problems: readonly FileProblem[]) {
    super(problems[0]?.text ?? 'the file is refused');
    this.problems = problems;
  }
}

export function refuseFile(place: Place, text: string): FileRefused {
  return new FileRefused([{ place, text }]);
}

/** `FILE:12:5: text`, as compilers and editors have it; without numbers when it concerns the file as a whole. */
export function formatProblemLine(file: string, { place, text }: FileProblem): string {
  if (place.line === 0) return `${file}: ${text}`;
  return place.column === 0 ? `${file}:${place.line}: ${text}` : `${file}:${place.line}:${place.column}: ${text}`;
}

export function inFileOrder(problems: readonly FileProblem[]): FileProblem[] {
  return [...problems].sort((a, b) => a.place.line - b.place.line || a.place.column - b.place.column);
}

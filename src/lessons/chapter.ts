/** What a chapter consists of, once it is read. */

/** Languages that every chapter is written in, by their ISO 639 codes. */
export const LANGUAGES = ['en', 'de'] as const;
export type Language = (typeof LANGUAGES)[number];

export interface Chapter {
  /** Its name on the command line; the same in every language: `direct-routing`. */
  readonly name: string;
  readonly language: Language;
  readonly title: string;
  /** The standing lab that its commands are typed in (`uipvs lab up NAME`), or `null` when none is needed. */
  readonly lab: string | null;
  /** Reading and trying, for a rough idea. */
  readonly minutes: number;
  readonly blocks: readonly Block[];
}

/** A piece of a chapter; texts hold Markdown's inline marks. */
export type Block =
  | { readonly kind: 'heading'; readonly depth: number; readonly text: string }
  | { readonly kind: 'paragraph'; readonly text: string }
  | { readonly kind: 'list'; readonly ordered: boolean; readonly items: readonly string[] }
  | { readonly kind: 'table'; readonly rows: readonly (readonly string[])[] }
  | { readonly kind: 'code'; readonly text: string }
  | LessonFile
  | Session
  | Question;

/** A file that the learner writes before the next commands: a code block with `file=NAME` behind its language. */
export interface LessonFile {
  readonly kind: 'file';
  readonly name: string;
  readonly text: string;
}

/** What is typed at a prompt, with what comes out: a code block in the language `console`. */
export interface Session {
  readonly kind: 'session';
  readonly commands: readonly Command[];
}

export interface Command {
  /** The host of the lab it is typed on, or `null`: the learner's own shell. */
  readonly host: string | null;
  /** For a shell (sh). */
  readonly text: string;
  /** Lines as the lesson shows them; `...` stands for whatever differs from run to run. */
  readonly expected: readonly string[];
}

/** A question with its answer, which is hidden until it is asked for: `<details>` in Markdown. */
export interface Question {
  readonly kind: 'question';
  readonly text: string;
  readonly answer: readonly Block[];
}

/** What stands around the lessons, in their languages. */
import type { Language } from './chapter.ts';

export interface Words {
  readonly question: string;
  readonly answer: string;
  readonly file: string;
  readonly lab: (name: string) => string;
  readonly showAnswer: string;
  readonly goOn: string;
  readonly runIt: string;
  readonly next: (name: string) => string;
  readonly minutes: (count: number) => string;
  readonly heading: string;
  readonly how: string;
}

export const WORDS: Readonly<Record<Language, Words>> = {
  en: {
    question: 'Question',
    answer: 'Answer',
    file: 'File',
    lab: (name) =>
      `The commands of this chapter are typed in the lab \`${name}\`: \`uipvs lab up ${name}\` builds it, \`uipvs lab down\` removes it. A prompt such as \`director#\` names the host; \`uipvs lab sh director\` opens a shell there.`,
    showAnswer: '[Enter: the answer, q: leave] ',
    goOn: '[Enter: go on, q: leave] ',
    runIt: '[Enter: run it, s: skip, q: leave] ',
    next: (name) => `Next chapter: uipvs learn ${name}`,
    minutes: (count) => `${count} min`,
    heading: 'Understanding layer-4 load balancing',
    how: 'uipvs learn NAME or NUMBER shows a chapter; --run types its commands for you, --lang de tells it in German.',
  },
  de: {
    question: 'Frage',
    answer: 'Antwort',
    file: 'Datei',
    lab: (name) =>
      `Die Befehle dieses Kapitels werden im Labor \`${name}\` getippt: \`uipvs lab up ${name}\` baut es auf, \`uipvs lab down\` räumt es ab. Ein Prompt wie \`director#\` nennt den Rechner; \`uipvs lab sh director\` öffnet dort eine Shell.`,
    showAnswer: '[Enter: die Antwort, q: Ende] ',
    goOn: '[Enter: weiter, q: Ende] ',
    runIt: '[Enter: ausführen, s: überspringen, q: Ende] ',
    next: (name) => `Nächstes Kapitel: uipvs learn ${name}`,
    minutes: (count) => `${count} min`,
    heading: 'Layer-4-Lastverteilung verstehen',
    how: 'uipvs learn NAME oder NUMMER zeigt ein Kapitel; --run tippt seine Befehle, --lang en erzählt es auf Englisch.',
  },
};

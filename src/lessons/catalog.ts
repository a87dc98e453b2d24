/** The chapters, in the order in which they are read, and their texts: `LANGUAGE/NAME.md` beside this file. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Chapter, Language } from './chapter.ts';
import { readChapter } from './read.ts';

export const CHAPTERS = [
  'basics', // what a balancer of layer 4 does, and one packet through it
  'packets', // the seven steps of a packet, and its checksums on paper
  'nat', // addresses changed both ways, and the way back
  'fullnat', // servers that know nothing of the director
  'direct-routing', // only the MAC address changes, and the ARP problem
  'tunnel', // a packet inside a packet
  'states', // when a connection is over
  'persistence', // the same client, the same server
  'health', // who is alive, and what happens when nobody is
  'schedulers', // who gets the next connection
  'availability', // two directors, and what moves when one fails
  'faults', // evidence before guesses
] as const;

export function loadChapter(name: string, language: Language): Chapter {
  return readChapter(name, language, chapterSource(name, language));
}

/** The Markdown itself. */
export function chapterSource(name: string, language: Language): string {
  return readFileSync(join(import.meta.dirname, language, `${name}.md`), 'utf8');
}

/** By its name or its number, counted from one; `null` when there is none. */
export function findChapter(word: string): string | null {
  if (/^\d+$/.test(word)) return CHAPTERS[Number(word) - 1] ?? null;
  return (CHAPTERS as readonly string[]).includes(word) ? word : null;
}

/** The reader's language by the locale(7) variables of the environment: German, or English for all others. */
export function languageOf(environment: Readonly<Record<string, string | undefined>>): Language {
  const locale = environment['LC_ALL'] || environment['LC_MESSAGES'] || environment['LANG'] || '';
  return /^de(?:[_.@]|$)/.test(locale) ? 'de' : 'en';
}

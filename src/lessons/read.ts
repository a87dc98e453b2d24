/** From a Markdown file to a chapter. Markdown is read by the package `marked`; this file alone imports it. */
import { lexer, type Token, type Tokens } from 'marked';
import type { Block, Chapter, Language } from './chapter.ts';
import { readSession } from './session.ts';

/** `<!-- lab: nat, minutes: 10 -->` at the top of a chapter; `lab: none` when it needs none. */
const FACTS = /^<!--\s*lab:\s*([\w-]+),\s*minutes:\s*(\d+)\s*-->/;
const QUESTION = /^<details>\s*<summary>([\s\S]*?)<\/summary>([\s\S]*?)<\/details>\s*$/;
const ONLY_HTML = 'the only HTML is <details><summary>Question</summary> Answer </details>, not ';
const FILE = /(?:^|\s)file=(\S+)/;

/** Throws an Error that names the file and what is wrong with it: chapters are ours, and tests read them all. */
export function readChapter(name: string, language: Language, markdown: string): Chapter {
  const facts = FACTS.exec(markdown);
  const wrong = (what: string) => new Error(`chapter ${language}/${name}: ${what}`);
  if (facts === null) throw wrong('it must begin with <!-- lab: NAME, minutes: N -->');
  const [title, ...blocks] = readBlocks(markdown.slice(facts[0].length), wrong);
  if (title?.kind !== 'heading' || title.depth !== 1) throw wrong('the first line must be its title: # ...');
  const lab = facts[1] === 'none' ? null : (facts[1] as string);
  return { name, language, title: title.text, lab, minutes: Number(facts[2]), blocks };
}

type Wrong = (what: string) => Error;

function readBlocks(markdown: string, wrong: Wrong): Block[] {
  return lexer(joinDetails(markdown)).flatMap((token) => readBlock(token, wrong));
}

/** An empty line ends HTML in Markdown; the code blocks of an answer may have some, so the whole answer is hidden from it. */
function joinDetails(markdown: string): string {
  return markdown.replaceAll(/<details>[\s\S]*?<\/details>/g, (details) =>
    details.replaceAll(/\n(?=\n)/g, `\n${BLANK}`),
  );
}
/** Stands for an empty line inside an answer. */
const BLANK = '\u2063';

function readBlock(token: Token, wrong: Wrong): Block[] {
  switch (token.type) {
    case 'space':
      return [];
    case 'heading':
      return [{ kind: 'heading', depth: (token as Tokens.Heading).depth, text: token['text'] as string }];
    case 'paragraph':
      if ((token as Tokens.Paragraph).tokens.some(({ type }) => type === 'html')) throw wrong(ONLY_HTML + token.raw);
      return [{ kind: 'paragraph', text: token['text'] as string }];
    case 'list': {
      const { ordered, items } = token as Tokens.List;
      return [{ kind: 'list', ordered, items: items.map(({ text }) => text) }];
    }
    case 'table': {
      const { header, rows } = token as Tokens.Table;
      return [{ kind: 'table', rows: [header, ...rows].map((row) => row.map(({ text }) => text)) }];
    }
    case 'code':
      return [readCode(token as Tokens.Code, wrong)];
    case 'html':
      return [readQuestion(token.raw, wrong)];
    default:
      throw wrong(`no reader is shown Markdown of the kind "${token.type}"`);
  }
}

function readCode({ lang, text }: Tokens.Code, wrong: Wrong): Block {
  const file = FILE.exec(lang ?? '')?.[1];
  if (file !== undefined) return { kind: 'file', name: file, text: `${text}\n` };
  if (lang === 'console') return { kind: 'session', commands: readSession(text, wrong) };
  return { kind: 'code', text };
}

function readQuestion(html: string, wrong: Wrong): Block {
  const found = QUESTION.exec(html.replaceAll(BLANK, ''));
  if (found === null) throw wrong(ONLY_HTML + html);
  return {
    kind: 'question',
    text: (found[1] as string).replaceAll(/\s+/g, ' ').trim(),
    answer: readBlocks(found[2] as string, wrong),
  };
}

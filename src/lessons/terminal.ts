/** A chapter as a terminal shows it. Without colours the same words stand there, set apart by shape alone. */
import type { Block, Command } from './chapter.ts';
import type { Words } from './words.ts';

export interface Look {
  /** Columns of a line of text; code is never broken. */
  readonly width: number;
  readonly colors: boolean;
}

const BOLD = 1;
const DIM = 2;
const UNDERLINED = 4;
const GREEN = 32;
const CYAN = 36;

/** The text of a block, with a newline at its end. Answers are shown. */
export function formatBlock(block: Block, look: Look, words: Words): string {
  switch (block.kind) {
    case 'heading':
      return formatHeading(block.text, block.depth, look);
    case 'paragraph':
      return `${wrap(inline(block.text, look), look.width)}\n`;
    case 'list':
      return block.items.map((item, index) => formatItem(item, block.ordered ? `${index + 1}.` : '-', look)).join('');
    case 'table':
      return formatTable(block.rows, look);
    case 'code':
      return indent(block.text);
    case 'file':
      return `${paint(look, DIM, `${words.file} ${block.name}:`)}\n${indent(block.text)}`;
    case 'session':
      return block.commands.map((command) => formatCommand(command, look)).join('');
    case 'question':
      return `${formatQuestion(block.text, look, words)}${formatAnswer(block.answer, look, words)}`;
  }
}

export function formatQuestion(text: string, look: Look, words: Words): string {
  return `${wrap(`${paint(look, BOLD, `${words.question}:`)} ${inline(text, look)}`, look.width)}\n`;
}

export function formatAnswer(answer: readonly Block[], look: Look, words: Words): string {
  const [first, ...rest] = answer;
  const head = first?.kind === 'paragraph' ? `${words.answer}: ${first.text}` : `${words.answer}:`;
  const blocks: Block[] = [{ kind: 'paragraph', text: head }, ...(first?.kind === 'paragraph' ? rest : answer)];
  return blocks.map((block) => formatBlock(block, look, words)).join('\n');
}

export function formatPrompt(command: Command, look: Look): string {
  const prompt = command.host === null ? '$' : `${command.host}#`;
  return `    ${paint(look, GREEN, prompt)} ${paint(look, BOLD, command.text.replaceAll('\n', '\n    '))}\n`;
}

function formatCommand(command: Command, look: Look): string {
  return formatPrompt(command, look) + (command.expected.length === 0 ? '' : indent(command.expected.join('\n')));
}

export function formatHeading(text: string, depth: number, look: Look): string {
  const title = inline(text, look);
  if (look.colors) return `${paint(look, BOLD, title)}\n`;
  return `${title}\n${(depth === 1 ? '=' : '-').repeat(visibleLength(title))}\n`;
}

function formatItem(item: string, mark: string, look: Look): string {
  const lines = wrap(inline(item, look), look.width - mark.length - 1).split('\n');
  return lines.map((line, index) => `${index === 0 ? mark : ' '.repeat(mark.length)} ${line}\n`).join('');
}

function formatTable(rows: readonly (readonly string[])[], look: Look): string {
  const cells = rows.map((row) => row.map((cell) => inline(cell, look)));
  const widths = (cells[0] ?? []).map((_, column) => Math.max(...cells.map((row) => visibleLength(row[column] ?? ''))));
  const lines = cells.map((row) =>
    row
      .map((cell, column) => cell + ' '.repeat((widths[column] as number) - visibleLength(cell)))
      .join('  ')
      .trimEnd(),
  );
  lines.splice(1, 0, widths.map((width) => '-'.repeat(width)).join('  '));
  return `${lines.join('\n')}\n`;
}

/** Bold, code and links inside a line. */
function inline(text: string, look: Look): string {
  return text
    .replaceAll(/\s*\n\s*/g, ' ')
    .split(/(`[^`]+`)/)
    .map((part) => {
      if (part.startsWith('`') && part.endsWith('`') && part.length > 2) {
        return look.colors ? paint(look, CYAN, part.slice(1, -1)) : part;
      }
      return part
        .replaceAll(/\*\*([^*]+)\*\*/g, (_, bold: string) => paint(look, BOLD, bold))
        .replaceAll(/\*([^*]+)\*/g, (_, stressed: string) => paint(look, UNDERLINED, stressed))
        .replaceAll(/\[([^\]]+)\]\(([^)]+)\)/g, '$1 ($2)');
    })
    .join('');
}

function paint(look: Look, code: number, text: string): string {
  return look.colors ? `\x1b[${code}m${text}\x1b[0m` : text;
}

function indent(text: string): string {
  return text
    .replace(/\n$/, '')
    .split('\n')
    .map((line) => (line === '' ? '\n' : `    ${line}\n`))
    .join('');
}

/** Breaks at blanks; a word longer than the line stands alone. */
function wrap(text: string, width: number): string {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && visibleLength(line) + 1 + visibleLength(word) > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line].join('\n');
}

function visibleLength(text: string): number {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences take no column.
  return [...text.replaceAll(/\x1b\[\d+m/g, '')].length;
}

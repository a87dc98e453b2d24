/**
 * What is typed and what comes out, as a lesson shows it. A line that begins with a prompt is a command: `$ ` in the
 * learner's own shell, `director# ` on a host of the lab. A backslash at the end continues it. The lines below are what
 * comes out.
 */
import type { Command } from './chapter.ts';

const PROMPT = /^(?:([a-z][a-z0-9-]*)#|\$) (.*)$/;

export function readSession(text: string, wrong: (what: string) => Error): Command[] {
  const commands: { host: string | null; text: string; expected: string[] }[] = [];
  let continued = false;
  for (const line of text.split('\n')) {
    const prompt: RegExpExecArray | null = continued ? null : PROMPT.exec(line);
    const last = commands.at(-1);
    if (prompt !== null) commands.push({ host: prompt[1] ?? null, text: prompt[2] as string, expected: [] });
    else if (last === undefined) throw wrong(`a console block begins with "${line}", which is no prompt`);
    else if (continued) last.text += `\n${line}`;
    else last.expected.push(line);
    const typed: boolean = prompt !== null || continued;
    continued = typed && line.endsWith('\\');
  }
  if (continued) throw wrong(`a command ends with a backslash: ${commands.at(-1)?.text}`);
  return commands;
}

/**
 * Does what came out agree with what a lesson shows? `...` alone on a line stands for any lines, none among them; inside a
 * line for any text. Blanks count as one, however many, so that a column may be wider than in the lesson.
 * @returns `null`, or the sentence that names the first line that differs.
 */
export function differenceOf(expected: readonly string[], actual: readonly string[]): string | null {
  const [wanted, found] = [expected.map(squeeze), actual.map(squeeze)];
  while (found.at(-1) === '') found.pop();
  while (wanted.at(-1) === '') wanted.pop();
  // reach[j]: the lines so far can stand for the first j lines that came out.
  let reach = new Set([0]);
  for (const line of wanted) {
    const next = new Set<number>();
    if (line === '...') for (let at = Math.min(...reach); at <= found.length; at++) next.add(at);
    else for (const at of reach) if (at < found.length && matches(line, found[at] as string)) next.add(at + 1);
    if (next.size === 0) {
      const at = Math.max(...reach);
      return `expected "${line}", found ${at < found.length ? `"${found[at]}"` : 'no further line'}`;
    }
    reach = next;
  }
  if (reach.has(found.length)) return null;
  return `a line that the lesson does not show: "${found[Math.max(...reach)]}"`;
}

function squeeze(line: string): string {
  return line.replaceAll(/\s+/g, ' ').trim();
}

function matches(wanted: string, found: string): boolean {
  const parts = wanted.split('...').map((part) => part.trim());
  if (parts.length === 1) return wanted === found;
  const pattern = parts.map((part) => part.replaceAll(/[\\^$.*+?()[\]{}|/]/g, '\\$&')).join('.*');
  return new RegExp(`^${pattern}$`).test(found);
}

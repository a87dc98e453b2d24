/** A story as Markdown, for a page or an issue. */
import { formatRepair } from './checksum-repair.ts';
import type { HeaderPair } from './difference.ts';
import { plain } from './paint.ts';
import { renderText } from './render-text.ts';
import type { Story, ToldOutput } from './story.ts';

export function renderMarkdown(story: Story, hex: boolean): string {
  const reason = story.reason === 'none' ? '' : ` (\`${story.reason}\`)`;
  const lines = [`# ${quoted(story.packet)}`, '', `**${quoted(story.ending)}**${reason}`, ''];
  if (story.wayOut !== '') lines.push(`Way out: ${story.wayOut}`, '');
  for (const { number, name, outcome, sentences } of story.steps) {
    if (outcome === 'unreached') continue;
    const [first = '', ...more] = sentences;
    lines.push(`${number}. **${name}**: ${quoted(first)}`);
    lines.push(...more.map((each) => (each.startsWith('  ') ? `     - \`${each.trim()}\`` : `   - ${quoted(each)}`)));
  }
  for (const output of story.outputs) lines.push('', ...outputLines(output));
  if (hex) lines.push('', ...bytesOnly(story));
  return `${lines.join('\n').trimEnd()}\n`;
}

function outputLines(output: ToldOutput): string[] {
  const where = output.link === null ? 'to the host’s own stack' : `by ${output.link}`;
  const heading = output.kind === 'packet' ? `## The packet left ${where}` : `## The engine itself sent ${where}`;
  const lines = [heading, '', `\`${output.summary}\``];
  if (output.difference === null) return lines;
  lines.push('', '|   | field | before | after |', '| - | ----- | ------ | ----- |');
  for (const header of output.difference.headers) lines.push(...headerRows(header));
  for (const repair of output.checksums) {
    lines.push(
      '',
      `**${repair.name}**, by RFC 1624: HC' = ~(~HC + ~m + m')`,
      '',
      '```',
      ...formatRepair(repair),
      '```',
    );
  }
  return lines;
}

function headerRows({ title, change, fields }: HeaderPair): string[] {
  const shown = change === 'same' ? [] : fields;
  return [
    `|   | **${title}**${change === 'same' ? ', unchanged' : change === 'added' ? ', added' : ''} |   |   |`,
    ...shown.map(({ name, before, after, changed, why }) => {
      const mark = change === 'added' ? '+' : changed ? '*' : ' ';
      const value = changed
        ? `**${quoted(after ?? 'gone')}**${why === '' ? '' : `, ${quoted(why)}`}`
        : quoted(after ?? '');
      return `| ${mark} | ${name} | ${quoted(before ?? '')} | ${value} |`;
    }),
  ];
}

/** The dumps of the text form. */
function bytesOnly(story: Story): string[] {
  const text = renderText({ ...story, steps: [] }, { paint: plain, hex: true });
  const from = text.indexOf('\nbytes');
  return from < 0 ? [] : ['```', text.slice(from + 1).trimEnd(), '```'];
}

function quoted(text: string): string {
  return text.replace(/[\\`*_|<]/g, '\\$&');
}

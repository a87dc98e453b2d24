/** Manual pages for section 8, in the language of man(7), from the same tables as the help texts. */
import { uipvsVersion } from '../control/version.ts';
import { HELP_BLOCKS, USAGE } from '../ipvsadm/help.ts';
import { USAGE as ULDIRECTORD_USAGE } from '../ldirectord/arguments.ts';
import type { CommandDescription, OptionDescription, Word } from './command-line.ts';
import { UIPVSD } from './daemon-options.ts';

export const PAGE_NAMES = ['uipvs', 'uipvsd', 'uipvsadm', 'uldirectord'] as const;
export type PageName = (typeof PAGE_NAMES)[number];

/** `uipvs` is that program's own description, `words` are its words. */
export function manualPage(name: PageName, uipvs: CommandDescription, words: readonly Word[]): string {
  const lines = {
    uipvs: () => uipvsPage(uipvs, words),
    uipvsd: uipvsdPage,
    uipvsadm: uipvsadmPage,
    uldirectord: uldirectordPage,
  }[name]();
  const others = PAGE_NAMES.filter((other) => other !== name);
  const seeAlso = others.map((other, index) => `.BR ${other} (8)${index < others.length - 1 ? ',' : ''}`);
  return [
    `.\\" Made by the build; the source is src/cli/man.ts and the tables of the help texts.`,
    `.TH ${name.toUpperCase()} 8 "" "uipvs ${uipvsVersion()}" "System Administration"`,
    ...lines,
    ...section('SEE ALSO', seeAlso),
    '',
  ].join('\n');
}

function uipvsPage(uipvs: CommandDescription, words: readonly Word[]): string[] {
  return [
    ...name('uipvs', uipvs.summary),
    ...section(
      'SYNOPSIS',
      words.map(({ name: word, options, operands }) => synopsis(`uipvs ${word}`, options, operands)),
    ),
    ...section('DESCRIPTION', paragraphs(uipvs.notes)),
    '.SH WORDS',
    ...words.flatMap((word) => [
      `.SS ${word.name}`,
      `${escaped(sentence(word.summary))}`,
      ...word.options.flatMap(described),
      ...paragraphs(word.notes),
    ]),
    ...ENVIRONMENT,
  ];
}

function uipvsdPage(): string[] {
  return [
    ...name('uipvsd', UIPVSD.summary),
    ...section('SYNOPSIS', [synopsis('uipvsd', UIPVSD.options, undefined)]),
    ...section('DESCRIPTION', [escaped(sentence(UIPVSD.summary)), ...paragraphs(UIPVSD.notes)]),
    ...section('OPTIONS', UIPVSD.options.flatMap(described)),
    ...section('FILES', [
      ...item(
        '/run/uipvs/NAMESPACE.sock',
        'The API: HTTP and JSON. NAMESPACE is the inode number of the network namespace.',
      ),
      ...item('/run/uipvs/NAMESPACE.pid', 'The process number of the daemon.'),
      ...item('/run/uipvs/NAMESPACE.log', 'What a daemon had to say that UIPVS_AUTOSTART started.'),
    ]),
    ...ENVIRONMENT,
  ];
}

function uipvsadmPage(): string[] {
  return [
    ...name(
      'uipvsadm, uipvsadm-save, uipvsadm-restore',
      'ipvsadm 1.31 for uipvs: same words, same output, same exit codes',
    ),
    ...section('SYNOPSIS', [
      ...USAGE.flatMap((words) => [`.B uipvsadm`, `${escaped(words)}`, '.br']),
      '.B uipvsadm-save',
      '[\\-n]',
      '.br',
      '.B uipvsadm-restore',
    ]),
    ...section('DESCRIPTION', [
      'Shows and changes the virtual services of the daemon',
      '.BR uipvsd (8)',
      'in the network namespace it is typed in. As',
      '.BR ipvsadm ,',
      'which',
      '.B uipvs install \\-\\-as\\-ipvsadm',
      'makes of it, scripts find it.',
    ]),
    ...HELP_BLOCKS.flatMap(({ heading, remark, entries, note }) => [
      `.SH ${heading.toUpperCase().replace('-', ' ')}`,
      ...(remark === '' ? [] : [`${escaped(remark)}`]),
      ...entries.flatMap(({ flags, text }) => item(flags.trim(), text)),
      ...(note === undefined ? [] : ['.PP', escaped(note)]),
    ]),
    ...section('EXIT STATUS', [
      ...item('0', 'done'),
      ...item('1', 'a listing could not be read'),
      ...item('2', 'wrong words, or no daemon'),
      ...item('255', 'refused, or words that the option parser does not know'),
    ]),
    ...ENVIRONMENT,
  ];
}

function uldirectordPage(): string[] {
  return [
    ...name('uldirectord', 'ldirectord for uipvs: checks real servers, takes dead ones out and back'),
    ...section('SYNOPSIS', preformatted(ULDIRECTORD_USAGE.split('\n\n')[0] ?? '')),
    ...section(
      'DESCRIPTION',
      ULDIRECTORD_USAGE.split('\n\n')
        .slice(1)
        .flatMap((part) => ['.PP', ...preformatted(part)]),
    ),
    ...ENVIRONMENT,
  ];
}

const ENVIRONMENT = section('ENVIRONMENT', [
  ...item('UIPVS_SOCKET', 'Path of the API socket, instead of the one of the network namespace.'),
  ...item(
    'UIPVS_AUTOSTART',
    'When it is 1, uipvsadm, uipvsadm-save and uipvsadm-restore start uipvsd where none answers, and wait until it is ready.',
  ),
]);

function name(program: string, summary: string): string[] {
  const text = `${summary[0]?.toLowerCase()}${summary.slice(1)}`.replace(/\.$/, '');
  return section('NAME', [`${escaped(program)} \\- ${escaped(text)}`]);
}

function section(heading: string, lines: readonly string[]): string[] {
  return [`.SH ${heading}`, ...lines];
}

function synopsis(program: string, options: readonly OptionDescription[], operands: string | undefined): string {
  const flags = options.map(({ flags: spelled }) => `[${spelled.split(', ').at(-1)}]`);
  return `.B ${escaped(program)}\n${escaped([...flags, operands ?? ''].join(' ').trim())}\n.br`.replace('\n\n', '\n');
}

function described({ flags, description, choices, preset }: OptionDescription): string[] {
  const facts = [
    ...(choices === undefined ? [] : [`one of ${choices.join(', ')}`]),
    ...(preset === undefined ? [] : [`default ${preset}`]),
  ];
  return item(flags, `${sentence(description)}${facts.length === 0 ? '' : ` (${facts.join('; ')})`}`);
}

function item(tag: string, text: string): string[] {
  return ['.TP', `.B ${escaped(tag)}`, escaped(text)];
}

/** Notes are laid out already; what stands in columns stays so. */
function paragraphs(notes: string): string[] {
  if (notes === '') return [];
  return notes
    .split('\n\n')
    .flatMap((part) => (/^ {2}/m.test(part) ? ['.PP', ...preformatted(part)] : ['.PP', escaped(part)]));
}

function preformatted(text: string): string[] {
  return ['.nf', escaped(text.trimEnd()), '.fi'];
}

function sentence(text: string): string {
  return `${text[0]?.toUpperCase()}${text.slice(1)}`;
}

/** Text in which no character is a command: groff_char(7), groff(7). */
function escaped(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll("'", '\\(aq')
    .replaceAll('`', '\\(ga')
    .replaceAll('^', '\\(ha')
    .replaceAll('~', '\\(ti')
    .replace(/^\./gm, '\\&.');
}

/** A diagnosis as text for people. */
import type { Diagnosis } from './examine.ts';
import type { CommandWords, Cure, Reported, RuleResult } from './finding.ts';

const WIDTH = 110;
/** Names of programs and texts of others may hold anything; a line end is ours. */
const CONTROL = /(?!\n)\p{Cc}/gu;

export interface ReportOptions {
  /** A line for every rule, also for those that found nothing. */
  readonly all: boolean;
}

export function formatDiagnosis({ findings, rules }: Diagnosis, { all }: ReportOptions): string {
  const parts = findings.map(formatFinding);
  const open = rules.filter(({ outcome }) => outcome === 'cannot-tell');
  if (all) parts.push(rules.map(formatRule).join(''));
  else if (open.length > 0) parts.push(`not evaluated:\n${formatOpen(open)}`);
  parts.push(`${summary(findings, rules)}\n`);
  return parts.join('\n');
}

function summary(findings: readonly Reported[], rules: readonly RuleResult[]): string {
  const of = (outcome: RuleResult['outcome']) => rules.filter((rule) => rule.outcome === outcome).length;
  const parts = [
    findings.length === 0
      ? of('cannot-tell') === rules.length
        ? 'nothing could be examined'
        : 'nothing found'
      : `${findings.length} finding${findings.length === 1 ? '' : 's'}`,
    `${of('fine')} rules without one`,
    `${of('not-applicable')} with nothing to look at here`,
  ];
  if (of('cannot-tell') > 0) parts.push(`${of('cannot-tell')} not evaluated`);
  return parts.join(', ');
}

function formatFinding({ rule, what, evidence, why, cures, alsoSeen }: Reported): string {
  const lines = [wrap(`${rule}: ${what}`, '', '  ')];
  for (const { says, shownBy } of evidence) {
    lines.push(wrap(says, '  seen    ', '          '), `          $ ${shownBy.replace(CONTROL, '?')}`);
  }
  for (const { rule: other, what: also } of alsoSeen)
    lines.push(wrap(`${also} (${other})`, '  hence   ', '          '));
  lines.push(wrap(`${why}.`, '  matters ', '          '));
  if (cures.length === 0) lines.push('  mend    what the evidence names; there is no command for it');
  for (const cure of together(cures)) lines.push(...formatCure(cure));
  return `${lines.join('\n')}\n`;
}

/** The same commands for several hosts stand once. */
function together(cures: readonly Cure[]): Cure[] {
  const kinds = new Map<string, Cure[]>();
  for (const cure of cures) {
    const kind = JSON.stringify([cure.on === 'here', cure.does, cure.commands]);
    kinds.set(kind, [...(kinds.get(kind) ?? []), cure]);
  }
  return [...kinds.values()].map((same) => ({ ...(same[0] as Cure), on: same.map(({ on }) => on).join(', ') }));
}

function formatCure({ on, does, commands, undo }: Cure): string[] {
  const place = on === 'here' ? 'on this host' : `on ${on}`;
  const automatic = isAutomatic({ on, undo }) ? ' [--fix]' : '';
  return [
    wrap(`${place}: ${does}${automatic}`, '  mend    ', '          '),
    ...commands.map((words) => `          # ${shellLine(words)}`),
  ];
}

/** Whether `--fix` carries it out: it is for this host, and can be taken back. */
export function isAutomatic({ on, undo }: Pick<Cure, 'on' | 'undo'>): boolean {
  return on === 'here' && undo !== null;
}

function formatRule({ rule, outcome, says, summary: mistake }: RuleResult): string {
  const words = { found: 'FOUND', fine: 'fine', 'not-applicable': '-', 'cannot-tell': 'not evaluated' }[outcome];
  return `${wrap(says === '' ? mistake : says, `${rule.padEnd(14)} ${words.padEnd(14)}`, ' '.repeat(29))}\n`;
}

/** Rules with the same reason stand on one line. */
function formatOpen(open: readonly RuleResult[]): string {
  return [...new Set(open.map(({ says }) => says))]
    .map((reason) => {
      const names = open.filter(({ says }) => says === reason).map(({ rule }) => rule);
      return `${wrap(`${names.join(', ')}: ${reason}`, '  ', '    ')}\n`;
    })
    .join('');
}

/** One command as a shell reads it. */
export function shellLine(words: CommandWords): string {
  return words
    .map((word) => (/^[\w@%+=:,./[\]-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`))
    .join(' ');
}

function wrap(text: string, first: string, others: string): string {
  const lines: string[] = [];
  let line = first;
  let empty = true;
  for (const word of text.split(' ')) {
    if (!empty && line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = others;
      empty = true;
    }
    line += empty ? word : ` ${word}`;
    empty = false;
  }
  return [...lines, line].join('\n').replace(CONTROL, '?');
}

/** Which rule finds which broken lab, and how it is mended. The page of the room shows this table; a test compares. */
export interface MatrixLine {
  /** Name of the fault in `src/lab/faults`. */
  readonly fault: string;
  /** The one rule whose finding is reported. */
  readonly rule: string;
  /** Rules whose findings stand below it as symptoms, under traffic; not all of them need to. */
  readonly symptoms?: readonly string[];
  /** `fix`: `uipvs doctor --fix`. `commands`: those that it prints, on the hosts it names. `cure`: by the author of the lab. */
  readonly mended: 'fix' | 'commands' | 'cure';
  readonly watchSeconds?: number;
}

/** What a NAT server that does not answer clients by the director looks like to rules that know less. */
const NO_ANSWERS = ['return-path', 'gateway', 'server-silent'];

export const MATRIX: readonly MatrixLine[] = [
  { fault: 'return-path', rule: 'gateway', symptoms: NO_ANSWERS, mended: 'commands' },
  { fault: 'gateway', rule: 'gateway', symptoms: NO_ANSWERS, mended: 'commands' },
  { fault: 'near-client', rule: 'return-path', symptoms: NO_ANSWERS, mended: 'commands' },
  { fault: 'conntrack', rule: 'conntrack', symptoms: NO_ANSWERS, mended: 'fix' },
  { fault: 'ipforward', rule: 'ip-forward', mended: 'fix' },
  { fault: 'arp', rule: 'arp-problem', mended: 'commands' },
  { fault: 'rpfilter', rule: 'rp-filter', symptoms: ['server-silent'], mended: 'commands' },
  { fault: 'mtu', rule: 'tunnel-mtu', mended: 'commands', watchSeconds: 12 },
  { fault: 'vip-missing', rule: 'vip-missing', mended: 'fix' },
  { fault: 'vip-taken', rule: 'vip-taken', mended: 'cure' },
  { fault: 'port-in-use', rule: 'port-in-use', mended: 'cure' },
  { fault: 'firewall', rule: 'firewall', mended: 'commands' },
  { fault: 'server', rule: 'server-silent', mended: 'cure' },
  { fault: 'weights', rule: 'weights', mended: 'fix' },
  { fault: 'mh-zero', rule: 'hash-weight', mended: 'fix' },
  { fault: 'keepalive', rule: 'keepalive', mended: 'fix', watchSeconds: 18 },
  { fault: 'ports', rule: 'ports', mended: 'commands' },
];

const MENDED: Readonly<Record<MatrixLine['mended'], string>> = {
  fix: '`--fix`',
  commands: 'the printed commands, on the hosts they are for',
  cure: 'what the evidence names',
};

/** Rules × labs, as Markdown. */
export function matrixTable(rules: readonly { readonly name: string; readonly summary: string }[]): string {
  const rows = rules.map(({ name, summary }) => {
    const lines = MATRIX.filter(({ rule }) => rule === name);
    const asSymptom = MATRIX.filter(({ rule, symptoms = [] }) => rule !== name && symptoms.includes(name));
    const labs = lines.map(({ fault }) => `\`broken-${fault}\``);
    if (asSymptom.length > 0)
      labs.push(`as a symptom in ${asSymptom.map(({ fault }) => `\`broken-${fault}\``).join(', ')}`);
    const mended = [...new Set(lines.map((line) => MENDED[line.mended]))].join('; ');
    return [`\`${name}\``, summary, labs.join('; ') || 'none: fabricated facts only', mended];
  });
  const all = [['rule', 'the mistake', 'seen in the lab', 'mended in it by'], ...rows];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...all.map((row) => (row[column] as string).length)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] as number)).join(' | ')} |`;
  return [
    line(all[0] as string[]),
    `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`,
    ...rows.map(line),
  ].join('\n');
}

/** May this process open packet sockets and change links and filters? (capabilities(7)) */
import { readFileSync } from 'node:fs';

const NEEDED: readonly (readonly [name: string, bit: number])[] = [
  ['CAP_NET_ADMIN', 12],
  ['CAP_NET_RAW', 13],
];

/** Names of the capabilities missing in the text of /proc/self/status, by its line `CapEff:`. */
export function missingCapabilities(status: string = readFileSync('/proc/self/status', 'utf8')): string[] {
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  return NEEDED.filter(([, bit]) => ((effective >> BigInt(bit)) & 1n) === 0n).map(([name]) => name);
}

/** `null`, or a sentence that says what is missing and what to type instead. */
export function privilegeComplaint(
  program: string,
  words: readonly string[],
  missing: readonly string[],
): string | null {
  if (missing.length === 0) return null;
  const command = ['sudo', program, ...words.map(quote)].join(' ');
  return `needs root, or ${missing.join(' and ')}; type \`${command}\``;
}

/** A word as a shell takes it. */
function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

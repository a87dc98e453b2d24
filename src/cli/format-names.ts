/** Names of the four kinds of file, for options; what is behind them is loaded when a file is read. */
import { nearestWord } from '../control/nearest.ts';

export const FORMAT_NAMES = ['yaml', 'ldirectord', 'ipvsadm', 'keepalived'] as const;
export type FormatName = (typeof FORMAT_NAMES)[number];

/** For options. Throws with the nearest name for a word that is none. */
export function formatWord(text: string): FormatName {
  const found = FORMAT_NAMES.find((name) => name === text);
  if (found !== undefined) return found;
  const nearest = nearestWord(text, FORMAT_NAMES);
  throw new Error(`It must be ${FORMAT_NAMES.join(', ')}${nearest === null ? '' : `; did you mean ${nearest}?`}.`);
}

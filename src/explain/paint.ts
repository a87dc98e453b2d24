/** Colours for a terminal, or none. */
export type Kind = 'heading' | 'good' | 'bad' | 'changed' | 'dim';
export type Paint = (kind: Kind, text: string) => string;

/** SGR codes (ECMA-48, 8.3.117): bold, green, red, yellow, faint. */
const CODES: Readonly<Record<Kind, number>> = { heading: 1, good: 32, bad: 31, changed: 33, dim: 2 };

export const plain: Paint = (_kind, text) => text;

export const coloured: Paint = (kind, text) => (text === '' ? '' : `\u001b[${CODES[kind]}m${text}\u001b[0m`);

/** Long lists, printed while they come: as text, or as one JSON array with an item a line. */
import type { Output } from './command-line.ts';

/** Text is gathered until there is this much to write. */
const CHUNK_CHARACTERS = 32_768;

/** Pieces of a text, gathered and written while they come. */
export async function printText(output: Pick<Output, 'stdout'>, pieces: AsyncIterable<string>): Promise<void> {
  let text = '';
  for await (const piece of pieces) {
    text += piece;
    if (text.length > CHUNK_CHARACTERS) {
      await output.stdout(text);
      text = '';
    }
  }
  if (text !== '') await output.stdout(text);
}

export interface ListStyle<T> {
  readonly json: boolean;
  /** With `json`: the whole array on one line, for lists that come again and again. */
  readonly oneLine?: boolean;
  readonly format: (item: T) => string;
  readonly heading?: string;
  readonly whenEmpty: string;
  readonly limit?: number;
}

/** Waits for a slow reader. When the list breaks in the middle the array is left open, so nobody takes it for whole. */
export async function printList<T>(
  output: Pick<Output, 'stdout'>,
  items: AsyncIterable<T>,
  style: ListStyle<T>,
): Promise<void> {
  let left = style.limit ?? Number.POSITIVE_INFINITY;
  const lineEnd = style.oneLine === true ? '' : '\n';
  let count = 0;
  let text = '';
  for await (const item of items) {
    if (left-- <= 0) break;
    if (style.json) text += `${count === 0 ? '[' : ','}${lineEnd}${JSON.stringify(item)}`;
    else text += `${count === 0 ? (style.heading ?? '') : ''}${style.format(item)}`;
    count++;
    if (text.length > CHUNK_CHARACTERS) {
      await output.stdout(text);
      text = '';
    }
  }
  if (style.json) text += count === 0 ? '[]\n' : `${lineEnd}]\n`;
  else if (count === 0) text = style.whenEmpty;
  await output.stdout(text);
}

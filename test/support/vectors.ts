/** Reading what tests know from elsewhere: vectors and pieces of recordings, as JSON beside the test. */
import { readFileSync } from 'node:fs';

/** The file `name` in the folder of the test that passes its `import.meta.url`. */
export function readVectorFile<T>(testUrl: string, name: string): T {
  return JSON.parse(readFileSync(new URL(name, testUrl), 'utf8')) as T;
}

export function fromHex(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex, 'hex'));
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

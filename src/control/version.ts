/** The version of this package, as package.json says it. */
import { readFileSync } from 'node:fs';

let version: string | null = null;

/** `0.1.0`. Works from `src/` and from `dist/`, which lie at the same depth. */
export function uipvsVersion(): string {
  if (version === null) {
    const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
    version = (JSON.parse(text) as { version: string }).version;
  }
  return version;
}

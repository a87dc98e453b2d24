/** The persistence engines there are. To add one: a file beside this one, and its line here. */
import type { PersistenceEngine } from './engine.ts';
import { sip } from './sip.ts';

export const PERSISTENCE_ENGINES: Readonly<Record<string, PersistenceEngine>> = { sip };

export function findPersistenceEngine(name: string): PersistenceEngine | null {
  return Object.hasOwn(PERSISTENCE_ENGINES, name) ? (PERSISTENCE_ENGINES[name] as PersistenceEngine) : null;
}

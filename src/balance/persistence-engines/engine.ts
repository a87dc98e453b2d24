/** What a persistence engine is: it finds in a packet what belongs together, beside the client's address. */

/** Where the data stands; one object, filled anew for every packet. */
export class EngineData {
  /** First byte, and how many: 1..255. */
  at = 0;
  byteCount = 0;
}

/** One line in the registry: `index.ts`. */
export interface PersistenceEngine {
  readonly name: string;
  /** For help texts. */
  readonly summary: string;
  /** IP protocol numbers whose payload it understands; packets of others are refused. */
  readonly protocols: readonly number[];
  /** A packet from a server without a connection may begin one towards its receiver. */
  readonly startsFromServers: boolean;
  /**
   * Finds the data in the payload `[at, end)` and nothing outside. False: a packet without it is not balanced, it is
   * dropped.
   */
  find(bytes: Uint8Array, at: number, end: number, into: EngineData): boolean;
}

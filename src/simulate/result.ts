/** What came of a simulation, as numbers. */

export interface ServerResult {
  readonly name: string;
  /** At the beginning. */
  readonly weight: number;
  readonly requests: number;
  /** Of all requests that found a server, 0..1. */
  readonly share: number;
  /** Share of the time in which its workers were busy, 0..1. */
  readonly utilisation: number;
  /** Requests that waited, on average over time and at most. */
  readonly queueMean: number;
  readonly queueMax: number;
}

export interface ChurnResult {
  /** `10 s: rs2 down` */
  readonly change: string;
  /** Clients that came before and after, and whose server was not the one that changed. */
  readonly clients: number;
  /** Of these, the ones that got another server than before. */
  readonly moved: number;
}

export interface SimulationResult {
  readonly scheduler: string;
  readonly requests: number;
  /** Requests that found no server. */
  readonly refused: number;
  readonly servers: readonly ServerResult[];
  /** Seconds from arrival to end. */
  readonly responseSeconds: { readonly mean: number; readonly p50: number; readonly p95: number; readonly p99: number };
  /**
   * The busiest server against all together: highest time-averaged load for its capacity, over the average of that.
   * 1 is even.
   */
  readonly imbalance: number;
  readonly churn: readonly ChurnResult[];
  /** Waiting and working requests of all servers, and of the fullest, at moments evenly spaced in time. */
  readonly timeline: readonly { readonly seconds: number; readonly all: number; readonly fullest: number }[];
}

/** The value below which `share` (0..1) of them lie; 0 for none. Sorts in place. */
export function quantile(values: Float64Array, share: number): number {
  if (values.length === 0) return 0;
  return values[Math.min(values.length - 1, Math.floor(share * values.length))] as number;
}

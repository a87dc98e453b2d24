/** Counters and rates of a destination, a service or the whole table, as of the estimator's last tick. */

export interface Statistics {
  readonly connections: number;
  readonly inPackets: number;
  readonly outPackets: number;
  /** IP bytes, headers included, link header not. */
  readonly inBytes: number;
  readonly outBytes: number;
}

/** The same per second, a moving average over two-second intervals. */
export interface Rates {
  readonly connectionsPerSecond: number;
  readonly inPacketsPerSecond: number;
  readonly outPacketsPerSecond: number;
  readonly inBytesPerSecond: number;
  readonly outBytesPerSecond: number;
}

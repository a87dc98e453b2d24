/** A real server behind one service. Identity inside its service: address and port. */
import type { ForwardingMethod, TunnelSpec } from './forwarding.ts';
import type { Rates, Statistics } from './statistics.ts';

export interface DestinationKey {
  readonly address: string;
  /** 0: the port the client asked for. */
  readonly port: number;
}

export interface DestinationSpec extends DestinationKey {
  readonly method: ForwardingMethod;
  /** 0..2147483647; 0 takes no new connections. */
  readonly weight: number;
  /** Connections at which the destination counts as overloaded, 0: never. */
  readonly upperThreshold: number;
  readonly lowerThreshold: number;
  /** Read for the method `tunnel` only. */
  readonly tunnel: TunnelSpec;
}

export interface DestinationStatus {
  readonly spec: DestinationSpec;
  readonly activeConnections: number;
  readonly inactiveConnections: number;
  readonly persistentConnections: number;
  readonly statistics: Statistics;
  readonly rates: Rates;
}

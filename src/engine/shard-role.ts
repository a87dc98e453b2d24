/** What an engine must know when others beside it serve the same host, each the clients that are its own. */
import type { Endpoints } from './connection-table.ts';

export interface ShardRole {
  /** From 0. The first alone answers for all: neighbours, and the host's stack about frames that everybody has. */
  readonly index: number;
  /** A whole packet, put together from fragments that everybody had. */
  ownsPacket(packet: Endpoints): boolean;
  /** Connections and templates of this client, or client network. */
  ownsClient(ipv6: boolean, w0: number, w1: number, w2: number, w3: number): boolean;
  /** Answers to this port of full NAT come to this shard. */
  ownsPort(port: number): boolean;
}

/** What an engine must know when others beside it serve the same host, each the clients that are its own. */
import type { SharedLoad } from '../balance/shared-load.ts';
import type { Endpoints } from '../wire/endpoints.ts';

export type { SharedLoad } from '../balance/shared-load.ts';

export interface ShardRole {
  /** From 0. The first alone answers for all: neighbours, and the host's stack about frames that everybody has. */
  readonly index: number;
  /** A whole packet, put together from fragments that everybody had. */
  ownsPacket(packet: Endpoints): boolean;
  /** Connections and templates of this client, or client network. */
  ownsClient(ipv6: boolean, w0: number, w1: number, w2: number, w3: number): boolean;
  /** Connections of the real server with this name, over all shards; `null`: each shard counts for itself. */
  loadOf(server: string): SharedLoad | null;
  /** Answers to this port of full NAT come to this shard. */
  ownsPort(port: number): boolean;
}

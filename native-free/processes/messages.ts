/** What the proxy and the processes beside it say to each other. */
import type { Command } from '../../src/model/commands.ts';
import type { ServiceKey } from '../../src/model/service.ts';
import type { ProxyVersion } from '../proxy-protocol.ts';
import type { CountedLoad, Load } from './loads.ts';

export interface HelperOptions {
  readonly connectionsMax: number;
  readonly sendProxy: ProxyVersion | null;
  readonly acceptProxy: readonly string[];
}

export type ToHelper =
  | { readonly type: 'start'; readonly options: HelperOptions }
  | { readonly type: 'command'; readonly id: number; readonly command: Command }
  /** Comes with the listening server. */
  | { readonly type: 'port'; readonly id: number; readonly key: ServiceKey }
  | { readonly type: 'loads'; readonly id: number }
  /** What all the others carry. */
  | { readonly type: 'others'; readonly loads: readonly Load[] };

export type FromHelper =
  | { readonly type: 'answer'; readonly id: number; readonly answer: unknown }
  | { readonly type: 'error'; readonly id: number; readonly message: string };

export type LoadsAnswer = readonly CountedLoad[];

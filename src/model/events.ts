/** What a data plane tells without being asked. */
import type { DestinationSpec } from './destination.ts';
import type { HealthEvent } from './health.ts';
import type { ServiceKey, ServiceSpec } from './service.ts';

export type DataPlaneEvent =
  | { readonly type: 'service-added' | 'service-edited'; readonly service: ServiceSpec }
  | { readonly type: 'service-deleted'; readonly key: ServiceKey }
  | {
      readonly type: 'destination-added' | 'destination-edited';
      readonly service: ServiceKey;
      readonly destination: DestinationSpec;
    }
  | {
      readonly type: 'destination-deleted';
      readonly service: ServiceKey;
      readonly address: string;
      readonly port: number;
    }
  | { readonly type: 'flushed' }
  | { readonly type: 'links-changed'; readonly links: readonly string[] }
  /** Something the operator should read: a worker was replaced, a link cannot be served. */
  | { readonly type: 'notice'; readonly level: 'info' | 'warning' | 'error'; readonly message: string }
  /** Told by the daemon beside its data plane, which knows nothing of it. */
  | HealthEvent;

/** How packets reach a real server. `masquerade` with source NAT on its service is what we call full NAT. */
export type ForwardingMethod = 'masquerade' | 'direct' | 'tunnel' | 'local' | 'bypass';

export type TunnelType = 'ipip' | 'gue' | 'gre';
export type TunnelChecksum = 'none' | 'full' | 'remote';

export interface TunnelSpec {
  readonly type: TunnelType;
  /** GUE's outer UDP destination port; 0 for the others. */
  readonly port: number;
  readonly checksum: TunnelChecksum;
}

export const PLAIN_TUNNEL: TunnelSpec = { type: 'ipip', port: 0, checksum: 'none' };

/** One row of the connection table, as listings show it. */
export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

export interface ConnectionStatus {
  /** `TCP`, `UDP`, `SCTP`, or `IP` for templates of firewall-mark services. */
  readonly protocol: string;
  readonly client: Endpoint;
  readonly virtual: Endpoint;
  readonly destination: Endpoint;
  /** Full NAT only: the director's endpoint that the real server sees. */
  readonly local?: Endpoint;
  /** The kernel's state name: `ESTABLISHED`, `UDP`, `NONE`, ... */
  readonly state: string;
  /** Whole seconds left, cut off; 0 while overdue. */
  readonly expiresSeconds: number;
  readonly template: boolean;
  /** Origin: `SYNC` when it came by connection synchronisation. */
  readonly origin: 'LOCAL' | 'SYNC';
  readonly engine?: { readonly name: string; readonly data: string };
}

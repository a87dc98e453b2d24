/** Rows of a connection table, from the little that a test says. */
import type { ConnectionStatus } from '../../src/model/connection-status.ts';

export interface FabricatedConnection {
  readonly state: string;
  readonly client?: string;
  readonly clientPort?: number;
  readonly server?: string;
}

export function connectionsOf(rows: readonly FabricatedConnection[]): ConnectionStatus[] {
  return rows.map(({ state, client = '10.0.0.100', clientPort = 40_000, server = '192.168.1.11' }) => ({
    protocol: 'TCP',
    client: { address: client, port: clientPort },
    virtual: { address: '192.168.1.120', port: 80 },
    destination: { address: server, port: 80 },
    state,
    expiresSeconds: 60,
    template: false,
    origin: 'LOCAL',
  }));
}

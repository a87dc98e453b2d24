/** Whoever carries the traffic: packet engine, kernel, proxy, or one of them behind a socket. */
import type { Answer, Command, CommandName } from './commands.ts';
import type { DataPlaneEvent } from './events.ts';
import type { ForwardingMethod } from './forwarding.ts';
import type { AddressFamily, ServiceProtocol } from './service.ts';

/** What a data plane will not refuse. */
export interface Capabilities {
  readonly name: string;
  readonly families: readonly AddressFamily[];
  readonly protocols: readonly ServiceProtocol[];
  readonly methods: readonly ForwardingMethod[];
  readonly schedulers: readonly string[];
  readonly fullNat: boolean;
  readonly persistence: boolean;
  /** Payload that names a client: `sip`. */
  readonly persistenceEngines: boolean;
  /** Services for every port of an address (0), and for the address 0.0.0.0 or :: as it stands. */
  readonly wildcards: boolean;
  readonly marks: boolean;
  readonly sync: boolean;
}

export interface DataPlane {
  readonly capabilities: Capabilities;
  /**
   * Rejects with an IpvsError. Commands are carried out in the order of the calls, also when the caller does not wait
   * for one before the next.
   */
  execute<N extends CommandName>(command: Command<N>): Promise<Answer<N>>;
  /** Returns "stop watching". */
  watch(listener: (event: DataPlaneEvent) => void): () => void;
  close(): Promise<void>;
}

/** One conversation of a client with a real server, as the books keep it. */
import type { Destination } from '../src/balance/destination.ts';
import type { VirtualService } from '../src/balance/virtual-service.ts';
import type { ConnectionStatus, Endpoint } from '../src/model/connection-status.ts';

/** The kernel's names for the same situations. */
export type SessionState = 'SYN_RECV' | 'ESTABLISHED' | 'FIN_WAIT' | 'CLOSE_WAIT' | 'UDP';

/** States in which IPVS counts a connection as active; UDP never is. */
const ACTIVE: ReadonlySet<SessionState> = new Set<SessionState>(['SYN_RECV', 'ESTABLISHED']);

/** A template of persistence, as far as its members need to know. */
export interface Membership {
  members: number;
}

export class Session {
  /** Grows with every session there ever was: what pages of listings go by. */
  readonly serial: number;
  readonly protocol: 'TCP' | 'UDP';
  readonly client: Endpoint;
  readonly virtual: Endpoint;
  readonly service: VirtualService;
  /** Ends the conversation: both sides are told. */
  readonly end: (reason: 'idle' | 'no-destination' | 'closed') => void;
  destination: Destination;
  /** Port of the destination for this conversation. */
  serverPort: number;
  /** Our end towards the server. Asked when somebody wants to know: each answer costs a system call. */
  server: { readonly localAddress?: string | undefined; readonly localPort?: number | undefined } | null = null;
  state: SessionState;
  membership: Membership | null = null;
  /** Monotonic milliseconds of the last byte in either direction. */
  lastMs: number;

  constructor(facts: {
    readonly serial: number;
    readonly protocol: 'TCP' | 'UDP';
    readonly client: Endpoint;
    readonly virtual: Endpoint;
    readonly service: VirtualService;
    readonly destination: Destination;
    readonly serverPort: number;
    readonly nowMs: number;
    readonly end: Session['end'];
  }) {
    this.serial = facts.serial;
    this.protocol = facts.protocol;
    this.client = facts.client;
    this.virtual = facts.virtual;
    this.service = facts.service;
    this.destination = facts.destination;
    this.serverPort = facts.serverPort;
    this.lastMs = facts.nowMs;
    this.end = facts.end;
    this.state = facts.protocol === 'TCP' ? 'SYN_RECV' : 'UDP';
    this.destination.bind(!ACTIVE.has(this.state), false);
  }

  /** Another server takes the conversation before a byte was sent. */
  moveTo(destination: Destination, serverPort: number): void {
    this.destination.unbind(!ACTIVE.has(this.state), false);
    this.destination = destination;
    this.serverPort = serverPort;
    destination.bind(!ACTIVE.has(this.state), false);
  }

  setState(state: SessionState): void {
    const inactive = !ACTIVE.has(state);
    if (inactive !== !ACTIVE.has(this.state)) this.destination.setInactive(inactive);
    this.state = state;
  }

  /** Called once, when the conversation is over. */
  release(): void {
    this.destination.unbind(!ACTIVE.has(this.state), false);
    if (this.membership !== null) this.membership.members--;
  }

  status(timeoutMs: number, nowMs: number): ConnectionStatus {
    return {
      protocol: this.protocol,
      client: this.client,
      virtual: this.virtual,
      destination: { address: this.destination.address, port: this.serverPort },
      ...this.#local(),
      state: this.state,
      expiresSeconds: Math.max(0, Math.floor((this.lastMs + timeoutMs - nowMs) / 1_000)),
      template: false,
      origin: 'LOCAL',
    };
  }

  #local(): { local?: Endpoint } {
    const { localAddress: address, localPort: port } = this.server ?? {};
    return address === undefined || port === undefined ? {} : { local: { address, port } };
  }
}

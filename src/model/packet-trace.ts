/**
 * What became of one packet and why, as plain data: the facts of the seven steps, and the bytes before and after.
 * The engine collects it, for one packet at a time, when somebody asks (`rehearse`, `readTrace`).
 */
import type { ConnectionStatus, Endpoint } from './connection-status.ts';
import type { ForwardingMethod, TunnelSpec } from './forwarding.ts';
import type { AddressFamily, ServiceKey } from './service.ts';

export type TraceVerdict = 'pass' | 'drop' | 'transmit' | 'consume' | 'deliver';

/** Frames that left because of the packet. */
export interface TracedOutput {
  /** `packet`: the packet itself, rewritten or not; `own`: something the engine said because of it. */
  readonly kind: 'packet' | 'own';
  /** Name of the link, or `null`: it went to the host's own stack. */
  readonly link: string | null;
  /** The whole frame as hexadecimal digits, or its beginning when it is longer than was asked for. */
  readonly frame: string;
  /** Bytes of the whole frame. */
  readonly bytes: number;
}

/** One destination in a scheduler's eyes. */
export interface TracedCandidate {
  readonly server: Endpoint;
  readonly weight: number;
  readonly active: number;
  readonly inactive: number;
  /** The arithmetic: `(3*256+10)/1 = 778`. */
  readonly sum: string | null;
  /** Why it was passed by. */
  readonly passedBy: string | null;
}

export interface TracedChoice {
  readonly scheduler: string;
  readonly rule: string;
  readonly steps: readonly string[];
  readonly candidates: readonly TracedCandidate[];
  readonly chosen: Endpoint | null;
}

export interface TracedService {
  readonly key: ServiceKey;
  readonly scheduler: string;
  readonly persistenceTimeoutSeconds: number | null;
  readonly onePacket: boolean;
  /** What about the packet was compared with the service. */
  readonly matchedBy: 'mark' | 'address and port' | 'address, any port' | 'ftp data';
}

export interface TracedTemplate {
  /** `replaced`: there was one, but its server cannot be used any more. */
  readonly how: 'found' | 'made' | 'replaced';
  readonly client: string;
  readonly server: Endpoint;
  readonly expiresSeconds: number;
}

export interface TracedConnection {
  readonly direction: 'inbound' | 'outbound';
  /** It was made for this packet. */
  readonly isNew: boolean;
  /** An ICMP error about the connection, not a packet of it. */
  readonly isError: boolean;
  readonly method: ForwardingMethod;
  readonly fullNat: boolean;
  readonly tunnel: TunnelSpec | null;
  readonly stateBefore: string;
  /** Seconds that were left before the packet; `null` for a new connection. */
  readonly secondsBefore: number | null;
  /** After the packet. */
  readonly after: ConnectionStatus;
  /** What the timer was set to. */
  readonly timeoutSeconds: number;
}

/** How the next hop was found. */
export interface TracedEgress {
  readonly link: string;
  readonly nextHop: string;
  /** The next hop is a router, not the destination itself. */
  readonly byGateway: boolean;
  readonly mtu: number;
  /** `null`: its MAC is not known yet, and it was asked for. */
  readonly mac: string | null;
  readonly permanent: boolean;
}

export interface PacketTrace {
  /** The engine's own clock. */
  readonly timeMs: number;
  /** Link it came in by. */
  readonly link: string;
  /** Firewall mark, 0: none; and whether a rule of ours gave it. */
  readonly mark: number;
  readonly markedByRule: boolean;
  /** The frame as it came: hexadecimal digits, perhaps only its beginning; and the bytes of all of it. */
  readonly frame: string;
  readonly bytes: number;
  /** Payload bytes of each segment of a super-frame, 0: an ordinary one. */
  readonly segmentBytes: number;
  readonly partialChecksum: boolean;
  /** `null`: no IP packet, or one that could not be read. */
  readonly family: AddressFamily | null;
  /** IP protocol number. */
  readonly protocol: number;
  readonly source: Endpoint | null;
  readonly destination: Endpoint | null;
  readonly verdict: TraceVerdict;
  /** Name of the reason, `none` where the verdict speaks for itself; and its explanation. */
  readonly reason: string;
  readonly why: string;
  /** The destination address is one of some service. */
  readonly toServiceAddress: boolean;
  readonly service: TracedService | null;
  readonly template: TracedTemplate | null;
  readonly choice: TracedChoice | null;
  readonly connection: TracedConnection | null;
  readonly egress: TracedEgress | null;
  /** What else happened on the way, in words. */
  readonly remarks: readonly string[];
  readonly outputs: readonly TracedOutput[];
}

/** What `rehearse` takes: an IP packet, or a whole frame where there is no IP. */
export interface RehearsedPacket {
  /** From the IP header on, hexadecimal digits. */
  readonly packet?: string;
  /** From the Ethernet header on. */
  readonly frame?: string;
  /** Link it comes in by; absent: the one that the route to its source names. */
  readonly link?: string;
  readonly mark?: number;
}

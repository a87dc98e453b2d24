/**
 * The books of the proxy: its conversations, their time limits, and what is counted. A "packet" is what one read
 * brought, bytes are those of the payload: a proxy sees neither packets nor headers.
 */
import type { Destination } from '../src/balance/destination.ts';
import type { ServiceTable } from '../src/balance/service-table.ts';
import type { Page } from '../src/model/commands.ts';
import type { ConnectionStatus } from '../src/model/connection-status.ts';
import { IpvsError } from '../src/model/errors.ts';
import { CONNECTION_PAGE_MAX } from '../src/model/limits.ts';
import type { Timeouts } from '../src/model/settings.ts';
import type { Session, SessionState } from './session.ts';
import type { Templates } from './templates.ts';

/** States whose timeout is fixed, in milliseconds: the kernel's. */
const FIXED_TIMEOUT_MS: Readonly<Partial<Record<SessionState, number>>> = { SYN_RECV: 60_000, CLOSE_WAIT: 60_000 };

/** Why something was not carried; `uipvs status` shows how often. */
export type DropReason =
  | 'no-destination'
  | 'no-server-answers'
  | 'table-full'
  | 'idle'
  | 'bad-proxy-header'
  | 'untrusted-front'
  | 'out-of-sockets'
  | 'datagram-not-sent';

export class Books {
  timeouts: Timeouts;
  readonly sessionsMax: number;
  readonly drops: Partial<Record<DropReason, number>> = {};
  /** In order of their serials. */
  readonly #sessions = new Set<Session>();
  readonly #table: ServiceTable;
  #serials = 0;

  constructor(table: ServiceTable, timeouts: Timeouts, sessionsMax: number) {
    this.#table = table;
    this.timeouts = timeouts;
    this.sessionsMax = sessionsMax;
  }

  get count(): number {
    return this.#sessions.size;
  }

  get full(): boolean {
    return this.#sessions.size >= this.sessionsMax;
  }

  nextSerial(): number {
    return this.#serials++;
  }

  drop(reason: DropReason): void {
    this.drops[reason] = (this.drops[reason] ?? 0) + 1;
  }

  add(session: Session): void {
    this.#sessions.add(session);
  }

  remove(session: Session): void {
    if (this.#sessions.delete(session)) session.release();
  }

  /** A conversation has found its server. Nothing counts for servers that were deleted meanwhile, as in IPVS. */
  countConnection({ destination }: Session): void {
    if (!destination.available) return;
    destination.counters.countConnection();
    destination.service.counters.countConnection();
    this.#table.totals.countConnection();
  }

  countIn(destination: Destination, bytes: number): void {
    if (!destination.available) return;
    destination.counters.countIn(bytes);
    destination.service.counters.countIn(bytes);
    this.#table.totals.countIn(bytes);
  }

  countOut(destination: Destination, bytes: number): void {
    if (!destination.available) return;
    destination.counters.countOut(bytes);
    destination.service.counters.countOut(bytes);
    this.#table.totals.countOut(bytes);
  }

  /** Ends conversations in which nobody has said anything for too long. */
  advance(nowMs: number): void {
    for (const session of this.#sessions) {
      if (nowMs - session.lastMs < this.timeoutMs(session)) continue;
      this.drop('idle');
      session.end('idle');
    }
  }

  /** With expire_nodest_conn: conversations whose server was deleted end now. */
  endWithoutDestination(): void {
    for (const session of this.#sessions) if (!session.destination.available) session.end('no-destination');
  }

  endAll(): void {
    for (const session of [...this.#sessions]) session.end('closed');
  }

  timeoutMs({ state }: Session): number {
    const fixed = FIXED_TIMEOUT_MS[state];
    if (fixed !== undefined) return fixed;
    const { tcpSeconds, tcpFinSeconds, udpSeconds } = this.timeouts;
    if (state === 'UDP') return udpSeconds * 1_000;
    return (state === 'FIN_WAIT' ? tcpFinSeconds : tcpSeconds) * 1_000;
  }

  /** Conversations, then templates. The cursor is the serial of the last one shown, or `t` and a place. */
  list(templates: Templates, nowMs: number, cursor?: string, limit?: number): Page<ConnectionStatus> {
    const match = /^(?:(\d{1,15})|t(\d{1,15}))$/.exec(cursor ?? '0');
    if (match === null) throw new IpvsError('EINVAL', `cursor ${cursor} is not one this table gave`);
    const wanted = Math.min(limit ?? CONNECTION_PAGE_MAX, CONNECTION_PAGE_MAX);
    if (!(wanted >= 1)) throw new IpvsError('EINVAL', 'limit must be at least 1');
    const items: ConnectionStatus[] = [];
    if (match[1] !== undefined) {
      const first = Number(match[1]);
      for (const session of this.#sessions) {
        if (session.serial < first) continue;
        if (items.length === wanted) return { items, next: String(session.serial) };
        items.push(session.status(this.timeoutMs(session), nowMs));
      }
    }
    const place = Number(match[2] ?? 0);
    const rest = templates.list(nowMs).slice(place);
    const taken = rest.slice(0, wanted - items.length);
    items.push(...taken);
    return { items, next: taken.length < rest.length ? `t${place + taken.length}` : null };
  }
}

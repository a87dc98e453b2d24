/**
 * Defences against floods: dropping packets of new connections, dropping random entries, the stricter TCP table.
 * Behaviour: Documentation/networking/ipvs-sysctl.rst, drop_entry, drop_packet and secure_tcp. The automatic modes
 * (1, 2) follow the free memory of the host; the engine's memory is taken beforehand, so there is always enough.
 */
import type { Settings } from '../model/settings.ts';
import { PROTOCOL_SCTP, PROTOCOL_TCP } from '../wire/ipv4.ts';
import {
  CONTROLLED,
  CONTROLLER,
  ConnectionFlag,
  EXPIRES_TICK,
  FLAGS,
  KIND,
  NEXT,
  NO_ROW,
  PACKETS,
  ROW_SHIFT,
  STATE,
  TEMPLATE_ASSURED,
  TIMEOUT_TICKS,
} from './connection.ts';
import type { EngineContext } from './context.ts';
import { dropConnection } from './lifetime.ts';
import { SCTP_ESTABLISHED } from './protocols/sctp-states.ts';
import {
  TCP_ESTABLISHED,
  TCP_NORMAL_TABLE,
  TCP_SECURE_TABLE,
  TCP_SYN_RECV,
  TCP_SYNACK,
} from './protocols/tcp-states.ts';

const ALWAYS = 3;
const AUTOMATIC_ON = 2;
const AUTOMATIC_OFF = 1;
/** One bucket of so many is looked at every second, and so many of them in one turn. */
const BUCKETS_SHARE = 32;
const BUCKETS_PER_TURN = 4096;
const IDLE_TICKS = 60 * 250;
const PACKETS_MAX = 8;
const SCTP_INIT1 = 1;
const SCTP_INIT = 2;

export class Defences {
  #rate = 0;
  #counter = 0;
  #dropsEntries = false;
  /** Buckets of this second that are still to be looked at. */
  #bucketsLeft = 0;
  /** How many entries with 1..8 packets are spared before one goes. */
  readonly #patience = new Int32Array(PACKETS_MAX + 1);

  /** Looks at the settings again: after one was written, and once a second. */
  update(context: EngineContext): void {
    const { settings } = context;
    for (const name of ['drop_entry', 'drop_packet', 'secure_tcp'] as const) relax(settings, name);
    this.#rate = settings.drop_packet === ALWAYS ? settings.am_droprate : 0;
    this.#dropsEntries = settings.drop_entry === ALWAYS;
    context.tcpTable = settings.secure_tcp === ALWAYS ? TCP_SECURE_TABLE : TCP_NORMAL_TABLE;
  }

  /** Takes over how far another is on its way to the next packet that is dropped. */
  copyFrom(other: Defences): void {
    this.#rate = other.#rate;
    this.#counter = other.#counter;
  }

  /** Asked for every packet that would make a connection: true for one of `am_droprate`. */
  dropsPacket(): boolean {
    if (this.#rate === 0) return false;
    this.#counter--;
    if (this.#counter > 0) return false;
    this.#counter = this.#rate;
    return true;
  }

  /** Once a second. */
  beginDropping({ connections }: EngineContext): void {
    this.#bucketsLeft = this.#dropsEntries ? Math.ceil(connections.bucketCount / BUCKETS_SHARE) : 0;
  }

  /** Some of this second's work; returns whether all is done. */
  dropEntries(context: EngineContext): boolean {
    const { connections } = context;
    const buckets = Math.min(this.#bucketsLeft, BUCKETS_PER_TURN);
    this.#bucketsLeft -= buckets;
    for (let i = 0; i < buckets; i++) {
      let row = connections.firstInBucket(context.random.below(connections.bucketCount));
      while (row !== NO_ROW) {
        const next = connections.rows[(row << ROW_SHIFT) + NEXT] as number;
        const controller = connections.rows[(row << ROW_SHIFT) + CONTROLLER] as number;
        if (this.#isExpendable(context, row)) dropConnection(context, row);
        // Its template may have gone with it, and that may have been the next in this bucket.
        if (next !== NO_ROW && (next === controller || !connections.isUsed(next))) break;
        row = next;
      }
    }
    return this.#bucketsLeft === 0;
  }

  #isExpendable(context: EngineContext, row: number): boolean {
    const { rows } = context.connections;
    const base = row << ROW_SHIFT;
    if ((rows[base + CONTROLLED] as number) > 0) return false;
    const state = rows[base + STATE] as number;
    const flags = rows[base + FLAGS] as number;
    if ((flags & ConnectionFlag.TEMPLATE) !== 0) return (state & TEMPLATE_ASSURED) === 0;
    const protocol = (rows[base + KIND] as number) & 0xff;
    if (protocol === PROTOCOL_TCP) {
      if (state === TCP_SYN_RECV || state === TCP_SYNACK) return true;
      return state === TCP_ESTABLISHED && this.#isIdle(context, base);
    }
    if (protocol === PROTOCOL_SCTP) {
      if (state === SCTP_INIT1 || state === SCTP_INIT) return true;
      return state === SCTP_ESTABLISHED && this.#isIdle(context, base);
    }
    return this.#isIdle(context, base);
  }

  /** Silent for a minute after few packets, and enough of its like were spared. */
  #isIdle(context: EngineContext, base: number): boolean {
    const { rows } = context.connections;
    const left = ((rows[base + EXPIRES_TICK] as number) - context.nowTick) | 0;
    if ((rows[base + TIMEOUT_TICKS] as number) - left < IDLE_TICKS) return false;
    const packets = rows[base + PACKETS] as number;
    if (packets <= 0 || packets > PACKETS_MAX) return false;
    const patience = (this.#patience[packets] as number) - 1;
    this.#patience[packets] = patience > 0 ? patience : packets;
    return patience <= 0;
  }
}

/** There is memory enough: an automatic defence that was told to be on goes off. */
function relax(settings: Settings, name: 'drop_entry' | 'drop_packet' | 'secure_tcp'): void {
  if (settings[name] === AUTOMATIC_ON) settings[name] = AUTOMATIC_OFF;
}

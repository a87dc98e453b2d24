/**
 * Every way in which a recording is compared loosely. Each names what the recordings' own description calls not
 * deterministic; nothing else is forgiven. Whoever forgives something says so with `Leniency.use`, so the report can
 * tell which tolerances a case needed.
 */
export interface Tolerance {
  /** What is allowed to differ, how far, and where. */
  readonly allows: string;
  /** Why a correct implementation cannot be held to it. */
  readonly because: string;
}

export const TOLERANCES = {
  'own-help-text': {
    allows: 'the lines of `ipvsadm -h` behind the first, which must be there',
    because:
      'the help is a text of its authors, and ours is written by us; scripts read its stream, its status and its first ' +
      'line, which says the version, and those must be equal',
  },
  'one-second': {
    allows: 'the remaining time of a listed connection is one second more or less',
    because: 'listed times are whole seconds cut off, and a recorded command takes some milliseconds',
  },
  'overdue-entries': {
    allows: 'an entry with 0 seconds left is listed by one side only, for 20 seconds at most',
    because:
      "the kernel's timers fire late, by up to 16.4 s, and what it expires at once stays listed until the next tick; " +
      'until then an entry is shown with 0 seconds',
  },
  'connections-as-a-set': {
    allows: 'the rows of `ipvsadm -Lc`, ip_vs_conn and ip_vs_conn_sync come in another order',
    because: 'they are listed in the order of a hash table with a random seed per boot',
  },
  'services-as-a-set': {
    allows: 'the services of `ipvsadm --nosort` and /proc/net/ip_vs come in another order; the servers of each do not',
    because: 'they are listed by hash bucket, and the numbers of the buckets are permuted at random per namespace',
  },
  'estimator-phase': {
    allows:
      'the timer of the estimator runs -16 to +20 ms from 2.016 k s after the making of the namespace, all through a case',
    because: 'a case notes when its namespace was made, but not the tick at which the timer was started',
  },
  'timer-wheel-phase': {
    allows: "the director's tick counter has another value at the start of a case",
    because:
      'how late a timer fires depends on the tick counter (a long timer fires at a multiple of 8, 64, 512 or 4096 ' +
      'ticks), and the recordings do not hold it',
  },
  'own-ip-id': {
    allows:
      'the IP id of an ICMPv4 error or sync message that the director makes, and of an outer IPv4 header without DF; ' +
      'fragments of one packet have one id, and the header checksum fits',
    because: 'the kernel takes these ids from a random generator; with DF they are 0 and compare',
  },
  'own-flow-label': {
    allows: 'the flow label of an ICMPv6 error or sync message that the director makes',
    because: 'the kernel makes it of a hash with a random seed',
  },
  'own-fragment-id': {
    allows: 'the identification of IPv6 fragments that the director makes; fragments of one packet have one',
    because: 'it is random per boot',
  },
  'gue-source-port': {
    allows: 'the source port of the outer UDP header of GUE, any ephemeral port, one per flow; its checksum fits',
    because: 'it is a hash of the flow with a random seed',
  },
  'sync-source-port': {
    allows: 'the source port of sync messages, one for each daemon and group port; the UDP checksum fits',
    because: 'it is an ephemeral port of the host',
  },
  'masquerade-source-port': {
    allows: 'the source port of a packet that MASQUERADE rewrote, where it is not the old one; the same all through',
    because: 'when the old port is taken the host picks one at random',
  },
  'sync-ports': {
    allows: 'with several sync ports the messages are compared as the set of connections that all ports sent',
    because: 'the port of a connection depends on its address in memory',
  },
  'sync-time': {
    allows: 'a sync message leaves up to 1.1 s earlier or later within a wait',
    because: 'the thread that sends looks once a second, in a phase of its own',
  },
  'filled-options': {
    allows: 'addresses and times in the IP options record route and timestamp; the header checksum fits',
    because: 'the host fills them in before or after IPVS, with its time of day',
  },
  'first-path-mtu': {
    allows: 'the MTU in the first ICMP error about a tunnel packet that is passed on to a client, per server',
    because: "the kernel reads it from a route cache that does not know the error's value yet",
  },
  'queue-length': {
    allows: 'the default of sync_qlen_max',
    because: "it depends on the machine's memory",
  },
  'long-row': {
    allows:
      'after an entry of `ipvsadm -Lc` with engine data beyond 255 characters the recorded bogus row is missing and ' +
      'its data is whole; for IPv6 the recorded crash is missing',
    because: 'the recorded ipvsadm reads its source in pieces of 255 characters, a flaw that is not copied',
  },
  'missing-scheduler': {
    allows: 'the played director refuses the scheduler twos as unknown, although the product has it',
    because: "the recorded kernel (Debian's 6.1) was built without it",
  },
  'loaded-helpers': {
    allows: 'the FTP helper is listed in ip_vs_app only in cases whose first look at that file shows it',
    because: 'it is a module; whether it was loaded is a fact of the recording machine that `env` does not hold',
  },
} as const satisfies Record<string, Tolerance>;

export type ToleranceName = keyof typeof TOLERANCES;

/** What was forgiven in one case, and what has to stay the same all through it. */
export class Leniency {
  readonly used = new Set<ToleranceName>();
  readonly #remembered = new Map<string, string>();

  /** Notes that a tolerance was needed. */
  use(name: ToleranceName): void {
    this.used.add(name);
  }

  /** Whether two random values went together so far, each with no other, under `key`. */
  isPair(key: string, kernel: string | number, ours: string | number): boolean {
    return this.isConstant(`${key} kernel ${kernel}`, `${ours}`) && this.isConstant(`${key} ours ${ours}`, `${kernel}`);
  }

  /** Seconds since this was asked for `key` the first time. */
  secondsSince(key: string, nowSeconds: number): number {
    const first = this.#remembered.get(key);
    if (first === undefined) this.#remembered.set(key, String(nowSeconds));
    return first === undefined ? 0 : nowSeconds - Number(first);
  }

  remember(key: string, value: string): void {
    this.#remembered.set(key, value);
  }

  forget(key: string): void {
    this.#remembered.delete(key);
  }

  /** Whether `value` is what was remembered for `key`, or nothing was: then it is remembered from now on. */
  isConstant(key: string, value: string): boolean {
    const before = this.#remembered.get(key);
    if (before === undefined) this.#remembered.set(key, value);
    return before === undefined || before === value;
  }
}

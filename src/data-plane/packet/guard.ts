/**
 * The guard: an nftables table that keeps the host's own stack quiet about what the engine serves. The hook is
 * netdev ingress, which comes after the taps the engine reads from and before the stack, so the engine sees
 * every frame and the stack only those nobody else answers for. The rules are those of `../guard-entries.ts`.
 *
 * The table belongs to the watchdog's `nft -i` (flag `owner`, Linux 5.12 and nft 0.9.9): others cannot flush it
 * by accident, and it goes when its owner goes. Older hosts get a plain table.
 */
import { IpvsError } from '../../model/errors.ts';
import { type GuardEntry, GuardLedger, type GuardSet } from '../guard-entries.ts';
import { GUARD_TABLE, type Watchdog } from './watchdog.ts';

/** Before the host's own netdev chains: what the guard holds back they need not see. */
const PRIORITY = -500;
/** Elements on one line: one transaction, and a line a person can still read in an error. */
const ELEMENTS_PER_LINE = 1_000;

const TABLE = `netdev ${GUARD_TABLE}`;

const SETS: Readonly<Record<GuardSet | 'local_addresses' | 'local_ports', string>> = {
  services: 'type ipv4_addr . inet_proto . inet_service;',
  services_any_port: 'type ipv4_addr . inet_proto;',
  servers: 'type ipv4_addr . inet_proto . inet_service;',
  servers_any_port: 'type ipv4_addr . inet_proto;',
  icmp_errors: 'type icmp_type;',
  local_addresses: 'type ipv4_addr; flags interval;',
  local_ports: 'type inet_service; flags interval;',
};

/**
 * `th` is the transport header. Frames of a VLAN are judged on the VLAN's own link: dropped on the link below
 * they would never reach it.
 */
const JUDGE_RULES = [
  'ether type { 8021q, 8021ad } return',
  'meta protocol != ip return',
  'ip frag-off & 0x3fff != 0 return',
  'icmp type @icmp_errors drop',
  'ip protocol != { 6, 17, 132 } return',
  'ip daddr . ip protocol . th dport @services drop',
  'ip daddr . ip protocol @services_any_port drop',
  'ip daddr @local_addresses th dport @local_ports return',
  'ip saddr . ip protocol . th sport @servers drop',
  'ip saddr . ip protocol @servers_any_port drop',
];

export interface GuardedLink {
  readonly index: number;
  readonly name: string;
}

export interface GuardSurroundingsSpec {
  /** IPv4 prefixes that are this host's own: `127.0.0.0/8`, `192.0.2.1/32`. */
  readonly localPrefixes: readonly string[];
  readonly localPortRange: readonly [low: number, high: number];
}

interface Change {
  readonly verb: 'add' | 'delete';
  readonly entry: GuardEntry;
}

/** What the data plane asks of its guard. */
export interface Guard {
  /** Resolves when all of them are in force. Rejects with an IpvsError; then none of them is held. */
  hold(entries: readonly GuardEntry[]): Promise<void>;
  release(entries: readonly GuardEntry[]): Promise<void>;
  /** The links to guard from now on. Returns those that could not be, with nft's reason. */
  serve(links: readonly GuardedLink[]): Promise<readonly { readonly name: string; readonly reason: string }[]>;
  setSurroundings(surroundings: GuardSurroundingsSpec): Promise<void>;
  /** Writes everything anew when the table is gone. Returns whether it had to. */
  check(): Promise<boolean>;
  /** Goes on with another watchdog, with everything that is held. */
  moveTo(watchdog: Watchdog): Promise<void>;
}

/** For hosts whose operator keeps the stack quiet by other means. */
export const NO_GUARD: Guard = {
  hold: async () => {},
  release: async () => {},
  serve: async () => [],
  setSurroundings: async () => {},
  check: async () => false,
  moveTo: async () => {},
};

export class NftGuard implements Guard {
  #watchdog: Watchdog;
  readonly #ledger = new GuardLedger();
  #queue: Change[] = [];
  /** The flush that will carry what is queued, and the one that began last. */
  #flush: Promise<void> | null = null;
  #lastFlush: Promise<void> = Promise.resolve();
  #running: Promise<void> = Promise.resolve();
  readonly #chains = new Map<number, { readonly name: string; readonly chain: string }>();
  #chainNumber = 0;
  #surroundings: GuardSurroundingsSpec = { localPrefixes: [], localPortRange: [32_768, 60_999] };

  private constructor(watchdog: Watchdog) {
    this.#watchdog = watchdog;
  }

  /** Throws an IpvsError when the table cannot be made. */
  static async create(watchdog: Watchdog): Promise<NftGuard> {
    const guard = new NftGuard(watchdog);
    await guard.#build();
    return guard;
  }

  async hold(entries: readonly GuardEntry[]): Promise<void> {
    this.#enqueue('add', this.#ledger.hold(entries));
    try {
      await this.#inForce();
    } catch (error) {
      this.#enqueue('delete', this.#ledger.release(entries));
      throw error;
    }
  }

  release(entries: readonly GuardEntry[]): Promise<void> {
    this.#enqueue('delete', this.#ledger.release(entries));
    return this.#inForce();
  }

  serve(links: readonly GuardedLink[]): Promise<readonly { readonly name: string; readonly reason: string }[]> {
    return this.#inTurn(async () => {
      const failed: { name: string; reason: string }[] = [];
      const wanted = new Set(links.map((link) => link.index));
      for (const link of links) {
        const before = this.#chains.get(link.index);
        if (before?.name === link.name) continue;
        // A renamed link gets its new chain before it loses the old one.
        const reason = await this.#addChain(link);
        if (reason !== null) failed.push({ name: link.name, reason });
        else if (before !== undefined) this.#watchdog.say(deleteChain(before.chain));
      }
      for (const [index, { chain }] of this.#chains) {
        if (wanted.has(index)) continue;
        this.#watchdog.say(deleteChain(chain));
        this.#chains.delete(index);
      }
      // Some kernels remove a chain together with its link, so these deletions may have nothing to delete.
      await this.#watchdog.mark();
      return failed;
    });
  }

  setSurroundings(surroundings: GuardSurroundingsSpec): Promise<void> {
    return this.#inTurn(async () => {
      this.#surroundings = surroundings;
      this.#watchdog.say(surroundingsLines(surroundings));
      orThrow(await this.#watchdog.mark());
    });
  }

  check(): Promise<boolean> {
    return this.#inTurn(async () => {
      // Adding what is there changes nothing; it fails when the table is gone.
      this.#watchdog.say(`add chain ${TABLE} judge\n`);
      if ((await this.#watchdog.mark()).length === 0) return false;
      await this.#rebuild();
      return true;
    });
  }

  moveTo(watchdog: Watchdog): Promise<void> {
    this.#watchdog = watchdog;
    return this.#inTurn(() => this.#rebuild());
  }

  #enqueue(verb: Change['verb'], entries: readonly GuardEntry[]): void {
    for (const entry of entries) this.#queue.push({ verb, entry });
  }

  /** One flush takes all that was queued while the one before it ran. */
  #inForce(): Promise<void> {
    if (this.#queue.length > 0 && this.#flush === null) {
      const flush = this.#inTurn(async () => {
        const changes = this.#queue;
        this.#queue = [];
        this.#flush = null;
        this.#lastFlush = flush;
        this.#watchdog.say(changeLines(changes));
        // A change that does not fit the table means that somebody else was at it.
        if ((await this.#watchdog.mark()).length > 0) await this.#rebuild();
      });
      this.#flush = flush;
    }
    return this.#flush ?? this.#lastFlush;
  }

  /** One conversation with nft after the other. The result fails alone; the next turn begins anyway. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#running.then(work);
    this.#running = result.then(
      () => {},
      () => {},
    );
    return result;
  }

  async #build(): Promise<void> {
    this.#watchdog.say(`add table ${TABLE} { flags owner; }\n`);
    if ((await this.#watchdog.mark()).length > 0) {
      this.#watchdog.say(`add table ${TABLE}\n`);
      orThrow(await this.#watchdog.mark());
    }
    this.#watchdog.say(tableLines());
    this.#watchdog.say(surroundingsLines(this.#surroundings));
    this.#watchdog.say(changeLines(this.#ledger.entries().map((entry) => ({ verb: 'add', entry }))));
    orThrow(await this.#watchdog.mark());
  }

  /** From nothing to everything held; whatever was queued is in the ledger already. */
  async #rebuild(): Promise<void> {
    this.#queue = [];
    this.#watchdog.say(`delete table ${TABLE}\n`);
    await this.#watchdog.mark();
    await this.#build();
    const links = [...this.#chains].map(([index, { name }]) => ({ index, name }));
    this.#chains.clear();
    for (const link of links) await this.#addChain(link);
    this.#lastFlush = Promise.resolve();
  }

  /** A chain per link: links come and go one by one. Returns nft's complaint, or `null`. */
  async #addChain({ index, name }: GuardedLink): Promise<string | null> {
    if (!/^[^"\\\s]+$/.test(name)) return 'its name cannot be written in a rule';
    this.#chainNumber += 1;
    const chain = `link_${index}_${this.#chainNumber}`;
    const hook = `type filter hook ingress device "${name}" priority ${PRIORITY}; policy accept;`;
    this.#watchdog.say(`add chain ${TABLE} ${chain} { ${hook} }; add rule ${TABLE} ${chain} jump judge\n`);
    const complaints = await this.#watchdog.mark();
    if (complaints.length > 0) return complaints[0] as string;
    this.#chains.set(index, { name, chain });
    return null;
  }
}

function orThrow(complaints: readonly string[]): void {
  if (complaints.length === 0) return;
  throw new IpvsError('EIO', `the guard (nft) could not be set up: ${complaints[0]}`);
}

function tableLines(): string {
  return [
    ...Object.entries(SETS).map(([set, definition]) => `add set ${TABLE} ${set} { ${definition} }`),
    `add element ${TABLE} local_addresses { 127.0.0.0/8 }`,
    `add chain ${TABLE} judge`,
    ...JUDGE_RULES.map((rule) => `add rule ${TABLE} judge ${rule}`),
    '',
  ].join('\n');
}

function deleteChain(chain: string): string {
  return `flush chain ${TABLE} ${chain}; delete chain ${TABLE} ${chain}\n`;
}

/** Each set changes in one transaction, so there is no moment at which it is empty. */
function surroundingsLines({ localPrefixes, localPortRange: [low, high] }: GuardSurroundingsSpec): string {
  const prefixes = withoutCovered(['127.0.0.0/8', ...localPrefixes]);
  return [
    `flush set ${TABLE} local_addresses; add element ${TABLE} local_addresses { ${prefixes.join(', ')} }`,
    `flush set ${TABLE} local_ports; add element ${TABLE} local_ports { ${low}-${high} }`,
    '',
  ].join('\n');
}

/** Neighbouring changes of the same kind to the same set share lines. */
export function changeLines(changes: readonly Change[]): string {
  const lines: string[] = [];
  let group: string[] = [];
  let head = '';
  const close = () => {
    for (let at = 0; at < group.length; at += ELEMENTS_PER_LINE) {
      lines.push(`${head} { ${group.slice(at, at + ELEMENTS_PER_LINE).join(', ')} }\n`);
    }
    group = [];
  };
  // Sets are independent of each other, so only the order within one set must stay.
  for (const set of Object.keys(SETS)) {
    for (const { verb, entry } of changes) {
      if (entry.set !== set) continue;
      const next = `${verb} element ${TABLE} ${set}`;
      if (next !== head) close();
      head = next;
      group.push(entry.element);
    }
    close();
    head = '';
  }
  return lines.join('');
}

/** nft refuses intervals that overlap: drops every IPv4 prefix that lies within another, and repetitions. */
export function withoutCovered(prefixes: readonly string[]): string[] {
  const parsed = prefixes.map((text) => {
    const [address, length] = text.split('/') as [string, string | undefined];
    const size = 2 ** (32 - (length === undefined ? 32 : Number(length)));
    const value = address.split('.').reduce((sum, byte) => sum * 256 + Number(byte), 0);
    return { text, first: Math.floor(value / size) * size, size };
  });
  parsed.sort((a, b) => a.first - b.first || b.size - a.size);
  let coveredTo = 0;
  return parsed
    .filter(({ first, size }) => {
      if (first < coveredTo) return false;
      coveredTo = first + size;
      return true;
    })
    .map(({ text }) => text);
}

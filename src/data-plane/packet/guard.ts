/**
 * The guard: an nftables table that keeps the host's own stack quiet about what the engine serves. The hook is
 * netdev ingress, which comes after the taps the engine reads from and before the stack, so the engine sees
 * every frame and the stack only those nobody else answers for. The rules are those of `../guard-entries.ts`.
 *
 * The table belongs to the watchdog's `nft -i` (flag `owner`, Linux 5.12 and nft 0.9.9): others cannot flush it
 * by accident, and it goes when its owner goes. Older hosts get a plain table.
 */
import { IpvsError } from '../../model/errors.ts';
import { type Prefix, parseAddress, parsePrefix } from '../../wire/address.ts';
import {
  FTP_DATA_PORTS,
  type GuardChain,
  type GuardEntry,
  GuardLedger,
  type GuardSet,
  PROTOCOL_NUMBERS,
} from '../guard-entries.ts';
import { linkRules, outRules, type SteeredLink, takeRules } from './steering.ts';
import { TAP_NEAR_NAME } from './tap-link.ts';
import { GUARD_TABLE, type Watchdog } from './watchdog.ts';

/** Before the host's own netdev chains: what the guard holds back they need not see. */
const PRIORITY = -500;
/** Elements on one line: one transaction, and a line a person can still read in an error. */
const ELEMENTS_PER_LINE = 1_000;

const TABLE = `netdev ${GUARD_TABLE}`;

/** `#` stands for `ipv4_addr` in the sets of IPv4 and for `ipv6_addr` in those of IPv6. */
const FAMILY_SETS = {
  services: 'type # . inet_proto . inet_service;',
  services_any_port: 'type # . inet_proto;',
  services_ftp: 'type #;',
  service_addresses: 'type #;',
  servers: 'type # . inet_proto . inet_service;',
  servers_any_port: 'type # . inet_proto;',
  server_addresses: 'type #;',
  local_addresses: 'type #; flags interval;',
} as const;

type FamilySet = keyof typeof FAMILY_SETS;

const SETS = {
  ...(Object.fromEntries(
    Object.entries(FAMILY_SETS).flatMap(([set, definition]) => [
      [set, definition.replace('#', 'ipv4_addr')],
      [`${set}6`, definition.replace('#', 'ipv6_addr')],
    ]),
  ) as Record<FamilySet | `${FamilySet}6`, string>),
  icmp_errors: 'type icmp_type;',
  icmp_errors6: 'type icmpv6_type;',
  local_ports: 'type inet_service; flags interval;',
} satisfies Record<GuardSet | 'local_addresses' | 'local_addresses6' | 'local_ports', string>;

const MARKED_CHAINS: readonly GuardChain[] = ['marked', 'marked6', 'marked_fragments', 'marked_fragments6'];

/** What transport headers say, with `6` for IPv6. */
function endpointRules(ip: 'ip' | 'ip6', six: '' | '6'): readonly string[] {
  const protocols = Object.values(PROTOCOL_NUMBERS).join(', ');
  const ftpData = FTP_DATA_PORTS.map(([low, high]) => (low === high ? `${low}` : `${low}-${high}`)).join(', ');
  return [
    `jump marked${six}`,
    `meta l4proto != { ${protocols} } return`,
    `${ip} daddr . meta l4proto . th dport @services${six} drop`,
    `${ip} daddr . meta l4proto @services_any_port${six} drop`,
    `meta l4proto ${PROTOCOL_NUMBERS.tcp} ${ip} daddr @services_ftp${six} th dport { ${ftpData} } drop`,
    `${ip} daddr @local_addresses${six} th dport @local_ports return`,
    `${ip} saddr . meta l4proto . th sport @servers${six} drop`,
    `${ip} saddr . meta l4proto @servers_any_port${six} drop`,
  ];
}

function fragmentRules(ip: 'ip' | 'ip6', six: '' | '6'): readonly string[] {
  return [
    `${ip} daddr @service_addresses${six} drop`,
    `${ip} saddr @server_addresses${six} drop`,
    `jump marked_fragments${six}`,
  ];
}

/**
 * `th` is the transport header, behind whatever extension headers. Frames of a VLAN are judged on the VLAN's own link:
 * dropped on the link below they would never reach it. Chains stand behind those they jump to.
 */
const CHAINS: Readonly<Record<string, readonly string[]>> = {
  ...Object.fromEntries(MARKED_CHAINS.map((chain) => [chain, []])),
  fragments: fragmentRules('ip', ''),
  fragments6: fragmentRules('ip6', '6'),
  judge6: [
    'ip6 daddr { fe80::/10, ff02::/16 } return',
    'exthdr frag exists goto fragments6',
    'icmpv6 type @icmp_errors6 drop',
    'icmpv6 type 133-137 return',
    ...endpointRules('ip6', '6'),
  ],
  judge: [
    'ether type { 8021q, 8021ad } return',
    'meta pkttype != host return',
    'meta protocol ip6 goto judge6',
    'meta protocol != ip return',
    'ip frag-off & 0x3fff != 0 goto fragments',
    'icmp type @icmp_errors drop',
    ...endpointRules('ip', ''),
  ],
};

export type GuardedLink = SteeredLink;

/** What becomes of packets that are held back: they are dropped, or they go to the tap. */
export type GuardVerdict = 'drop' | 'steer';

export interface GuardSurroundingsSpec {
  /** Prefixes of both families that are this host's own: `127.0.0.0/8`, `192.0.2.1/32`, `fd00::1/128`. */
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
  /** As if the table were gone: the tap's link was, and its rules went with it. */
  renew(): Promise<void>;
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
  renew: async () => {},
  moveTo: async () => {},
};

export class NftGuard implements Guard {
  readonly #verdict: GuardVerdict;
  #watchdog: Watchdog;
  readonly #ledger = new GuardLedger();
  #queue: Change[] = [];
  /** The flush that will carry what is queued, and the one that began last. */
  #flush: Promise<void> | null = null;
  #lastFlush: Promise<void> = Promise.resolve();
  #running: Promise<void> = Promise.resolve();
  readonly #chains = new Map<number, { readonly link: GuardedLink; readonly chain: string }>();
  #chainNumber = 0;
  #surroundings: GuardSurroundingsSpec = { localPrefixes: [], localPortRange: [32_768, 60_999] };

  private constructor(watchdog: Watchdog, verdict: GuardVerdict) {
    this.#watchdog = watchdog;
    this.#verdict = verdict;
  }

  /** `steer`: the tap is there. Throws an IpvsError when the table cannot be made. */
  static async create(watchdog: Watchdog, verdict: GuardVerdict = 'drop'): Promise<NftGuard> {
    const guard = new NftGuard(watchdog, verdict);
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
        if (before !== undefined && isSameLink(before.link, link)) continue;
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
      this.#steer();
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

  renew(): Promise<void> {
    return this.#inTurn(() => this.#rebuild());
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
        this.#watchdog.say(chainLines(changes, this.#ledger.entries(), this.#verdict));
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
    this.#watchdog.say(tableLines(this.#verdict));
    this.#watchdog.say(surroundingsLines(this.#surroundings));
    const held: Change[] = this.#ledger.entries().map((entry) => ({ verb: 'add', entry }));
    this.#watchdog.say(changeLines(held));
    this.#watchdog.say(chainLines(held, this.#ledger.entries(), this.#verdict));
    orThrow(await this.#watchdog.mark());
  }

  /** From nothing to everything held; whatever was queued is in the ledger already. */
  async #rebuild(): Promise<void> {
    this.#queue = [];
    this.#watchdog.say(`delete table ${TABLE}\n`);
    await this.#watchdog.mark();
    await this.#build();
    const links = [...this.#chains.values()].map(({ link }) => link);
    this.#chains.clear();
    for (const link of links) await this.#addChain(link);
    this.#steer();
    orThrow(await this.#watchdog.mark());
    this.#lastFlush = Promise.resolve();
  }

  /** A chain per link: links come and go one by one. Returns nft's complaint, or `null`. */
  async #addChain(link: GuardedLink): Promise<string | null> {
    const { index, name } = link;
    if (!/^[^"\\\s]+$/.test(name)) return 'its name cannot be written in a rule';
    this.#chainNumber += 1;
    const chain = `link_${index}_${this.#chainNumber}`;
    const hook = `type filter hook ingress device "${name}" priority ${PRIORITY}; policy accept;`;
    const rules = [...(this.#verdict === 'steer' ? linkRules(link) : []), 'jump judge'];
    const added = rules.map((rule) => `; add rule ${TABLE} ${chain} ${rule}`).join('');
    this.#watchdog.say(`add chain ${TABLE} ${chain} { ${hook} }${added}\n`);
    const complaints = await this.#watchdog.mark();
    if (complaints.length > 0) return complaints[0] as string;
    this.#chains.set(index, { link, chain });
    return null;
  }

  /** Tells the tap's chains which links there are. */
  #steer(): void {
    if (this.#verdict === 'drop') return;
    const links = [...this.#chains.values()].map(({ link }) => link);
    this.#watchdog.say(chainAnew('take', takeRules(links)));
    this.#watchdog.say(chainAnew('tap_out', outRules(links)));
  }
}

function orThrow(complaints: readonly string[]): void {
  if (complaints.length === 0) return;
  throw new IpvsError('EIO', `the guard (nft) could not be set up: ${complaints[0]}`);
}

function tableLines(verdict: GuardVerdict): string {
  const hook = `type filter hook ingress device "${TAP_NEAR_NAME}" priority ${PRIORITY}; policy drop;`;
  return [
    ...Object.entries(SETS).map(([set, definition]) => `add set ${TABLE} ${set} { ${definition} }`),
    ...(verdict === 'steer' ? [`add chain ${TABLE} tap_out { ${hook} }`, `add chain ${TABLE} take`] : []),
    ...Object.entries(CHAINS).flatMap(([chain, rules]) => [
      `add chain ${TABLE} ${chain}`,
      ...rules.map((rule) => `add rule ${TABLE} ${chain} ${withVerdict(rule, verdict)}`),
    ]),
    '',
  ].join('\n');
}

function withVerdict(rule: string, verdict: GuardVerdict): string {
  return verdict === 'drop' ? rule : rule.replace(/ drop$/, ' goto take');
}

/** All rules of a chain in one transaction. */
function chainAnew(chain: string, rules: readonly string[]): string {
  return `${[`flush chain ${TABLE} ${chain}`, ...rules.map((rule) => `add rule ${TABLE} ${chain} ${rule}`)].join('; ')}\n`;
}

function isSameLink(a: GuardedLink, b: GuardedLink): boolean {
  return a.name === b.name && a.mac === b.mac;
}

function deleteChain(chain: string): string {
  return `flush chain ${TABLE} ${chain}; delete chain ${TABLE} ${chain}\n`;
}

/** Each set changes in one transaction, so there is no moment at which it is empty. */
function surroundingsLines({ localPrefixes, localPortRange: [low, high] }: GuardSurroundingsSpec): string {
  const own = withoutCovered(['127.0.0.0/8', '::1/128', ...localPrefixes]);
  const ipv4 = own.filter((prefix) => !prefix.includes(':'));
  const ipv6 = own.filter((prefix) => prefix.includes(':'));
  return [
    `flush set ${TABLE} local_addresses; add element ${TABLE} local_addresses { ${ipv4.join(', ')} }`,
    `flush set ${TABLE} local_addresses6; add element ${TABLE} local_addresses6 { ${ipv6.join(', ')} }`,
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

/** Chains in which anything changed are written anew, each in one transaction: rules have no names to delete them by. */
export function chainLines(
  changes: readonly Change[],
  held: readonly GuardEntry[],
  verdict: GuardVerdict = 'drop',
): string {
  const changed = new Set(changes.map(({ entry }) => entry.set));
  return MARKED_CHAINS.filter((chain) => changed.has(chain))
    .map((chain) => {
      const rules = held
        .filter(({ set }) => set === chain)
        .map(({ element }) => withVerdict(`${element} drop`, verdict));
      return chainAnew(chain, rules);
    })
    .join('');
}

/** nft refuses intervals that overlap: drops every prefix that lies within another, repetitions, and what is none. */
export function withoutCovered(prefixes: readonly string[]): string[] {
  const parsed = prefixes.flatMap((text) => {
    const prefix = readPrefix(text);
    if (prefix === null) return [];
    const { family, words, length } = prefix;
    const value = words.reduce((sum, word) => (sum << 32n) | BigInt(word >>> 0), 0n);
    const size = 1n << BigInt((family === 'ipv6' ? 128 : 32) - length);
    return [{ text, family, first: value, size }];
  });
  parsed.sort((a, b) => a.family.localeCompare(b.family) || sign(a.first - b.first) || sign(b.size - a.size));
  let coveredTo = 0n;
  let before = '';
  return parsed
    .filter(({ family, first, size }) => {
      if (family === before && first < coveredTo) return false;
      before = family;
      coveredTo = first + size;
      return true;
    })
    .map(({ text }) => text);
}

function readPrefix(text: string): Prefix | null {
  const prefix = parsePrefix(text);
  if (prefix !== null) return prefix;
  const address = parseAddress(text);
  return address === null ? null : { ...address, length: address.family === 'ipv6' ? 128 : 32 };
}

function sign(difference: bigint): number {
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

/** What `host` steps change about the director's host, as far as it decides what becomes of a packet. */

interface MarkRule {
  readonly ipv6: boolean;
  readonly mark: number;
  readonly table: string;
}

/** Policy routing by firewall mark, and whether the host masquerades what IPVS forwards. */
export class HostSetup {
  readonly #rules: MarkRule[] = [];
  /** Tables with `local default`, by family: `4 100`, `6 100`. */
  readonly #localTables = new Set<string>();
  #masquerade = false;

  /** `iptables -t nat ... -m ipvs --ipvs -j MASQUERADE` was given: full NAT. */
  get masquerade(): boolean {
    return this.#masquerade;
  }

  /** One `host` step. Marks themselves come with the packets, so rules that set them need no doing. */
  apply(argv: readonly string[]): void {
    const ipv6 = argv[0] === 'ip6tables' || argv.includes('-6');
    if (argv.includes('MASQUERADE')) this.#masquerade = true;
    if (argv[0] !== 'ip') return;
    const words = argv.filter((word) => word !== 'ip' && word !== '-6');
    const after = (word: string): string | undefined => words[words.indexOf(word) + 1];
    const table = `${ipv6 ? 6 : 4} ${words.includes('table') ? after('table') : after('lookup')}`;
    if (words[0] === 'rule' && words.includes('fwmark')) {
      this.#rules.push({ ipv6, mark: Number(after('fwmark')), table });
    } else if (words[0] === 'route' && words.includes('local') && words.includes('default')) {
      this.#localTables.add(table);
    }
  }

  /** Whether packets with this mark are routed to the director itself, whatever their destination is. */
  isLocal(mark: number, ipv6: boolean): boolean {
    return this.#rules.some((rule) => rule.mark === mark && rule.ipv6 === ipv6 && this.#localTables.has(rule.table));
  }
}

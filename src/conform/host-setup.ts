/** What `host` steps change about the director's host, as far as it decides what becomes of a packet. */

import { flatten } from '../data-plane/nat-rules/flatten.ts';
import { parseIptablesSave } from '../data-plane/nat-rules/iptables-save.ts';
import type { NetworkLink, NetworkRoute } from '../model/network.ts';
import { familyOfAddress } from '../model/service.ts';
import type { PortRange, SourceNatRules } from '../model/source-nat-rule.ts';

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
  /** Rules behind `-A`, as iptables-save would print them, by program. */
  readonly #natRules: Readonly<Record<string, string[]>> = { iptables: [], ip6tables: [] };

  /** Some rule makes full NAT of NAT. */
  get masquerade(): boolean {
    return Object.values(this.#natRules).some((rules) => rules.length > 0);
  }

  /** The host's source NAT rules, read as they are on a live host. */
  sourceNat(localPortRange: PortRange): SourceNatRules {
    const tables = Object.entries(this.#natRules).flatMap(([program, rules]) => {
      const saved = `*nat\n:POSTROUTING ACCEPT\n${rules.map((rule) => `-A ${rule}\n`).join('')}COMMIT\n`;
      const table = parseIptablesSave(saved, program, program === 'ip6tables' ? 'ipv6' : 'ipv4');
      return table === null ? [] : [table];
    });
    return flatten(tables, localPortRange);
  }

  /** One `host` step. Marks themselves come with the packets, so rules that set them need no doing. */
  apply(argv: readonly string[]): void {
    const ipv6 = argv[0] === 'ip6tables' || argv.includes('-6');
    const [program = '', ...rest] = argv;
    if (rest.slice(0, 4).join(' ') === '-t nat -A POSTROUTING') this.#natRules[program]?.push(rest.slice(3).join(' '));
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

  /** The route that `ip route add NETWORK via GATEWAY dev LINK` adds to the main table, or `null` for other words. */
  static routeOf(argv: readonly string[], links: readonly NetworkLink[]): NetworkRoute | null {
    const words = argv.filter((word) => word !== '-6');
    const [program, object, verb, destination, via, gateway, dev, name] = words;
    if (program !== 'ip' || object !== 'route' || (verb !== 'add' && verb !== 'replace')) return null;
    if (via !== 'via' || dev !== 'dev' || destination === undefined || gateway === undefined) return null;
    const link = links.find((candidate) => candidate.name === name);
    if (link === undefined) return null;
    const family = familyOfAddress(gateway);
    const everything = family === 'ipv6' ? '::/0' : '0.0.0.0/0';
    return {
      family,
      destination: destination === 'default' ? everything : destination,
      gateway,
      linkIndex: link.index,
      preferredSource: null,
      metric: 0,
      type: 'unicast',
    };
  }

  /** Whether packets with this mark are routed to the director itself, whatever their destination is. */
  isLocal(mark: number, ipv6: boolean): boolean {
    return this.#rules.some((rule) => rule.mark === mark && rule.ipv6 === ipv6 && this.#localTables.has(rule.table));
  }
}

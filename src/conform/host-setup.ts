/** What `host` steps change about the director's host, as far as it decides what becomes of a packet. */

import type { NetworkLink, NetworkRoute } from '../model/network.ts';
import { familyOfAddress } from '../model/service.ts';

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

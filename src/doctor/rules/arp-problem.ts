/**
 * The ARP problem of direct routing and tunnels: servers hold the virtual address, too, and one of them tells the
 * network so. Then clients talk to that server alone, past the director. Source: ip-sysctl.rst (arp_ignore, arp_announce).
 */
import type { HostFacts } from '../facts/host.ts';
import type { Cure, Finding } from '../finding.ts';
import { defineRule, foundOr } from '../rule.ts';
import { count, listed, serversOf } from '../services.ts';

const QUIET = ['net.ipv4.conf.all.arp_ignore=1', 'net.ipv4.conf.all.arp_announce=2'] as const;

/** The real server that lives at a MAC, or `null`. */
export function serverAtMac({ neighbors }: HostFacts, servers: readonly string[], mac: string): string | null {
  return neighbors.find((neighbor) => neighbor.mac === mac && servers.includes(neighbor.address))?.address ?? null;
}

/** What asks the network who has an address. */
export function askingCommand(link: string, address: string): string {
  return address.includes(':') ? `ndisc6 -m ${address} ${link}` : `arping -D -c 3 -I ${link} ${address}`;
}

/** For IPv6 there are no such settings: no host answers for what is on `lo` only. */
function quietCure(server: string, address: string): Cure {
  if (address.includes(':')) {
    const words = ['ip', '-6', 'address'];
    return {
      on: server,
      does: 'keeps the address on lo only; LINK is the one that has it now (`ip -6 address`), PREFIX its length there',
      commands: [
        [...words, 'delete', `${address}/PREFIX`, 'dev', 'LINK'],
        [...words, 'replace', `${address}/128`, 'dev', 'lo'],
      ],
      undo: null,
    };
  }
  return {
    on: server,
    does: 'answers and asks by ARP only for addresses of the link itself; keep the two lines in /etc/sysctl.d',
    commands: QUIET.map((setting) => ['sysctl', '-w', setting]),
    undo: null,
  };
}

export const arpProblem = defineRule({
  name: 'arp-problem',
  summary: 'a real server answers ARP for the virtual address',
  needs: ['daemon', 'host', 'arp'],
  explains: ['server-silent', 'return-path'],
  examine: ({ daemon, host, arp }) => {
    if (arp.probes.length === 0) return { notApplicable: 'no virtual address is in a network of this host' };
    const servers = [...new Set(serversOf(daemon).map(({ address }) => address))];
    const found = arp.probes.flatMap(({ address, link, asked, answers }): Finding[] => {
      const culprits = answers.flatMap((answer) => {
        const server = serverAtMac(host, servers, answer.mac);
        return server === null ? [] : [{ ...answer, server }];
      });
      if (culprits.length === 0) return [];
      const guilty = [...new Set(culprits.map(({ server }) => server))];
      const own = host.links.find(({ name }) => name === link)?.mac ?? 'unknown';
      return [
        {
          service: null,
          servers: guilty,
          what: `${listed(guilty)} ${guilty.length === 1 ? 'tells' : 'tell'} the network that the virtual address ${address} is there`,
          evidence: [
            {
              says: `asked ${asked} times "who has ${address}?" on ${link}: this host, at ${own}, is not the only one`,
              shownBy: askingCommand(link, address),
            },
            ...culprits.map(({ mac, how, count: times, server }) => ({
              says:
                how === 'answered'
                  ? `${count(times, 'answer')} from ${mac}, which is the real server ${server}`
                  : `${count(times, 'question')} of ${server} (${mac}) to others called itself ${address}`,
              shownBy: how === 'answered' ? 'ip neighbor' : `tcpdump -e -n -i ${link} arp`,
            })),
          ],
          why: 'clients and routers take whichever answer came last: some reach that one server directly, without balancing and checks, and switch at any moment',
          cures: guilty.map((server) => quietCure(server, address)),
        },
      ];
    });
    const asked = arp.probes.map(({ address }) => address);
    return foundOr(found, { fine: `no real server answers for ${listed([...new Set(asked)])}` });
  },
});

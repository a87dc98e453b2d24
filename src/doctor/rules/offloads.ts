/** Offloads of a network card that the back end in use cannot carry. */
import type { Finding } from '../finding.ts';
import { defineRule, foundOr } from '../rule.ts';
import { count } from '../services.ts';

interface Trouble {
  readonly feature: string;
  /** ethtool's short name for `-K`. */
  readonly short: string;
  /** Back ends that cannot carry it; `null`: none can. */
  readonly io: readonly string[] | null;
  /** Only where there are services of this protocol. */
  readonly protocol: 'udp' | null;
  readonly why: string;
}

const TROUBLES: readonly Trouble[] = [
  {
    feature: 'large-receive-offload',
    short: 'lro',
    io: null,
    protocol: null,
    why: 'LRO glues segments together and forgets their sizes: they cannot be sent on, and connections stall',
  },
  {
    feature: 'rx-udp-gro-forwarding',
    short: 'rx-udp-gro-forwarding',
    io: ['pcap'],
    protocol: 'udp',
    why: 'libpcap does not tell the sizes of the datagrams that were glued together, so they are refused',
  },
  {
    feature: 'rx-gro-list',
    short: 'rx-gro-list',
    io: ['pcap'],
    protocol: 'udp',
    why: 'libpcap does not tell the sizes of the datagrams that were glued together, so they are refused',
  },
];

export const offloads = defineRule({
  name: 'offloads',
  summary: 'offloads of a card that the packet back end cannot carry',
  needs: ['daemon', 'offloads'],
  examine: ({ daemon, offloads: features }) => {
    const io = daemon.status.daemon.settings['io'];
    if (typeof io !== 'string') return { notApplicable: 'this data plane leaves packets to the kernel' };
    const served = daemon.links.map(({ link }) => link);
    const protocols = daemon.services.map(({ spec: { key } }) => ('protocol' in key ? key.protocol : null));
    const found = Object.entries(features).flatMap(([link, of]): Finding[] =>
      (served.length > 0 && !served.includes(link) ? [] : TROUBLES)
        .filter(
          (trouble) =>
            of[trouble.feature] === true &&
            (trouble.io === null || trouble.io.includes(io)) &&
            (trouble.protocol === null || protocols.includes(trouble.protocol)),
        )
        .map(({ feature, short, why }) => {
          const refused = daemon.links.find((each) => each.link === link)?.transmitErrors['super-frame'] ?? 0;
          return {
            service: null,
            servers: [],
            what: `${feature} is on for ${link}, and the back end ${io} cannot carry what it makes`,
            evidence: [
              { says: `${link} has ${feature}: on`, shownBy: `ethtool -k ${link}` },
              { says: `the packet back end is ${io}`, shownBy: 'uipvs status' },
              ...(refused > 0
                ? [{ says: `${link} refused ${count(refused, 'super-frame')}`, shownBy: 'uipvs io --watch' }]
                : []),
            ],
            why,
            cures: [
              {
                on: 'here',
                does: 'turns it off',
                commands: [['ethtool', '-K', link, short, 'off']],
                undo: [['ethtool', '-K', link, short, 'on']],
              },
            ],
          };
        }),
    );
    return foundOr(found, {
      fine: `${count(Object.keys(features).length, 'link')}: nothing on that ${io} cannot carry`,
    });
  },
});

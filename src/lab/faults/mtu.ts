/** Tunnels, but the client's firewall drops the ICMP errors that would tell it to send smaller packets. */
import { tun } from '../labs/tun.ts';
import { clientIsAnswered, onlyDirectorAnswersArp, tableIsComplete } from '../standing/checks.ts';
import type { Fault } from '../standing/kind.ts';

export const mtu: Fault = {
  name: 'mtu',
  lab: tun,
  symptom: 'Pages come up, but whoever sends a form or a file waits for ever.',
  breaks: [
    // One packet at a time, as without the help of a network card.
    { on: 'client', line: 'ip link set dev eth0 gso_max_segs 1' },
    {
      on: 'client',
      line: `nft 'add table ip firewall; add chain ip firewall in { type filter hook input priority 0; }; add rule ip firewall in icmp type destination-unreachable counter drop'`,
    },
    { on: 'client', line: 'ip route flush cache' },
  ],
  checks: [
    tableIsComplete,
    onlyDirectorAnswersArp,
    clientIsAnswered({}, '12 small requests are answered'),
    clientIsAnswered({ count: 3, uploadBytes: 20_000 }, 'requests of 20000 bytes are answered'),
  ],
  hints: [
    'Small and large: uipvs lab sh client -- curl -s http://192.168.1.120/ works; with --data-binary of a few thousand bytes it does not.',
    'Watch a large one: uipvs lab sh client -- tcpdump -ni eth0 tcp or icmp. The director answers something. Does the client heed it?',
    'A wrapped packet is 20 bytes longer: 1500 bytes of the client do not fit. “Fragmentation needed” says so, by ICMP.',
    'Look at the client’s firewall: uipvs lab sh client -- nft list ruleset',
    'Delete the rule: uipvs lab sh client -- nft delete table ip firewall. Or send smaller segments: ip route change 192.168.1.0/24 dev eth0 advmss 1440 mtu 1480',
  ],
  cure: [{ on: 'client', line: 'nft delete table ip firewall' }],
};

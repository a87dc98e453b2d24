/** The director's own firewall drops what users send. The packet engine is before it; a proxy is behind it. */
import { proxy } from '../labs/proxy.ts';
import {
  clientIsAnswered,
  onlyDirectorAnswersArp,
  serversAnswerDirector,
  tableIsComplete,
} from '../standing/checks.ts';
import type { Fault } from '../standing/kind.ts';

export const firewall: Fault = {
  name: 'firewall',
  lab: proxy,
  symptom: 'The balancer is up and its servers are fine, but users wait until they give up.',
  breaks: [
    {
      on: 'director',
      line: `nft 'add table inet filter; add chain inet filter input { type filter hook input priority 0; policy drop; }; add rule inet filter input ct state established,related accept; add rule inet filter input iif lo accept; add rule inet filter input icmp type echo-request accept; add rule inet filter input tcp dport 22 accept'`,
    },
  ],
  checks: [serversAnswerDirector, tableIsComplete, onlyDirectorAnswersArp, clientIsAnswered()],
  hints: [
    'Do the requests arrive? uipvs lab sh director -- tcpdump -nc 3 -i eth0 tcp port 80. They do, and nobody answers: not even a refusal.',
    'uipvsd listens: uipvs lab sh director -- ss -ltn. So something between link and socket takes them.',
    'uipvs lab sh director -- nft list ruleset',
    'uipvs lab sh director -- nft add rule inet filter input tcp dport 80 accept',
  ],
  cure: [{ on: 'director', line: 'nft add rule inet filter input tcp dport 80 accept' }],
};

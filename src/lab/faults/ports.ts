/** A client that may use few source ports: a load test from one address runs out of them. */
import { nat } from '../labs/nat.ts';
import { clientIsAnswered, everyServerTakesPart, tableIsComplete } from '../standing/checks.ts';
import type { Fault } from '../standing/kind.ts';

export const ports: Fault = {
  name: 'ports',
  lab: nat,
  symptom: 'A load test from one machine fails with “cannot assign requested address”, while single requests work.',
  breaks: [{ on: 'client', line: 'sysctl -qw net.ipv4.ip_local_port_range="40000 40007"' }],
  checks: [
    tableIsComplete,
    clientIsAnswered({ count: 6, concurrency: 1 }, 'requests one after the other are answered'),
    everyServerTakesPart({ concurrency: 2 }),
    clientIsAnswered({ count: 60 }, '60 requests at once are answered'),
  ],
  hints: [
    'One after the other works; many at once do not: uipvs lab sh client -- ab -n 100 -c 40 http://192.168.1.120/',
    'Is it the director? Its connections are few (ipvsadm -Lnc), and the error comes from the client’s own kernel.',
    'A connection is told by both addresses and both ports. With one client, one service and its one port, only the source port is left.',
    'uipvs lab sh client -- sysctl net.ipv4.ip_local_port_range; usual is 32768 to 60999. More addresses of the client help as well.',
  ],
  cure: [{ on: 'client', line: 'sysctl -qw net.ipv4.ip_local_port_range="32768 60999"' }],
};

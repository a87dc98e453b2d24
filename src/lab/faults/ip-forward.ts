/** NAT, but the director does not forward: the service works all the same, and whatever else the servers want does not. */
import { ADDRESSES } from '../addresses.ts';
import { nat } from '../labs/nat.ts';
import { clientIsAnswered, lastLine, serversAnswerDirector } from '../standing/checks.ts';
import type { Check, Fault } from '../standing/kind.ts';
import { hostsOf } from '../topology.ts';

const { clientBehindGateway: outside } = ADDRESSES.ipv4;

const serversReachOutside: Check = {
  item: 'every real server reaches the network beyond the director',
  test: async (visit) => {
    const pings = await Promise.all(
      hostsOf(visit.lab.topology, 'server').map(async ({ name }) => {
        const { code, stdout } = await visit.sh(name, `ping -n -c 2 -i 0.3 -W 3 ${outside}`);
        const counted = /\d+ packets transmitted, \d+ (?:packets )?received/.exec(stdout)?.[0];
        return { name, good: code === 0, said: counted ?? lastLine(stdout) };
      }),
    );
    return {
      passed: pings.every(({ good }) => good),
      evidence: pings.map(({ name, said }) => `${name}: ${said}`).join('; '),
    };
  },
};

export const ipForward: Fault = {
  name: 'ipforward',
  lab: { ...nat, programs: ['ping'] },
  symptom: 'The website works, but the servers can no longer fetch updates or send mail.',
  breaks: [{ on: 'director', line: 'sysctl -qw net.ipv4.ip_forward=0' }],
  checks: [serversAnswerDirector, clientIsAnswered(), serversReachOutside],
  hints: [
    `Ask from a server: uipvs lab sh rs1 -- ping -c 2 ${outside}`,
    'uipvsd carries the packets of its services itself; everything else the director must forward as a router does.',
    'Look at it: uipvs lab sh director -- sysctl net.ipv4.ip_forward; set it to 1.',
  ],
  cure: [{ on: 'director', line: 'sysctl -qw net.ipv4.ip_forward=1' }],
};

/** Forwarding between links is off where the data plane leaves it to the kernel, or where servers need a router. */

import { familyOfAddress, familyOfService, formatServiceKey } from '../../model/service.ts';
import type { SysctlFacts } from '../facts/sysctl.ts';
import type { TrafficFacts } from '../facts/traffic.ts';
import type { Known } from '../facts.ts';
import type { Cure, Examination, Finding } from '../finding.ts';
import { defineRule, foundOr } from '../rule.ts';
import { count, listed, planeOf } from '../services.ts';

const SETTINGS = { ipv4: 'net.ipv4.ip_forward', ipv6: 'net.ipv6.conf.all.forwarding' } as const;

export const ipForward = defineRule({
  name: 'ip-forward',
  summary: 'ip_forward is off where the data plane, or what servers send elsewhere, needs it',
  needs: ['daemon', 'sysctl'],
  explains: ['return-path', 'server-silent', 'gateway'],
  examine: ({ daemon, sysctl }, all) => {
    const { name } = daemon.status.capabilities;
    if (planeOf(daemon) !== 'kernel') return ownTraffic(sysctl, all.traffic, name);
    const found = (['ipv4', 'ipv6'] as const).flatMap((family): Finding[] => {
      const setting = SETTINGS[family];
      const services = daemon.services.filter(
        ({ spec, destinations }) =>
          familyOfService(spec.key) === family && destinations.some(({ spec: { method } }) => method === 'masquerade'),
      );
      if (services.length === 0 || sysctl[setting] !== '0') return [];
      const names = services.map(({ spec }) => formatServiceKey(spec.key));
      return [
        {
          service: names.length === 1 ? (names[0] as string) : null,
          servers: [],
          what: `${setting} is 0, and the kernel forwards the packets of ${listed(names)}`,
          evidence: [
            { says: `${setting} is 0`, shownBy: `sysctl ${setting}` },
            {
              says: `the data plane is "${name}", with servers of NAT behind it`,
              shownBy: 'uipvs status; uipvsadm -Ln',
            },
          ],
          why: 'the kernel drops what it has to send on to the servers, and their answers',
          cures: [forwardingOn(setting)],
        },
      ];
    });
    return foundOr(found, { fine: 'forwarding is on where it is needed' });
  },
});

/** The services need no forwarding; what the servers send to others by this host does. */
function ownTraffic(sysctl: SysctlFacts, traffic: Known<TrafficFacts>, plane: string): Examination {
  if (!traffic.known && Object.values(SETTINGS).some((setting) => sysctl[setting] === '0')) {
    return { cannotTell: traffic.why };
  }
  const strays = traffic.known ? traffic.value.strays : [];
  const found = (['ipv4', 'ipv6'] as const).flatMap((family): Finding[] => {
    const setting = SETTINGS[family];
    const lost = strays.filter(({ to }) => familyOfAddress(to) === family && !isGroup(to));
    if (lost.length === 0 || sysctl[setting] !== '0') return [];
    return [
      {
        service: null,
        servers: [...new Set(lost.map(({ server }) => server))],
        what: `servers send what is not for a service to this host, their gateway, which does not forward it: ${setting} is 0`,
        evidence: [
          { says: `${setting} is 0`, shownBy: `sysctl ${setting}` },
          ...lost.slice(0, 4).map(({ server, to, protocol, packets }) => ({
            says: `${server} sent ${count(packets, 'packet')} for ${to} (IP protocol ${protocol}) to a MAC of this host during the watch`,
            shownBy: `tcpdump -n host ${server} and host ${to}`,
          })),
        ],
        why: `the data plane "${plane}" carries the services by itself; for everything else the servers need a router: updates, mail, names`,
        cures: [forwardingOn(setting)],
      },
    ];
  });
  return foundOr(found, {
    fine: `the data plane "${plane}" forwards the services by itself, and no other packet of a server was seen that this host would drop`,
  });
}

function isGroup(address: string): boolean {
  return address.startsWith('ff') || address === '255.255.255.255' || /^2(2[4-9]|3\d)\./.test(address);
}

function forwardingOn(setting: string): Cure {
  return {
    on: 'here',
    does: 'lets the kernel forward; keep the line in /etc/sysctl.d',
    commands: [['sysctl', '-w', `${setting}=1`]],
    undo: [['sysctl', '-w', `${setting}=0`]],
  };
}

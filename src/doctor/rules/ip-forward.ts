/** Forwarding between links is off where the data plane leaves it to the kernel. */

import { familyOfService, formatServiceKey } from '../../model/service.ts';
import type { Finding } from '../finding.ts';
import { defineRule, foundOr } from '../rule.ts';
import { listed } from '../services.ts';

const SETTINGS = { ipv4: 'net.ipv4.ip_forward', ipv6: 'net.ipv6.conf.all.forwarding' } as const;
/** These move packets or bytes by themselves. */
const NEED_NONE = ['packet engine', 'proxy'];

export const ipForward = defineRule({
  name: 'ip-forward',
  summary: 'ip_forward is off where the data plane needs it',
  needs: ['daemon', 'sysctl'],
  explains: ['return-path', 'server-silent', 'gateway'],
  examine: ({ daemon, sysctl }) => {
    const { name } = daemon.status.capabilities;
    if (NEED_NONE.includes(name)) return { notApplicable: `the data plane "${name}" forwards by itself` };
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
          cures: [
            {
              on: 'here',
              does: 'lets the kernel forward; keep the line in /etc/sysctl.d',
              commands: [['sysctl', '-w', `${setting}=1`]],
              undo: [['sysctl', '-w', `${setting}=0`]],
            },
          ],
        },
      ];
    });
    return foundOr(found, { fine: 'forwarding is on where it is needed' });
  },
});

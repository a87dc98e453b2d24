/** MASQUERADE rules that are meant for the services, without the setting by which IPVS heeds them. */

import { valueOr } from '../facts.ts';
import type { Finding } from '../finding.ts';
import { defineRule, foundOr } from '../rule.ts';
import { isPlainNat, listed, serversOf } from '../services.ts';
import { answersComeBack } from './answers.ts';

const SETTING = 'net.ipv4.vs.conntrack';

export const conntrack = defineRule({
  name: 'conntrack',
  summary: `MASQUERADE rules for the servers without ${SETTING}=1`,
  needs: ['before', 'daemon'],
  explains: ['return-path', 'gateway', 'server-silent'],
  examine: ({ before, daemon }, all) => {
    const { sourceNat } = daemon;
    if (sourceNat === null) return { notApplicable: 'this data plane does not follow MASQUERADE rules' };
    const rules = sourceNat.rules.filter(({ concerned, problem }) => concerned && problem === null);
    const servers = serversOf(daemon).filter(isPlainNat);
    if (rules.length === 0) return { notApplicable: 'no MASQUERADE or SNAT rule of this host could match a server' };
    if (servers.length === 0)
      return { notApplicable: 'no service is NAT without an address of its own for the servers' };
    if (sourceNat.inForce) return { fine: `${SETTING} is 1, ${rules.length} such rules are followed` };
    const returns = valueOr(all.returns, []);
    // Where answers come back by the gateway such rules may be there for the servers' own traffic.
    const lost = servers.filter((server) => answersComeBack(before, daemon, returns, server) !== 'yes');
    const names = [...new Set(lost.map(({ serviceName }) => serviceName))];
    const found = names.map(
      (service): Finding => ({
        service,
        servers: lost.filter((server) => server.serviceName === service).map(({ address }) => address),
        what: `MASQUERADE rules for the servers of ${service} have no effect, since ${SETTING} is 0`,
        evidence: [
          { says: `${SETTING} is ${daemon.settings['conntrack'] ?? '0'}`, shownBy: `uipvs sysctl ${SETTING}` },
          ...rules.map(({ origin, text, hits }) => ({
            says: `${origin} has \`${text}\`, followed for ${hits} connections`,
            shownBy: 'uipvs status',
          })),
          {
            says: `no answer of ${listed(lost.filter((server) => server.serviceName === service).map(({ name }) => name))} came back by this host`,
            shownBy: 'uipvsadm -Ln --stats',
          },
        ],
        why: 'servers see the clients’ own addresses and answer them past this director, which clients refuse',
        cures: [
          {
            on: 'here',
            does: 'lets the rules apply to new connections; keep the line in /etc/sysctl.d',
            commands: [['uipvs', 'sysctl', '-w', `${SETTING}=1`]],
            undo: [['uipvs', 'sysctl', '-w', `${SETTING}=0`]],
          },
        ],
      }),
    );
    return foundOr(found, { fine: 'the rules are not in force, and answers come back without them' });
  },
});

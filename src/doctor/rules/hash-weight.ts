/** A hashing scheduler with a server of weight 0: the clients whose turn it is there are turned away. */

import type { ServiceStatus } from '../../model/service.ts';
import { formatServiceKey } from '../../model/service.ts';
import type { CommandWords, Cure, Finding } from '../finding.ts';
import { defineRule, foundOr } from '../rule.ts';
import { count, listed, serversOfService, serviceWords } from '../services.ts';

/** Schedulers that pick by the client's address (dh: the virtual one), and the word that lets them pick another. */
const HASHING: Readonly<Record<string, string | null>> = { mh: 'mh-fallback', sh: 'sh-fallback', dh: null };
const FALLBACK = 1;
const PORT = 2;

export const hashWeight = defineRule({
  name: 'hash-weight',
  summary: 'mh, sh or dh with a server of weight 0 turns a share of the clients away',
  needs: ['daemon'],
  examine: ({ daemon }) => {
    const hashing = daemon.services.filter(({ spec }) => Object.hasOwn(HASHING, spec.scheduler));
    if (hashing.length === 0) return { notApplicable: 'no service has the scheduler mh, sh or dh' };
    const found = hashing.flatMap((service): Finding[] => {
      const { spec } = service;
      if (spec.schedulerFlags.includes(FALLBACK) && HASHING[spec.scheduler] !== null) return [];
      const servers = serversOfService(service);
      const out = servers.filter(({ destination }) => destination.spec.weight === 0);
      if (out.length === 0 || out.length === servers.length) return [];
      const name = formatServiceKey(spec.key);
      return [
        {
          service: name,
          servers: out.map(({ address }) => address),
          what: `${name} is scheduled by ${spec.scheduler} without a fallback, and ${listed(out.map((server) => server.name))} has weight 0`,
          evidence: [
            {
              says: `${out.length} of ${count(servers.length, 'server')} has weight 0: ${listed(out.map((server) => server.name))}`,
              shownBy: 'uipvsadm -Ln',
            },
            {
              says: `the scheduler is ${spec.scheduler}, its flags are ${flagNames(service) || 'none'}`,
              shownBy: 'uipvsadm -Ln',
            },
          ],
          why: `${spec.scheduler} keeps the places of that server, so about ${out.length} of ${servers.length} new clients get no answer at all while the others do`,
          cures: [cureFor(service)],
        },
      ];
    });
    return foundOr(found, { fine: `${count(hashing.length, 'service')} by hash, none that turns clients away` });
  },
});

function flagNames({ spec: { scheduler, schedulerFlags } }: ServiceStatus): string {
  return schedulerFlags.map((flag) => flagName(scheduler, flag)).join(',');
}

function flagName(scheduler: string, flag: number): string {
  if (scheduler !== 'sh' && scheduler !== 'mh') return `flag-${flag}`;
  return flag === FALLBACK ? `${scheduler}-fallback` : flag === PORT ? `${scheduler}-port` : `flag-${flag}`;
}

function cureFor(service: ServiceStatus): Cure {
  const { scheduler, schedulerFlags } = service.spec;
  const fallback = HASHING[scheduler];
  if (fallback === null) {
    return {
      on: 'here',
      does: 'takes sh instead, which can pick another server',
      commands: [editWords(service, 'sh', [FALLBACK])],
      undo: [editWords(service, scheduler, schedulerFlags)],
    };
  }
  return {
    on: 'here',
    does: `lets ${scheduler} pick another server for those clients`,
    commands: [editWords(service, scheduler, [...schedulerFlags, FALLBACK])],
    undo: [editWords(service, scheduler, schedulerFlags)],
  };
}

/** Everything about the service again, since -E puts what it is not told back to its default. */
function editWords({ spec }: ServiceStatus, scheduler: string, flags: readonly number[]): CommandWords {
  const words = ['uipvsadm', '-E', ...serviceWords(spec.key), '-s', scheduler];
  if (flags.length > 0)
    words.push(
      '-b',
      [...flags]
        .sort()
        .map((flag) => flagName(scheduler, flag))
        .join(','),
    );
  if (spec.persistenceTimeoutSeconds !== null) words.push('-p', String(spec.persistenceTimeoutSeconds));
  if (spec.persistenceTimeoutSeconds !== null && !['255.255.255.255', '128'].includes(spec.netmask))
    words.push('-M', spec.netmask);
  if (spec.persistenceEngine !== null) words.push('--pe', spec.persistenceEngine);
  if (spec.onePacket) words.push('-o');
  return words;
}

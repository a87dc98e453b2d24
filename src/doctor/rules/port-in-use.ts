/** A program of this host listens on the virtual address and port itself. */
import { formatServiceKey, isMarkKey } from '../../model/service.ts';
import type { Finding } from '../finding.ts';
import { defineRule, foundOr } from '../rule.ts';
import { count, isPacketEngine, listed } from '../services.ts';

export const portInUse = defineRule({
  name: 'port-in-use',
  summary: 'a program on this host listens on the virtual address and port',
  needs: ['daemon', 'listeners'],
  examine: ({ daemon, listeners }) => {
    const { pid } = daemon.status.daemon;
    const found = daemon.services.flatMap(({ spec: { key } }): Finding[] => {
      if (isMarkKey(key) || key.protocol === 'sctp') return [];
      const taken = listeners.filter(
        (each) =>
          each.protocol === key.protocol &&
          each.port === key.port &&
          each.address === key.address &&
          !each.programs.some((program) => program.pid === pid),
      );
      if (taken.length === 0) return [];
      const programs = taken.flatMap((each) => each.programs);
      const names = programs.map(({ name, pid: theirs }) => `${name} (pid ${theirs})`);
      const name = formatServiceKey(key);
      return [
        {
          service: name,
          servers: [],
          what: `${names.length === 0 ? 'a program' : listed(names)} listens on ${key.address} port ${key.port} of this host, which is the service ${name}`,
          evidence: [
            {
              says: `${key.protocol} ${key.address}:${key.port} is held by ${names.length === 0 ? 'a program that this user may not see' : listed(names)}, not by uipvsd (pid ${pid})`,
              shownBy: `ss -lnp${key.protocol === 'tcp' ? 't' : 'u'} 'sport = :${key.port}'`,
            },
          ],
          why: isPacketEngine(daemon)
            ? 'clients never reach that program while uipvsd runs, and reach it instead of the servers when uipvsd ends; what runs on this host is answered by it at once'
            : 'only one of the two can have the port: uipvsd cannot serve it, or that program cannot start again',
          cures: [
            {
              on: 'here',
              does: 'ends it; then let its service start no more, or listen on another address',
              commands: programs.map(({ pid: theirs }) => ['kill', String(theirs)]),
              undo: null,
            },
          ],
        },
      ];
    });
    return foundOr(found, {
      fine: `${count(listeners.length, 'listener')} on this host, none on the address and port of a service`,
    });
  },
});

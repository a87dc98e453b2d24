/** A program of this host listens on the virtual address and port itself. */
import { formatServiceKey, isMarkKey } from '../../model/service.ts';
import type { Listener } from '../facts/listeners.ts';
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
    if (found.length === 0 && daemon.services.length === 0 && !isPacketEngine(daemon))
      found.push(...everywhere(listeners, pid));
    return foundOr(found, {
      fine: `${count(listeners.length, 'listener')} on this host, none on the address and port of a service`,
    });
  },
});

/**
 * A data plane of ordinary sockets and not one service: who holds a port at every address, so that a service there was
 * refused?
 */
function everywhere(listeners: readonly Listener[], pid: number): Finding[] {
  const holders = listeners.filter(
    ({ address, programs }) =>
      ['0.0.0.0', '::', '*'].includes(address) &&
      programs.some((program) => program.pid !== pid && program.name !== 'sshd'),
  );
  if (holders.length === 0) return [];
  const told = holders.map(({ protocol, address, port, programs }) => ({
    says: `${listed(programs.map(({ name, pid: theirs }) => `${name} (pid ${theirs})`))} listens on ${protocol} ${address}:${port}, which is that port of every address`,
    shownBy: `ss -lnp${protocol === 'tcp' ? 't' : 'u'} 'sport = :${port}'`,
  }));
  return [
    {
      service: null,
      servers: [],
      what: `uipvsd has no service, and port ${listed([...new Set(holders.map(({ port }) => String(port)))])} is taken at every address: a service there is refused`,
      evidence: [{ says: 'the table is empty', shownBy: 'uipvsadm -Ln' }, ...told],
      why: 'this data plane listens by ordinary sockets; where another program has the port, `uipvsadm -A` fails, and clients reach that program',
      cures: [
        {
          on: 'here',
          does: 'ends it (let it listen on one address, or start no more); then fill the table again',
          commands: [...new Set(holders.flatMap(({ programs }) => programs.map((program) => String(program.pid))))].map(
            (each) => ['kill', each],
          ),
          undo: null,
        },
      ],
    },
  ];
}

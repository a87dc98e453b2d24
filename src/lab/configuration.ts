/** The configuration file of the lab's uldirectord: the tutorial's, word for word, unless options ask for less. */
import type { LabMode } from './topology.ts';

const TUTORIAL = `checktimeout=10
checkinterval=2
autoreload=no
logfile="/var/log/ldirectord.log"
quiescent=yes

virtual=192.168.1.120:80
\treal=192.168.1.11:80 masq
\treal=192.168.1.12:80 masq
\treal=192.168.1.13:80 masq
\tfallback=127.0.0.1:80 masq
\tscheduler=rr
\tprotocol=tcp
\tchecktype=ping
`;

/** The scheduler that the tutorial names. */
export const TUTORIAL_SCHEDULER = 'rr';

/** The tutorial's file; direct routing says `gate` in it, and another scheduler replaces `rr`. */
export function directorConfiguration(mode: LabMode, scheduler: string): string {
  const text = TUTORIAL.replace(`scheduler=${TUTORIAL_SCHEDULER}\n`, `scheduler=${scheduler}\n`);
  return mode === 'dr' ? text.replaceAll(' masq\n', ' gate\n') : text;
}

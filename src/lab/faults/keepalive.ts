/** The director forgets idle connections sooner than clients and servers do. */
import { nat } from '../labs/nat.ts';
import { clientIsAnswered, everyServerTakesPart, tableIsComplete } from '../standing/checks.ts';
import type { Fault, StandingKind } from '../standing/kind.ts';

const lab: StandingKind = { ...nat, serverWords: ['--keep-alive'] };
/** Well above the timeout of the fault, and below that of the servers. */
const IDLE_MS = 6000;

export const keepalive: Fault = {
  name: 'keepalive',
  lab,
  symptom: 'Pages load, but whoever reads a little and clicks again gets a broken connection.',
  breaks: [{ on: 'director', line: 'ipvsadm --set 2 0 0' }],
  checks: [
    tableIsComplete,
    clientIsAnswered(),
    everyServerTakesPart(),
    clientIsAnswered(
      { count: 3, idleMs: IDLE_MS, timeoutMs: 8000 },
      'a second request on the same connection is answered after six seconds',
    ),
  ],
  hints: [
    "Keep a connection open and ask twice: uipvs lab sh client -- sh -c \"(printf 'GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'; sleep 6; printf 'GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'; sleep 1) | nc 192.168.1.120 80\"",
    'How long does the director remember? uipvs lab sh director -- ipvsadm -Lnc, again and again; then ipvsadm -Ln --timeout',
    'The timeout of idle TCP connections is 2 seconds; it must be longer than those of clients and servers (900 is usual).',
    'uipvs lab sh director -- ipvsadm --set 900 0 0. Where that is not possible, programs can send probes on idle connections (SO_KEEPALIVE).',
  ],
  cure: [{ on: 'director', line: 'ipvsadm --set 900 0 0' }],
};

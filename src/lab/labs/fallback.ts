/** A fallback page on the director itself, for when no server is alive. */
import { directorConfiguration } from '../configuration.ts';
import { waitFor } from '../host.ts';
import { planServerPower } from '../plan.ts';
import { clientIsAnswered, everyServerTakesPart, serversAnswerDirector, tableIsComplete } from '../standing/checks.ts';
import type { Check, StandingKind } from '../standing/kind.ts';
import type { Answers, Visit } from '../standing/visit.ts';
import { realServers, tutorialTopology } from '../topology.ts';

const topology = tutorialTopology('fullnat');
/** Health checks of two seconds, and a busy machine. */
const NOTICE_TIMEOUT_MS = 60_000;
const SERVERS_PAGE = 'rs1, rs2, rs3';

const fallbackTakesOver: Check = {
  item: 'with every server cut off the client gets the fallback page, and the servers again when they are back',
  test: async (visit) => {
    await power(visit, 'off');
    let alone: Answers | null = null;
    try {
      alone = await until(visit, (names) => names === 'fallback');
    } finally {
      await power(visit, 'on');
    }
    const back = await until(visit, (names) => names === SERVERS_PAGE);
    return {
      passed: alone !== null && back !== null,
      evidence: `cut off: ${alone?.text ?? 'no fallback page'}; back: ${back?.text ?? 'not all came back'}`,
    };
  },
};

async function power(visit: Visit, power: 'on' | 'off'): Promise<void> {
  for (const { address } of realServers(topology)) {
    await visit.lab.carryOut(planServerPower(topology, visit.lab.id, address, power));
  }
}

/** Asks until all is answered, and by those. */
function until(visit: Visit, good: (names: string) => boolean): Promise<Answers | null> {
  const ask = async () => {
    const answers = await visit.ask({ count: 6, timeoutMs: 3000 });
    const names = Object.keys(answers.byServer).sort().join(', ');
    return answers.answered === answers.asked && good(names) ? answers : null;
  };
  return waitFor(ask, { timeoutMs: NOTICE_TIMEOUT_MS, everyMs: 500, signal: visit.signal });
}

/** Quick checks, so that the learner need not wait. */
const configuration = directorConfiguration('fullnat', 'rr')
  .replace('checktimeout=10', 'checktimeout=1')
  .replace('checkinterval=2', 'checkinterval=1')
  .replace('quiescent=yes', 'quiescent=no');

export const fallback: StandingKind = {
  name: 'fallback',
  summary: 'a fallback page on the director, shown when no server is alive; check cuts all servers off for a while',
  topology,
  servers: 'web',
  daemon: ['--snat', 'masquerade'],
  table: { by: 'uldirectord', configuration },
  checks: [serversAnswerDirector, tableIsComplete, clientIsAnswered(), everyServerTakesPart(), fallbackTakesOver],
  hints: [
    'Cut a server off: uipvs lab sh rs1 -- ip link set eth0 down; then look: uipvs lab sh director -- uipvs health',
    'Cut all three off and ask: uipvs lab sh client -- curl -s http://192.168.1.120/',
    'What the checks did to the table: uipvs lab sh director -- cat /var/log/ldirectord.log',
    'Mend them: uipvs lab sh rs1 -- ip link set eth0 up (and so on).',
  ],
};

/** A server whose program hangs: its kernel still answers pings, and takes connections, so the check sees nothing. */
import { parseTable } from '../director.ts';
import { nat } from '../labs/nat.ts';
import { clientIsAnswered } from '../standing/checks.ts';
import type { Check, Fault } from '../standing/kind.ts';
import { realServers } from '../topology.ts';

/** The program that listens on port 80 of this host. */
const PROGRAM = `$(ss -Hltnp 'sport = :80' | sed -n 's/.*pid=\\([0-9]*\\).*/\\1/p')`;

const servingServersAnswer: Check = {
  item: 'every server that the table sends users to answers them',
  test: async (visit) => {
    const table = parseTable(await visit.mustSh('director', 'ipvsadm -Ln')).filter(({ weight }) => weight > 0);
    const asked = await Promise.all(
      table.map(async ({ address, port }) => {
        const { answered } = await visit.ask({ from: 'director', address, port, count: 1 });
        return {
          name: realServers(visit.lab.topology).find((at) => at.address === address)?.name ?? address,
          answered,
        };
      }),
    );
    return {
      passed: asked.length > 0 && asked.every(({ answered }) => answered === 1),
      evidence: asked
        .map(({ name, answered }) => `${name} ${answered === 1 ? 'answers' : 'does not answer'}`)
        .join(', '),
    };
  },
};

const somebodyServes: Check = {
  item: 'the table has servers with a weight above 0',
  test: async (visit) => {
    const table = parseTable(await visit.mustSh('director', 'ipvsadm -Ln'));
    const serving = table.filter(({ weight }) => weight > 0);
    return { passed: serving.length > 0, evidence: `${serving.length} of ${table.length}` };
  },
};

export const server: Fault = {
  name: 'server',
  lab: { ...nat, programs: ['ss'] },
  symptom: 'Every third page hangs, though the health checks say that all servers are up.',
  breaks: [{ on: 'rs2', line: `kill -STOP ${PROGRAM}` }],
  checks: [somebodyServes, servingServersAnswer, clientIsAnswered()],
  hints: [
    'Ask each server itself: uipvs lab sh director -- curl -sm 3 http://192.168.1.11/, then .12 and .13.',
    'What does the health check ask? uipvs lab sh director -- uipvs health. A ping is answered by the kernel, not by the web server.',
    'Which process is it? uipvs lab sh rs2 -- ss -ltnp; then ps: its state is T, stopped.',
    'Wake it: uipvs lab sh rs2 -- kill -CONT PID. Better still, let the check ask for a page (checktype=negotiate), so that such a server is taken out.',
  ],
  cure: [{ on: 'rs2', line: `kill -CONT ${PROGRAM}` }],
};

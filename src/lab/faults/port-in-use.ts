/** A web server on the director has the port. The packet engine does not mind; a proxy cannot listen there. */
import { ADDRESSES, endpoint } from '../addresses.ts';
import { proxy } from '../labs/proxy.ts';
import { clientIsAnswered, everyServerTakesPart, lastLine, serversAnswerDirector } from '../standing/checks.ts';
import type { Check, Fault, StandingKind } from '../standing/kind.ts';

const { virtual, servers } = ADDRESSES.ipv4;
const service = endpoint(virtual, 80);
const fill = [
  `ipvsadm -A -t ${service} -s rr`,
  ...servers.map((address) => `ipvsadm -a -t ${service} -r ${endpoint(address, 80)} -m`),
].join(' && ');

const lab: StandingKind = { ...proxy, table: null, programs: ['ss'] };

const serviceIsThere: Check = {
  item: 'the director has the service',
  test: async (visit) => {
    const listing = await visit.mustSh('director', 'ipvsadm -Ln');
    const there = listing.includes(`TCP  ${service}`);
    return { passed: there, evidence: there ? `TCP ${service}` : `ipvsadm -Ln does not list ${service}` };
  },
};

const portIsUipvsds: Check = {
  item: 'uipvsd alone listens on port 80 of the director',
  test: async (visit) => {
    const said = (await visit.mustSh('director', `ss -Hltn 'sport = :80'`)).trim();
    const where = said
      .split('\n')
      .filter(Boolean)
      .map((line) => line.split(/ +/)[3]);
    return {
      passed: where.length > 0 && where.every((at) => at === service),
      evidence: where.join(', ') || lastLine(said) || 'nobody listens',
    };
  },
};

export const portInUse: Fault = {
  name: 'port-in-use',
  lab,
  symptom: 'After an upgrade of the director every user sees a page of its own, and the service is gone.',
  breaks: [
    { on: 'director', line: 'web-server 0.0.0.0 80 welcome-page --stay', background: 'welcome-page' },
    {
      on: 'director',
      line: `for i in $(seq 200); do ss -Hltn 'sport = :80' | grep -q . && exit 0; sleep 0.1; done; exit 1`,
    },
    // What a start-up script does, without looking at the outcome.
    { on: 'director', line: `{ ${fill}; } > /var/log/start-up.log 2>&1 || true` },
  ],
  checks: [serversAnswerDirector, serviceIsThere, portIsUipvsds, clientIsAnswered(), everyServerTakesPart()],
  hints: [
    'Who answers? uipvs lab sh client -- curl -s http://192.168.1.120/',
    'What did the start-up script say? uipvs lab sh director -- cat /var/log/start-up.log',
    'Who has the port? uipvs lab sh director -- ss -ltnp. A socket on 0.0.0.0:80 has it at every address.',
    'End that process (kill PID), then fill the table again: ipvsadm -A, and -a for each server, as in ipvsadm -Sn of the lab proxy.',
  ],
  cure: [
    { on: 'director', line: `kill $(ss -Hltnp 'sport = :80' | sed -n 's/.*pid=\\([0-9]*\\).*/\\1/p')` },
    {
      on: 'director',
      line: `for i in $(seq 100); do ss -Hltn 'sport = :80' | grep -q . || exit 0; sleep 0.1; done; exit 1`,
    },
    { on: 'director', line: fill },
  ],
};

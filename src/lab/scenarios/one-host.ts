/** Client, director and servers on one host, as on somebody's own machine: `ab` is typed where the servers run. */
import { UNCOUNTED_PATH } from '../addresses.ts';
import { serviceConfiguration } from '../configuration.ts';
import { LabError } from '../host.ts';
import { sendRequests } from '../requests.ts';
import { startServers } from '../servers.ts';
import { oneHostTopology } from '../topology.ts';
import { parseAb } from '../traffic.ts';
import type { ScenarioKind, ScenarioRun } from './kind.ts';

const DIRECT_REQUESTS = 10;

export const oneHost: ScenarioKind = {
  name: 'one-host',
  summary: 'client, director and three servers on 127.0.0.1:8001-8003, all on one host; the VIP is on lo',
  modes: ['masq'],
  families: ['ipv4'],
  requests: 1000,
  concurrency: 20,
  breakable: false,
  client: 'ab',
  connectionPerRequest: () => true,
  programs: [],
  topology: oneHostTopology,
  configuration: ({ scheduler }) =>
    serviceConfiguration(oneHostTopology(), { scheduler, protocol: 'tcp', checktype: 'connect' }),
  healthChecks: 'uldirectord',
  startServers,
  async send(run) {
    await askDirectly(run);
    const result = await sendRequests(run);
    await askDirectly(run);
    return result;
  },
};

/** The balancer must not stand in the way of whoever goes to a server without it. */
async function askDirectly({ lab, progress, signal }: ScenarioRun): Promise<void> {
  for (const { label } of lab.topology.servers) {
    const url = `http://${label}${UNCOUNTED_PATH}`;
    const words = ['ab', '-n', String(DIRECT_REQUESTS), '-c', '2', '-s', '5', url];
    const { stdout, stderr } = await lab.run(lab.client, words, { signal });
    const { completed, failed, gaveUp } = parseAb(stdout, stderr);
    if (gaveUp === null && completed === DIRECT_REQUESTS && failed === 0) continue;
    const why = gaveUp ?? `${failed} of ${DIRECT_REQUESTS} requests failed`;
    throw new LabError(`${label} cannot be reached past the balancer: ${why}`);
  }
  progress.step(`client: past the balancer all servers answer, ${DIRECT_REQUESTS} of ${DIRECT_REQUESTS} requests each`);
}

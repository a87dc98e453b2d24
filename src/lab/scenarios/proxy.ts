/** The socket proxy on this machine itself: no root, no namespaces, nothing compiled. */
import { serviceConfiguration } from '../configuration.ts';
import { sendRequests } from '../requests.ts';
import { startServers } from '../servers.ts';
import { loopbackTopology } from '../topology.ts';
import type { ScenarioKind } from './kind.ts';

export const proxy: ScenarioKind = {
  name: 'proxy',
  summary: 'without root: the socket proxy on 127.0.0.120:8080, three servers on 127.0.0.11-13, all on loopback',
  modes: ['fullnat'],
  families: ['ipv4'],
  dataPlanes: ['proxy'],
  requests: 1000,
  concurrency: 20,
  breakable: false,
  client: 'ab',
  connectionPerRequest: () => true,
  programs: [],
  topology: loopbackTopology,
  configuration: ({ scheduler }) =>
    serviceConfiguration(loopbackTopology(), { scheduler, protocol: 'tcp', checktype: 'connect' }),
  healthChecks: 'uldirectord',
  // An ordinary user cannot write into /var/log.
  startHealthChecks: (lab, director, configuration) =>
    director.startHealthChecks(configuration.replace('"/var/log/', `"${lab.path('log')}/`)),
  startServers,
  send: sendRequests,
};

/** The tutorial: a client, the director with the virtual address, three web servers, and a fallback page. */
import { directorConfiguration } from '../configuration.ts';
import { sendRequests } from '../requests.ts';
import { startServers } from '../servers.ts';
import { LAB_MODES, tutorialTopology } from '../topology.ts';
import type { ScenarioKind } from './kind.ts';

export const tutorial: ScenarioKind = {
  name: 'tutorial',
  summary: 'one client, the director with 192.168.1.120:80, three web servers, ping checks, a fallback page',
  modes: LAB_MODES,
  families: ['ipv4', 'ipv6'],
  dataPlanes: ['packet', 'kernel', 'macvtap', 'proxy'],
  requests: 1000,
  concurrency: 20,
  breakable: true,
  client: 'ab',
  connectionPerRequest: () => true,
  programs: [],
  topology: ({ mode, family }) => tutorialTopology(mode, { family }),
  configuration: ({ mode, scheduler, family }) => directorConfiguration(mode, scheduler, family),
  healthChecks: 'uldirectord',
  startServers,
  send: sendRequests,
};

/**
 * The tutorial with ldirectord itself, unmodified, in place of uldirectord: it finds our `uipvsadm` where it looks
 * for `ipvsadm`. Servers are taken out and brought back, and its words `status` and `stop` are tried.
 */
import { chmodSync, writeFileSync } from 'node:fs';
import { ADDRESSES } from '../addresses.ts';
import { directorConfiguration } from '../configuration.ts';
import { type Director, packageProgram, parseTable } from '../director.ts';
import { LabError, waitFor } from '../host.ts';
import { type HostCommand, planServerPower } from '../plan.ts';
import { sendPart, sumUp, watched } from '../requests.ts';
import type { Lab } from '../run.ts';
import { startServers } from '../servers.ts';
import { tutorialTopology } from '../topology.ts';
import type { TrafficResult } from '../traffic.ts';
import type { ScenarioKind, ScenarioRun } from './kind.ts';

/** The server that is broken and mended. */
const VICTIM = ADDRESSES.ipv4.servers[1];
/** ldirectord removes its services after it has answered. */
const STOP_TIMEOUT_MS = 30_000;
/** Exit status of `status`. */
const RUNNING = 0;
const STOPPED = 3;

/**
 * Runs "$@" where both places at which ldirectord looks for ipvsadm hold "$1" instead. The mount namespace is the
 * program's own, so nobody else sees it.
 */
const WITH_OUR_IPVSADM = `ours="$1" && shift
for place in /sbin/ipvsadm /usr/sbin/ipvsadm; do
  if [ -e "$place" ]; then mount -n --bind "$ours" "$place" || exit 1; fi
done
exec "$@"`;

export const realLdirectord: ScenarioKind = {
  name: 'real-ldirectord',
  summary: "the tutorial with Debian's own ldirectord, which calls our uipvsadm; one server dies and comes back",
  modes: ['fullnat', 'masq', 'dr'],
  families: ['ipv4'],
  requests: 900,
  concurrency: 20,
  breakable: false,
  client: 'ab',
  connectionPerRequest: () => true,
  programs: ['ldirectord', 'ipvsadm'],
  topology: ({ mode }) => tutorialTopology(mode),
  configuration: ({ mode, scheduler }) => directorConfiguration(mode, scheduler),
  healthChecks: 'ldirectord',
  async startHealthChecks(lab, director, configuration) {
    director.writeConfiguration(configuration);
    writeWrapper(lab);
    await ldirectord(lab, director, 'start', RUNNING);
  },
  startServers,
  send,
  finish: stop,
};

/** ldirectord starts it without a PATH that leads to Node. */
function writeWrapper(lab: Lab): void {
  const words = packageProgram('uipvsadm').map((word) => `'${word}'`);
  writeFileSync(lab.path('ipvsadm'), `#!/bin/sh\nexec ${words.join(' ')} "$@"\n`);
  chmodSync(lab.path('ipvsadm'), 0o755);
}

/** Runs `ldirectord FILE ACTION`, which must end with `expected`; what it said. */
async function ldirectord(lab: Lab, director: Director, action: string, expected: number): Promise<string> {
  const command: HostCommand = ['ldirectord', director.configurationFile, action];
  const inside = ['sh', '-c', WITH_OUR_IPVSADM, 'sh', lab.path('ipvsadm'), ...command];
  const { code, stdout, stderr } = await lab.run(lab.director, inside);
  const said = `${stdout}${stderr}`.trim();
  if (code === expected) return said;
  throw new LabError(`\`${command.join(' ')}\` ended with ${code}, not ${expected}${said === '' ? '' : `: ${said}`}`);
}

/** A third of the requests with all servers, a third while one is dead, a third when it is back. */
async function send(run: ScenarioRun): Promise<TrafficResult> {
  const { lab, options, progress, director } = run;
  const third = Math.ceil(options.requests / 3);
  const power = async (state: 'on' | 'off') => {
    await lab.carryOut(planServerPower(lab.topology, lab.id, VICTIM, state));
    progress.notice(
      `${VICTIM} ${state === 'off' ? 'lost its network' : 'has its network again'}; waiting for ldirectord`,
    );
    const good = (serving: ReadonlySet<string>) => serving.has(VICTIM) === (state === 'on');
    await director.waitForTable(good, `ldirectord did not notice that ${VICTIM} is ${state}`);
  };
  progress.step(`client: ab, ${options.requests} requests in three parts`);
  return watched(run, async () => {
    const parts = await sendPart(run, Math.min(third, options.requests));
    await power('off');
    parts.push(...(await sendPart(run, Math.max(0, Math.min(third, options.requests - third)))));
    await power('on');
    parts.push(...(await sendPart(run, Math.max(0, options.requests - 2 * third))));
    progress.step(`ldirectord status: ${await ldirectord(lab, director, 'status', RUNNING)}`);
    return sumUp(parts);
  });
}

/** `stop` takes servers and service out of the table; after that `status` says so. */
async function stop({ lab, progress, director, signal }: ScenarioRun): Promise<void> {
  await ldirectord(lab, director, 'stop', 0);
  const empty = async () => {
    const listing = await director.listing();
    return parseTable(listing).length === 0 && !/^(TCP|UDP)/m.test(listing) ? true : null;
  };
  if ((await waitFor(empty, { timeoutMs: STOP_TIMEOUT_MS, everyMs: 250, signal })) === null) {
    throw new LabError(`ldirectord stop left something in the table:\n${await director.listing()}`);
  }
  const ended = async () => ((await ldirectordSays(lab, director)) === STOPPED ? true : null);
  if ((await waitFor(ended, { timeoutMs: STOP_TIMEOUT_MS, everyMs: 250, signal })) === null) {
    throw new LabError('ldirectord still runs after its stop');
  }
  progress.step('ldirectord stop: the table is empty and ldirectord has ended');
}

async function ldirectordSays(lab: Lab, director: Director): Promise<number> {
  return (await lab.run(lab.director, ['ldirectord', director.configurationFile, 'status'])).code;
}

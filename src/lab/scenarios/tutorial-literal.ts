/**
 * The tutorial as it is typed: its two sysctls in a file, its iptables line, its ldirectord.cf, and uipvsd without a
 * word about full NAT. The servers know nothing of the director, so without the rule no answer would come back; that
 * is tried in the end, with rules taken away and added while uipvsd runs.
 */
import { writeFileSync } from 'node:fs';
import { ADDRESSES } from '../addresses.ts';
import { directorConfiguration } from '../configuration.ts';
import { packageProgram } from '../director.ts';
import { LabError, waitFor } from '../host.ts';
import type { Progress } from '../report.ts';
import { sendRequests } from '../requests.ts';
import type { Lab } from '../run.ts';
import { startServers } from '../servers.ts';
import { tutorialTopology } from '../topology.ts';
import { parseAb } from '../traffic.ts';
import type { ScenarioKind, ScenarioRun } from './kind.ts';

const SYSCTLS = 'net.ipv4.ip_forward = 1\nnet.ipv4.vs.conntrack = 1\n';
const FILE = '/etc/sysctl.d/lvs.conf';
const { virtual, serverNetwork } = ADDRESSES.ipv4;
const RULE = `POSTROUTING -d ${serverNetwork} -j MASQUERADE`;
const IPVS_MATCH = `-m ipvs --vaddr ${virtual}/32 --vport 80`;
const RULE_BY_SERVICE = `POSTROUTING ${IPVS_MATCH} -j MASQUERADE`;
/** The same for kernels that have no IPVS to ask. */
const RULE_BY_COMMENT = `POSTROUTING -d ${serverNetwork} -m comment --comment "${IPVS_MATCH}" -j MASQUERADE`;

/** uipvsd hears of changed rules at once; slow machines take longer to read them. */
const NOTICE_TIMEOUT_MS = 20_000;
const REQUESTS_AFTERWARDS = 50;
/** `ab` gives up after so many seconds without an answer. */
const PATIENCE_SECONDS = 2;

export const tutorialLiteral: ScenarioKind = {
  name: 'tutorial-literal',
  summary: 'the tutorial as it is typed: sysctl.d, iptables -j MASQUERADE and ldirectord.cf; then without the rule',
  modes: ['fullnat'],
  families: ['ipv4'],
  requests: 1000,
  concurrency: 20,
  breakable: false,
  client: 'ab',
  connectionPerRequest: () => true,
  programs: ['iptables'],
  topology: () => tutorialTopology('fullnat'),
  configuration: ({ scheduler }) => directorConfiguration('fullnat', scheduler),
  healthChecks: 'uldirectord',
  setUpDirector,
  startServers,
  async send(run) {
    const result = await sendRequests(run);
    await type(run.lab, run.progress, 'uipvs status | grep "source NAT"', {
      run: `${quoted(packageProgram('uipvs'))} status | grep "^source NAT"`,
    });
    return result;
  },
  finish,
};

async function setUpDirector(lab: Lab, progress: Progress): Promise<void> {
  progress.step('the tutorial’s steps on the director, as they are typed');
  writeFileSync(lab.path('sysctl.d/lvs.conf'), SYSCTLS);
  await type(lab, progress, `cat ${FILE}`);
  // The second one is none of this kernel’s when it has no IPVS; uipvsd reads the same file.
  await type(lab, progress, `sysctl -p ${FILE}`, { mayFail: true });
  await type(lab, progress, `iptables -t nat -A ${RULE}`);
}

/** Without the rule, and with one that names the service. */
async function finish(run: ScenarioRun): Promise<void> {
  const { lab, progress } = run;
  await type(lab, progress, `iptables -t nat -D ${RULE}`);
  await waitForRules(run, 0);
  const without = await ask(run, 1);
  if (without > 0) throw new LabError('without the rule the servers’ answers came back all the same');
  progress.step('client: without the rule no answer comes back: the servers see the client’s own address');
  if (!(await type(lab, progress, `iptables -t nat -A ${RULE_BY_SERVICE}`, { mayFail: true }))) {
    progress.step('this kernel has no IPVS to ask; uipvs takes the same words from the comment of a rule');
    await type(lab, progress, `iptables -t nat -A ${RULE_BY_COMMENT}`);
  }
  await waitForRules(run, 1);
  const answered = await ask(run, REQUESTS_AFTERWARDS);
  progress.step(`client: with this rule ${answered} of ${REQUESTS_AFTERWARDS} requests are answered`);
  if (answered < REQUESTS_AFTERWARDS) throw new LabError(`with the rule ${RULE_BY_COMMENT} requests are lost`);
}

interface Typing {
  /** What is run when that is not what an operator would type. */
  readonly run?: string;
  readonly mayFail?: boolean;
}

/** Shows a command line of the director and what it says. True: it succeeded. */
async function type(
  lab: Lab,
  progress: Progress,
  line: string,
  { run = line, mayFail }: Typing = {},
): Promise<boolean> {
  progress.block(`    # ${line}`);
  const { code, stdout, stderr } = await lab.run(lab.director, ['sh', '-c', run]);
  for (const said of `${stdout}${stderr}`.split('\n')) if (said.trim() !== '') progress.detail(said.trim());
  if (code !== 0 && mayFail !== true) throw new LabError(`\`${line}\` ended with ${code}: ${stderr.trim()}`);
  return code === 0;
}

/** Until uipvsd follows so many rules. */
async function waitForRules({ lab, signal }: ScenarioRun, count: number): Promise<void> {
  let said = '';
  const follows = async () => {
    const { stdout } = await lab.mustRun(lab.director, [...packageProgram('uipvs'), 'status', '--json']);
    const { sourceNat } = JSON.parse(stdout) as { sourceNat: { rules: { problem: string | null }[] } };
    said = JSON.stringify(sourceNat);
    return sourceNat.rules.filter(({ problem }) => problem === null).length === count ? true : null;
  };
  if ((await waitFor(follows, { timeoutMs: NOTICE_TIMEOUT_MS, everyMs: 200, signal })) !== null) return;
  throw new LabError(`uipvsd did not notice the change of the rules; it follows ${said}`);
}

/** How many of so many requests, one after the other, are answered. */
async function ask({ lab, signal }: ScenarioRun, requests: number): Promise<number> {
  const words = ['ab', '-n', String(requests), '-c', '1', '-s', String(PATIENCE_SECONDS), `http://${virtual}/`];
  const { stdout, stderr } = await lab.run(lab.client, words, { signal });
  const { completed, failed } = parseAb(stdout, stderr);
  return completed - failed;
}

function quoted(words: readonly string[]): string {
  return words.map((word) => `'${word}'`).join(' ');
}

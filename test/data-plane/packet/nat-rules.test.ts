/** The host's MASQUERADE and SNAT rules as a running data plane follows them, with the host's own tools. */
import { execFileSync } from 'node:child_process';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { SourceNatReport } from '../../../src/model/source-nat-rule.ts';
import { compileSources, eventually, Namespace, type PlaneProcess, whySkipped } from '../support/namespace.ts';
import { destination, key, service } from '../support/specs.ts';

const reason = whySkipped();
const NOTICE_MS = 20_000;
const web = key('10.0.0.100', 80);

/** Why rules of this program cannot be tried here, or `null`. */
function whyNot(program: string): string | null {
  try {
    execFileSync('unshare', ['-n', program, '-t', 'nat', '-A', 'POSTROUTING', '-j', 'MASQUERADE'], { stdio: 'ignore' });
    return null;
  } catch {
    return `${program} does not work here`;
  }
}

describe.skipIf(reason !== null)(`in a network namespace${reason === null ? '' : ` (skipped: ${reason})`}`, () => {
  let compiled: ReturnType<typeof compileSources>;
  let namespace: Namespace;
  let plane: PlaneProcess;

  beforeAll(() => {
    compiled = compileSources();
  });
  afterAll(() => compiled?.remove());
  beforeEach(async () => {
    namespace = new Namespace('uinat');
    namespace.run('ip link add e0 type veth peer name p0; ip link set p0 up; ip link set e0 up');
    namespace.run('ip address add 10.0.0.1/24 dev e0');
  });
  afterEach(() => namespace.remove());

  async function start(conntrack: '0' | '1' = '1'): Promise<void> {
    plane = await namespace.plane(compiled.folder);
    await plane.start({ io: 'packet-mmsg' });
    await plane.execute({ name: 'addService', service: service(web) });
    await plane.execute({ name: 'addDestination', service: web, destination: destination('10.0.0.11', 80) });
    await plane.execute({ name: 'setSetting', setting: 'conntrack', value: conntrack });
  }

  const report = async () => (await plane.execute({ name: 'listSourceNatRules' })) as SourceNatReport;

  /** Waits until the plane knows exactly these rules, each as `origin: text`, with `!` when it is not understood. */
  async function knows(...rules: readonly string[]): Promise<void> {
    let last: readonly string[] = [];
    const beginMs = performance.now();
    while (performance.now() - beginMs < NOTICE_MS) {
      last = (await report()).rules.map(
        ({ origin, text, problem }) => `${problem === null ? '' : '!'}${origin}: ${text}`,
      );
      if (JSON.stringify(last) === JSON.stringify(rules)) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(last).toEqual(rules);
  }

  const heard = (words: string) =>
    eventually(() => plane.events.some((event) => event.type === 'notice' && event.message.includes(words)), NOTICE_MS);

  test('rules of nft: those that are there, those that come and go, and those that are not understood', async () => {
    namespace.run(`nft 'add table inet lb'
      nft 'add chain inet lb post { type nat hook postrouting priority 100; }'
      nft 'add rule inet lb post ip daddr 10.0.0.11 masquerade'`);
    await start();
    await knows('nft inet lb: ip daddr 10.0.0.11 masquerade');
    expect(await report()).toMatchObject({ inForce: true, rules: [{ hits: 0, concerned: true }] });
    await heard('connections follow the rule of nft inet lb: ip daddr 10.0.0.11 masquerade');
    namespace.run("nft 'add rule inet lb post limit rate 1/second masquerade'");
    await knows('nft inet lb: ip daddr 10.0.0.11 masquerade', '!nft inet lb: limit rate 1/second masquerade');
    await heard('is not followed: limit rate 1/second masquerade (not understood: "limit")');
    namespace.run('nft delete table inet lb');
    await knows();
    await heard('the host has no such rules any more');
    await plane.close();
  });

  test('without conntrack the log says how they come into force', async () => {
    namespace.run(`nft 'add table ip lb'
      nft 'add chain ip lb post { type nat hook postrouting priority 100; }'
      nft 'add rule ip lb post masquerade'`);
    await start('0');
    await heard('uipvs sysctl -w net.ipv4.vs.conntrack=1');
    await plane.execute({ name: 'setSetting', setting: 'conntrack', value: '1' });
    await heard('connections follow the rule of nft ip lb: masquerade');
    await plane.close();
  });

  const programs = ['iptables-nft', 'iptables-legacy', 'ip6tables-nft', 'ip6tables-legacy'] as const;
  test.for(programs)('rules of %s are read with its own words', async (program, { skip }) => {
    const missing = whyNot(program);
    skip(missing !== null, missing ?? '');
    await start();
    const rule = 'POSTROUTING -p tcp -m multiport --dports 80,443 -m comment --comment "web servers" -j MASQUERADE';
    namespace.run(`${program} -t nat -A ${rule}`);
    const origin = program.replace('-nft', '');
    await knows(`${origin}: -A ${rule}`);
    namespace.run(`${program} -t nat -F POSTROUTING`);
    await knows();
    await plane.close();
  });
});

/**
 * Two directors in direct routing: keepalived's VRRP moves the virtual address, and their sync daemons tell each other
 * the connections, so that those survive. uipvsd answers ARP for the addresses of its services when its host does not
 * have them; so each director has the address on lo as well, where arp_ignore keeps the host quiet about it, and only the
 * one that keepalived gives it to answers. Source of the protocol: RFC 5798.
 */
import { ADDRESSES, endpoint } from '../addresses.ts';
import { waitFor } from '../host.ts';
import { namespaceName, SWITCH, switchPort } from '../plan.ts';
import { clientIsAnswered, everyServerTakesPart, tableIsComplete } from '../standing/checks.ts';
import type { Check, StandingKind, Step } from '../standing/kind.ts';
import type { Visit } from '../standing/visit.ts';
import { type LabHost, tutorialTopology } from '../topology.ts';

const plan = ADDRESSES.ipv4;
const { virtual, servers } = plan;
const service = endpoint(virtual, 80);
const DIRECTORS = ['director', 'director2'] as const;
const base = tutorialTopology('dr', { fallback: false });

/** Connections stay idle so long while the address moves: VRRP needs about four seconds, a busy machine more. */
const IDLE_MS = 15_000;
/** Until the sync daemons have told the new connections. */
const TOLD_MS = 4000;
const TOLD_TIMEOUT_MS = 15_000;
const MOVE_TIMEOUT_MS = 40_000;

const director = (name: string, address: string): LabHost => ({
  name,
  role: 'director',
  links: [{ name: 'eth0', network: 'servers', addresses: [`${address}/24`] }],
  loopbackAddresses: [`${virtual}/32`],
  gateway: null,
  settings: { 'net.ipv4.conf.all.arp_ignore': '1', 'net.ipv4.conf.all.arp_announce': '2' },
});

const configuration = (state: string, priority: number): string =>
  [
    'vrrp_instance website {',
    `  state ${state}`,
    '  interface eth0',
    '  virtual_router_id 51',
    `  priority ${priority}`,
    '  advert_int 1',
    '  virtual_ipaddress {',
    `    ${virtual}/32 dev eth0`,
    '  }',
    '}',
  ].join('\\n');

const add = ['-A', '-t', service, '-s', 'rr'];
const addServers = servers.map((address) => ['-a', '-t', service, '-r', endpoint(address, 80), '-g']);
const WHEN_READY = 'for i in $(seq 200); do ipvsadm -Ln > /dev/null 2>&1 && exit 0; sleep 0.2; done; exit 1';
const KEEPALIVED = 'keepalived -n -l -D -P -f /run/keepalived.conf -p /run/keepalived.pid -r /run/vrrp.pid';

const backUp: Step[] = [
  { on: 'director2', line: 'uipvsd', background: 'director2-uipvsd' },
  { on: 'director2', line: WHEN_READY },
  ...[add, ...addServers].map((words) => ({ on: 'director2', line: `ipvsadm ${words.join(' ')}` })),
];

const connectionsAreTold: Step[] = DIRECTORS.flatMap((on) =>
  ['master', 'backup'].map((role) => ({
    on,
    line: `ipvsadm --start-daemon ${role} --mcast-interface eth0 --syncid 1`,
  })),
);

const addressMoves: Step[] = DIRECTORS.flatMap((on, index) => [
  {
    on,
    line: `printf '${configuration(index === 0 ? 'MASTER' : 'BACKUP', 150 - 50 * index)}\\n' > /run/keepalived.conf`,
  },
  { on, line: KEEPALIVED, background: `${on}-keepalived` },
]);

const HAS_ADDRESS = `ip -br address show dev eth0 to ${virtual} | grep -q .`;
const settled: Step = {
  on: 'director',
  line: `for i in $(seq 300); do ${HAS_ADDRESS} && exit 0; sleep 0.2; done; exit 1`,
};

/** Names of the directors that have the virtual address on their link. */
async function holders(visit: Visit): Promise<string[]> {
  const has = await Promise.all(DIRECTORS.map(async (name) => (await visit.sh(name, HAS_ADDRESS)).code === 0));
  return DIRECTORS.filter((_, index) => has[index]);
}

async function movedTo(visit: Visit, name: string): Promise<boolean> {
  const there = async () => ((await holders(visit)).join() === name ? true : null);
  return (await waitFor(there, { timeoutMs: MOVE_TIMEOUT_MS, everyMs: 300, signal: visit.signal })) !== null;
}

/** As if somebody pulled the cable of the first director out of the switch, and put it back. */
async function cable(visit: Visit, state: 'down' | 'up'): Promise<void> {
  const space = namespaceName(visit.lab.id, SWITCH);
  await visit.lab.carryOut([['ip', '-n', space, 'link', 'set', switchPort(visit.host('director'), 'eth0'), state]]);
}

const firstHasAddress: Check = {
  item: 'the first director has the virtual address, the second has not',
  test: async (visit) => {
    await movedTo(visit, 'director');
    const who = await holders(visit);
    return { passed: who.join() === 'director', evidence: `it is on ${who.join(' and ') || 'neither'}` };
  },
};

const onlyFirstAnswersArp: Check = {
  item: 'only the first director answers ARP for the virtual address',
  test: async (visit) => {
    const who = await visit.arpAnswers(virtual);
    return { passed: who.join() === 'director eth0', evidence: who.join(', ') || 'nobody answers' };
  },
};

/** The connections of a director, by the client's end: `192.168.1.100:41296`. */
async function clientsOf(visit: Visit, name: string): Promise<Set<string>> {
  const listing = await visit.mustSh(name, 'ipvsadm -Lnc');
  return new Set(listing.split('\n').flatMap((line) => /^TCP +\S+ +\S+ +(\S+)/.exec(line)?.[1] ?? []));
}

const secondIsTold: Check = {
  item: 'the second director hears of connections from the first',
  test: async (visit) => {
    const before = await clientsOf(visit, 'director');
    const { text } = await visit.ask({ count: 3 });
    const fresh = [...(await clientsOf(visit, 'director'))].filter((client) => !before.has(client));
    const told = async () => {
      const known = await clientsOf(visit, 'director2');
      return fresh.length > 0 && fresh.every((client) => known.has(client)) ? true : null;
    };
    const all = await waitFor(told, { timeoutMs: TOLD_TIMEOUT_MS, everyMs: 500, signal: visit.signal });
    return { passed: all !== null, evidence: `${text}; the second knows ${all === null ? 'not all of them' : 'them'}` };
  },
};

const secondTakesOver: Check = {
  item: 'when the first director loses its cable the second takes over, and open connections survive',
  test: async (visit) => {
    const open = visit.ask({ count: 3, idleMs: IDLE_MS, timeoutMs: 10_000 });
    await waitFor(() => null, { timeoutMs: TOLD_MS, everyMs: TOLD_MS, signal: visit.signal });
    await cable(visit, 'down');
    try {
      // The first one cannot be asked what it has; it has no link.
      const beganMs = performance.now();
      const second = async () => ((await visit.sh('director2', HAS_ADDRESS)).code === 0 ? true : null);
      const moved = await waitFor(second, { timeoutMs: MOVE_TIMEOUT_MS, everyMs: 200, signal: visit.signal });
      const seconds = ((performance.now() - beganMs) / 1000).toFixed(1);
      const survived = await open;
      const fresh = await visit.ask({ count: 6 });
      return {
        passed: moved !== null && survived.answered === survived.asked && fresh.answered === fresh.asked,
        evidence: `${moved === null ? 'the address did not move' : `taken over after ${seconds} s`}; open connections: ${survived.text}; new ones: ${fresh.text}`,
      };
    } finally {
      await open.catch(() => {});
      await cable(visit, 'up');
    }
  },
};

const firstIsBack: Check = {
  item: 'with its cable back the first director has the virtual address again',
  test: async (visit) => {
    const back = await movedTo(visit, 'director');
    const { answered, asked, text } = await visit.ask({ count: 6 });
    return {
      passed: back && answered === asked,
      evidence: `it is on ${(await holders(visit)).join(' and ')}; ${text}`,
    };
  },
};

export const keepalived: StandingKind = {
  name: 'keepalived',
  summary: 'two directors: keepalived moves the virtual address, the sync daemons keep connections alive',
  topology: {
    ...base,
    hosts: base.hosts.flatMap((host) =>
      host.role === 'director' ? [director('director', plan.director), director('director2', '192.168.1.9')] : [host],
    ),
  },
  servers: 'web',
  serverWords: ['--keep-alive'],
  daemon: [],
  table: { by: 'ipvsadm', commands: [add, ...addServers] },
  after: [...backUp, ...connectionsAreTold, ...addressMoves, settled],
  programs: ['keepalived'],
  checks: [
    tableIsComplete,
    firstHasAddress,
    onlyFirstAnswersArp,
    clientIsAnswered(),
    everyServerTakesPart(),
    secondIsTold,
    secondTakesOver,
    firstIsBack,
  ],
  hints: [
    'Who has the address? uipvs lab sh director -- ip -br address show eth0; the same on director2.',
    'What they say to each other: uipvs lab sh client -- tcpdump -nc 5 -i eth0 proto 112',
    'Stop the first: uipvs lab sh director -- ip link set eth0 down. Ask from the client; look at director2; set it up again.',
    'Connections that the second one knows, though it never carried them: uipvs lab sh director2 -- ipvsadm -Lnc',
    'The sync daemons: uipvs lab sh director -- ipvsadm -L --daemon',
  ],
};

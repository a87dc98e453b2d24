/** Each rule over fabricated facts: what it finds, what it does not, and what only looks like it. */
import { describe, expect, test } from 'vitest';
import type { DropRule } from '../../src/doctor/facts/firewall.ts';
import { arpProblem } from '../../src/doctor/rules/arp-problem.ts';
import { clock } from '../../src/doctor/rules/clock.ts';
import { conntrack } from '../../src/doctor/rules/conntrack.ts';
import { firewall } from '../../src/doctor/rules/firewall.ts';
import { gateway } from '../../src/doctor/rules/gateway.ts';
import { hashWeight } from '../../src/doctor/rules/hash-weight.ts';
import { RULES } from '../../src/doctor/rules/index.ts';
import { ipForward } from '../../src/doctor/rules/ip-forward.ts';
import { keepalive } from '../../src/doctor/rules/keepalive.ts';
import { offloads } from '../../src/doctor/rules/offloads.ts';
import { portInUse } from '../../src/doctor/rules/port-in-use.ts';
import { ports } from '../../src/doctor/rules/ports.ts';
import { returnPath } from '../../src/doctor/rules/return-path.ts';
import { rpFilter } from '../../src/doctor/rules/rp-filter.ts';
import { serverSilent } from '../../src/doctor/rules/server-silent.ts';
import { tunnelMtu } from '../../src/doctor/rules/tunnel-mtu.ts';
import { vipMissing } from '../../src/doctor/rules/vip-missing.ts';
import { vipTaken } from '../../src/doctor/rules/vip-taken.ts';
import { weights } from '../../src/doctor/rules/weights.ts';
import {
  CLIENT,
  daemonFacts,
  destination,
  facts,
  flow,
  found,
  HOST,
  hostWithout,
  NEAR_CLIENT,
  outcome,
  RS1,
  RS2,
  RS3,
  SERVER_MACS,
  SERVERS,
  STRANGER_MAC,
  service,
  statistics,
  traffic,
  VIP,
} from './fabricated.ts';

const spread = (method: 'direct' | 'tunnel') => [
  service(
    {},
    SERVERS.map((address) => destination({ address, method })),
  ),
];
const waiting = (server: string, client = CLIENT) =>
  [1, 2, 3].map((number) => ({ state: 'SYN_RECV', server, client, clientPort: 40_000 + number }));
const silentServer = (address: string) =>
  service(
    {},
    SERVERS.map((each) =>
      destination({ address: each }, each === address ? statistics(3, 9, 0) : statistics(3, 15, 12)),
    ),
  );

describe('every rule', () => {
  test('has a name of its own and a summary, and finds nothing on a healthy director', () => {
    expect(new Set(RULES.map(({ name }) => name)).size).toBe(RULES.length);
    for (const rule of RULES) {
      expect(rule.name).toMatch(/^[a-z]+(-[a-z]+)*$/);
      expect(rule.summary).not.toBe('');
      expect([rule.name, outcome(rule)]).not.toContain('found');
      expect([rule.name, outcome(rule)]).not.toContain('cannotTell');
    }
  });

  test('says why it cannot tell when a fact is missing that it needs', () => {
    for (const rule of RULES) {
      for (const need of rule.needs) {
        expect(rule.examine(facts({ [need]: null }))).toEqual({
          cannotTell: expect.stringContaining(`${need} was not asked`),
        });
      }
    }
  });

  test('explains only rules that there are', () => {
    const names = RULES.map(({ name }) => name);
    expect(RULES.flatMap(({ explains }) => explains).filter((name) => !names.includes(name))).toEqual([]);
  });
});

describe('vip-missing', () => {
  const host = hostWithout(VIP);
  test('finds an address that the proxy or the kernel would need, and puts it there', () => {
    const [finding] = found(vipMissing, { host, daemon: daemonFacts({ plane: 'proxy' }) });
    expect(finding?.what).toContain(VIP);
    expect(finding?.cures[0]).toMatchObject({
      on: 'here',
      commands: [['ip', 'address', 'add', `${VIP}/32`, 'dev', 'eth0']],
      undo: [['ip', 'address', 'delete', `${VIP}/32`, 'dev', 'eth0']],
    });
  });
  test('knows that the packet engine answers for it by itself', () => {
    expect(outcome(vipMissing, { host })).toBe('fine');
  });
  test('cannot tell whether a router sends an address here that is in no network of this host', () => {
    const far = service({ key: { protocol: 'tcp', address: '203.0.113.1', port: 80 } });
    expect(outcome(vipMissing, { daemon: daemonFacts({ services: [far] }) })).toBe('cannotTell');
    const used = { ...far, statistics: statistics(5, 20, 20) };
    expect(outcome(vipMissing, { daemon: daemonFacts({ services: [used] }) })).toBe('fine');
  });
  test('leaves firewall marks alone', () => {
    const marked = service({ key: { mark: 5, family: 'ipv4' } });
    expect(outcome(vipMissing, { host, daemon: daemonFacts({ services: [marked] }) })).toBe('notApplicable');
  });
});

describe('vip-taken and arp-problem', () => {
  const answeredBy = (mac: string, how: 'answered' | 'announced' = 'answered') => ({
    arp: { probes: [{ address: VIP, link: 'eth0', asked: 3, answers: [{ mac, how, count: 3 }] }], elsewhere: [] },
  });
  test('tell a real server from a stranger by its MAC', () => {
    expect(found(arpProblem, answeredBy(SERVER_MACS[1]))[0]).toMatchObject({ servers: [RS2] });
    expect(outcome(vipTaken, answeredBy(SERVER_MACS[1]))).toBe('fine');
    const [taken] = found(vipTaken, answeredBy(STRANGER_MAC));
    expect(JSON.stringify(taken?.evidence)).toContain(STRANGER_MAC);
    expect(outcome(arpProblem, answeredBy(STRANGER_MAC))).toBe('fine');
  });
  test('a server that calls others from the virtual address needs arp_announce', () => {
    const [finding] = found(arpProblem, answeredBy(SERVER_MACS[0], 'announced'));
    expect(finding?.cures[0]).toMatchObject({ on: RS1, undo: null });
    expect(finding?.cures[0]?.commands).toContainEqual(['sysctl', '-w', 'net.ipv4.conf.all.arp_announce=2']);
  });
  test('for IPv6 the address has to leave the link, since no setting keeps it quiet', () => {
    const address = 'fd00:1::120';
    const host = { ...HOST, neighbors: [{ address: 'fd00:1::11', link: 'eth0', mac: SERVER_MACS[0] }] };
    const six = service({ key: { protocol: 'tcp', address, port: 80 } }, [destination({ address: 'fd00:1::11' })]);
    const arp = {
      probes: [
        { address, link: 'eth0', asked: 3, answers: [{ mac: SERVER_MACS[0], how: 'answered' as const, count: 3 }] },
      ],
      elsewhere: [],
    };
    const [finding] = found(arpProblem, { host, arp, daemon: daemonFacts({ services: [six] }) });
    expect(finding?.evidence[0]?.shownBy).toBe('ndisc6 -m fd00:1::120 eth0');
    expect(finding?.cures[0]?.commands[1]).toEqual(['ip', '-6', 'address', 'replace', `${address}/128`, 'dev', 'lo']);
  });
  test('a MAC of VRRP and the master beside a standby director are where they belong', () => {
    expect(outcome(vipTaken, answeredBy('00:00:5e:00:01:07'))).toBe('fine');
    const backup = { role: 'backup' as const, interface: 'eth0', syncId: 1, maxLength: 0, group: '', port: 0, ttl: 1 };
    const standby = { daemon: daemonFacts({ syncDaemons: [backup] }), host: hostWithout(VIP) };
    expect(outcome(vipTaken, { ...answeredBy(STRANGER_MAC), ...standby })).toBe('fine');
    // It has the address as well as the other one.
    expect(outcome(vipTaken, { ...answeredBy(STRANGER_MAC), daemon: standby.daemon })).toBe('found');
  });
  test('say that there is nothing to ask where the address is in no network', () => {
    const arp = { probes: [], elsewhere: [VIP] };
    expect([outcome(arpProblem, { arp }), outcome(vipTaken, { arp })]).toEqual(['notApplicable', 'notApplicable']);
  });
});

describe('port-in-use', () => {
  const listener = (address: string, port = 80, pid = 500) => ({
    listeners: [{ protocol: 'tcp' as const, address, port, programs: [{ name: 'apache2', pid }] }],
  });
  test('finds a program on exactly the address and port', () => {
    const [finding] = found(portInUse, listener(VIP));
    expect(finding?.what).toContain('apache2 (pid 500)');
    expect(finding?.cures[0]?.undo).toBeNull();
  });
  test('lets be: the daemon itself, another port, another protocol, and who listens everywhere', () => {
    expect(outcome(portInUse, listener(VIP, 80, 77))).toBe('fine');
    expect(outcome(portInUse, listener(VIP, 443))).toBe('fine');
    expect(outcome(portInUse, listener('0.0.0.0'))).toBe('fine');
    const udp = { ...listener(VIP).listeners[0]!, protocol: 'udp' as const };
    expect(outcome(portInUse, { listeners: [udp] })).toBe('fine');
  });
  test('finds what holds a port everywhere when sockets serve and the table is empty', () => {
    const empty = daemonFacts({ plane: 'proxy', services: [] });
    expect(found(portInUse, { ...listener('0.0.0.0'), daemon: empty })[0]?.evidence[1]?.says).toContain('0.0.0.0:80');
    expect(outcome(portInUse, { ...listener('0.0.0.0'), daemon: daemonFacts({ services: [] }) })).toBe('fine');
    expect(outcome(portInUse, { ...listener('127.0.0.1'), daemon: empty })).toBe('fine');
  });
});

describe('firewall', () => {
  const answering = (...answers: { mac: string; how: 'answered'; count: number }[]) => ({
    hosts: { probes: [{ address: RS1, link: 'eth0', asked: 3, answers }], elsewhere: [] },
  });
  const rule = (changes: Partial<DropRule>): DropRule => ({
    chain: 'ip filter OUTPUT',
    hook: 'output',
    text: `ip daddr ${RS1} tcp dport 80 drop`,
    packetsBefore: 0,
    packets: 3,
    remove: ['nft', 'delete', 'rule', 'ip', 'filter', 'OUTPUT', 'handle', '7'],
    shownBy: 'nft -a list chain ip filter OUTPUT',
    ...changes,
  });
  const silent = (server: string = RS1) =>
    SERVERS.map((address) => ({
      address,
      port: 80,
      outcome: address === server ? ('silent' as const) : ('connected' as const),
      error: null,
      tookMs: 2500,
    }));
  test('finds the rule of this host that counted what was sent to the server', () => {
    const [finding] = found(firewall, { connects: silent(), firewall: { drops: [rule({})] } });
    expect(finding).toMatchObject({ servers: [RS1], service: `tcp ${VIP}:80` });
    expect(finding?.cures[0]?.commands[0]).toContain('7');
    expect(finding?.evidence[1]?.says).toContain('3 of them during this examination');
  });
  test('finds the rule that drops the answers', () => {
    const drops = [
      rule({ hook: 'input', text: `ip saddr ${RS1} tcp sport 80 drop`, packets: null, packetsBefore: null }),
    ];
    expect(found(firewall, { connects: silent(), firewall: { drops } })[0]?.what).toContain('this host');
  });
  test('does not blame a rule for another server, nor one that counted nothing', () => {
    for (const other of [
      rule({ text: `ip daddr ${RS2} tcp dport 80 drop` }),
      rule({ packets: 3, packetsBefore: 3 }),
      rule({ text: 'udp dport 80 drop' }),
    ]) {
      // The server is up by ARP and silent, so the filter is there.
      const here = answering({ mac: SERVER_MACS[0], how: 'answered', count: 3 });
      const [finding] = found(firewall, { ...here, connects: silent(), firewall: { drops: [other] } });
      expect(finding?.what).toContain('on that host');
    }
  });
  test('does not call a dead host a firewall, nor a port that refuses', () => {
    expect(outcome(firewall, { connects: silent(), ...answering() })).toBe('fine');
    expect(outcome(firewall, { connects: silent(), hosts: null })).toBe('fine');
    const refused = silent().map((each) => ({
      ...each,
      outcome: each.address === RS1 ? ('refused' as const) : each.outcome,
    }));
    expect(outcome(firewall, { connects: refused })).toBe('fine');
  });
  test('finds what drops clients, by the count, and ignores rules that only could', () => {
    const input = { hook: 'input', text: `tcp dport 80 drop`, chain: 'inet filter input' };
    const daemon = daemonFacts({ plane: 'proxy' });
    expect(found(firewall, { daemon, firewall: { drops: [rule(input)] } })[0]?.what).toContain('clients');
    expect(outcome(firewall, { firewall: { drops: [rule(input)] } })).toBe('fine');
    expect(outcome(firewall, { daemon, firewall: { drops: [rule({ ...input, packets: 5, packetsBefore: 5 })] } })).toBe(
      'fine',
    );
    expect(
      outcome(firewall, { daemon, firewall: { drops: [rule({ ...input, text: 'policy drop', packets: null })] } }),
    ).toBe('fine');
    expect(outcome(firewall, { daemon, firewall: { drops: [rule({ ...input, text: 'tcp dport 8080 drop' })] } })).toBe(
      'fine',
    );
  });
  test('cannot tell when nobody lists the rules', () => {
    expect(outcome(firewall, { firewall: null })).toBe('cannotTell');
  });
  test('finds a policy that lets no client through, by SYNs that nobody answers; the packet engine is before it', () => {
    const policy = (...exceptions: string[]) => ({
      drops: [
        rule({
          hook: 'input',
          chain: 'inet filter input',
          text: 'policy drop',
          packets: null,
          packetsBefore: null,
          remove: null,
          exceptions,
        }),
      ],
    });
    const usual = [
      'ct state established,related accept',
      'iif "lo" accept',
      'tcp dport 22 accept',
      'icmp type echo-request accept',
    ];
    const unanswered = traffic(flow({ syns: 3, acknowledgments: 0, dataSegments: 0, fins: 0 }));
    const proxy = daemonFacts({ plane: 'proxy', services: [service({ sourceNat: 'masquerade' })] });
    const shut = { daemon: proxy, firewall: policy(...usual), traffic: unanswered };
    expect(found(firewall, shut)[0]?.cures[0]?.commands).toEqual([
      ['nft', 'add', 'rule', 'inet', 'filter', 'input', 'tcp', 'dport', '80', 'accept'],
    ]);
    for (const accepting of [
      'tcp dport 80 accept',
      'ip saddr 10.0.0.0/24 accept',
      'jump services',
      'ct state new tcp dport { 80, 443 } accept',
    ]) {
      expect([accepting, outcome(firewall, { ...shut, firewall: policy(...usual, accepting) })]).toEqual([
        accepting,
        'fine',
      ]);
    }
    expect(outcome(firewall, { ...shut, traffic: traffic(flow()) })).toBe('fine');
    expect(outcome(firewall, { ...shut, traffic: traffic() })).toBe('fine');
    expect(outcome(firewall, { ...shut, daemon: daemonFacts() })).toBe('fine');
  });
});

describe('ip-forward', () => {
  const off = { sysctl: { 'net.ipv4.ip_forward': '0' } };
  test('is for data planes that leave forwarding to the kernel', () => {
    const [finding] = found(ipForward, { ...off, daemon: daemonFacts({ plane: 'kernel IPVS' }) });
    expect(finding?.cures[0]?.undo).toEqual([['sysctl', '-w', 'net.ipv4.ip_forward=0']]);
    expect(outcome(ipForward, off)).toBe('fine');
    expect(outcome(ipForward, { daemon: daemonFacts({ plane: 'kernel IPVS' }) })).toBe('fine');
    // Nothing comes back by a director of direct routing.
    expect(
      outcome(ipForward, { ...off, daemon: daemonFacts({ plane: 'kernel IPVS', services: spread('direct') }) }),
    ).toBe('fine');
  });
  test('finds what servers send elsewhere by a director that does not forward, and nothing when they send nothing', () => {
    const strays = [{ server: RS1, to: '9.9.9.9', protocol: 17, packets: 2 }];
    const [finding] = found(ipForward, { ...off, traffic: { ...traffic(), strays } });
    expect(finding?.servers).toEqual([RS1]);
    expect(finding?.cures[0]?.undo).toEqual([['sysctl', '-w', 'net.ipv4.ip_forward=0']]);
    expect(outcome(ipForward, { traffic: { ...traffic(), strays } })).toBe('fine');
    expect([outcome(ipForward, { ...off, traffic: null }), outcome(ipForward, { traffic: null })]).toEqual([
      'cannotTell',
      'fine',
    ]);
    const group = [{ ...strays[0]!, to: '224.0.0.251' }];
    expect(outcome(ipForward, { ...off, traffic: { ...traffic(), strays: group } })).toBe('fine');
  });
});

describe('conntrack', () => {
  const rules = [{ origin: 'iptables', text: '-A POSTROUTING -j MASQUERADE', problem: null, hits: 0, concerned: true }];
  const lost = { connections: waiting(RS1), services: [silentServer(RS1)] };
  test('finds rules without the setting, where answers do not come back', () => {
    const [finding] = found(conntrack, { daemon: daemonFacts({ ...lost, sourceNat: { inForce: false, rules } }) });
    expect(finding?.cures[0]).toMatchObject({ undo: [['uipvs', 'sysctl', '-w', 'net.ipv4.vs.conntrack=0']] });
    expect(finding?.servers).toEqual([RS1]);
  });
  test('is content when they are in force, match no server, or answers come back without them', () => {
    expect(outcome(conntrack, { daemon: daemonFacts({ ...lost, sourceNat: { inForce: true, rules } }) })).toBe('fine');
    const others = rules.map((rule) => ({ ...rule, concerned: false }));
    expect(outcome(conntrack, { daemon: daemonFacts({ ...lost, sourceNat: { inForce: false, rules: others } }) })).toBe(
      'notApplicable',
    );
    expect(outcome(conntrack, { daemon: daemonFacts({ sourceNat: { inForce: false, rules } }) })).toBe('fine');
  });
});

describe('gateway', () => {
  const returns = SERVERS.map((address) => ({
    address,
    port: 80,
    tried: [
      { source: '198.51.100.77', answered: false },
      { source: '10.0.0.252', answered: address !== RS3 },
    ],
    link: 'eth0',
  }));
  test('finds the server that answered no far address, and names the gateway it needs', () => {
    const [finding] = found(gateway, { returns });
    expect(finding?.servers).toEqual([RS3]);
    expect(finding?.cures[0]).toMatchObject({
      on: RS3,
      commands: [['ip', 'route', 'replace', 'default', 'via', '192.168.1.10']],
    });
    expect(JSON.stringify(finding?.cures[1]?.commands)).toContain('192.168.1.0/24');
  });
  test('believes traffic more than its probe', () => {
    const before = daemonFacts();
    const daemon = daemonFacts({
      services: [
        service(
          {},
          SERVERS.map((address) => destination({ address }, statistics(1, 5, 4))),
        ),
      ],
    });
    expect(outcome(gateway, { returns, before, daemon })).toBe('fine');
  });
  test('leaves a server that is down to others, and full NAT alone', () => {
    const connects = SERVERS.map((address) => ({
      address,
      port: 80,
      outcome: 'refused' as const,
      error: null,
      tookMs: 1,
    }));
    expect(outcome(gateway, { returns, connects })).toBe('fine');
    expect(
      outcome(gateway, { returns, daemon: daemonFacts({ services: [service({ sourceNat: 'masquerade' })] }) }),
    ).toBe('notApplicable');
    expect(outcome(gateway, { returns: [] })).toBe('cannotTell');
  });
});

describe('return-path', () => {
  test('finds servers that answer a client of their own network directly', () => {
    const daemon = daemonFacts({ connections: waiting(RS1, NEAR_CLIENT), services: [silentServer(RS1)] });
    const [finding] = found(returnPath, {
      daemon,
      traffic: traffic(flow({ client: NEAR_CLIENT, syns: 4, acknowledgments: 0 })),
    });
    expect(finding?.servers).toEqual([RS1]);
    expect(JSON.stringify(finding?.evidence)).toContain('4 SYNs of 1 connection');
    // A gateway would not help.
    expect(finding?.cures.map(({ on }) => on)).toEqual(['here']);
  });
  test('finds far clients without an answer where no probe could be sent, and offers the gateway too', () => {
    const daemon = daemonFacts({ connections: waiting(RS1), services: [silentServer(RS1)] });
    expect(found(returnPath, { daemon, returns: null })[0]?.cures.map(({ on }) => on)).toEqual([RS1, 'here']);
  });
  test('is not about a server whose answers to far clients come by here', () => {
    const daemon = daemonFacts({ connections: waiting(RS1), services: [silentServer(RS1)] });
    expect(outcome(returnPath, { daemon })).toBe('fine');
  });
  test('is not about direct routing, where no answer ever comes by', () => {
    expect(
      outcome(returnPath, { daemon: daemonFacts({ services: spread('direct'), connections: waiting(RS1) }) }),
    ).toBe('notApplicable');
  });
  test('cannot tell without clients and without probes', () => {
    expect(outcome(returnPath, { returns: null })).toBe('cannotTell');
  });
});

describe('rp-filter', () => {
  const strict = { 'net.ipv4.conf.all.rp_filter': '0', 'net.ipv4.conf.eth0.rp_filter': '1' };
  const kernel = daemonFacts({ plane: 'proxy' });
  const odd = traffic(flow({ link: 2, acknowledgments: 0 }));
  test('finds clients that come by a strict link and whose way back is another', () => {
    const [finding] = found(rpFilter, { daemon: kernel, sysctl: strict, traffic: odd });
    expect(finding?.cures[0]?.undo).toEqual([['sysctl', '-w', 'net.ipv4.conf.eth0.rp_filter=1']]);
  });
  test('is content with loose filters, with clients that were answered, and with the packet engine', () => {
    expect(
      outcome(rpFilter, { daemon: kernel, sysctl: { ...strict, 'net.ipv4.conf.all.rp_filter': '2' }, traffic: odd }),
    ).toBe('fine');
    expect(outcome(rpFilter, { daemon: kernel, sysctl: strict, traffic: traffic(flow({ link: 2 })) })).toBe('fine');
    expect(outcome(rpFilter, { sysctl: strict, traffic: odd })).toBe('notApplicable');
  });
  test('finds servers of direct routing that drop a SYN for where it comes from, while clients of that network wait', () => {
    const probe = {
      server: RS1,
      virtual: VIP,
      port: 80,
      mac: SERVER_MACS[0],
      outcome: 'answered' as const,
      fromElsewhere: [{ source: '10.0.0.1', outcome: 'silent' as const }],
    };
    const daemon = daemonFacts({ services: spread('direct'), connections: waiting(RS1) });
    const [finding] = found(rpFilter, { daemon, direct: [probe] });
    expect(finding?.cures).toMatchObject([{ on: RS1, commands: [['sysctl', '-w', 'net.ipv4.conf.all.rp_filter=2']] }]);
    // A network that no client waits in may be one the server has no way to.
    const elsewhere = daemonFacts({ services: spread('direct'), connections: waiting(RS1, '172.16.0.9') });
    expect(outcome(rpFilter, { daemon: elsewhere, direct: [probe] })).toBe('notApplicable');
    const answered = { ...probe, fromElsewhere: [{ source: '10.0.0.1', outcome: 'answered' as const }] };
    expect(outcome(rpFilter, { daemon, direct: [answered] })).toBe('notApplicable');
  });
});

describe('tunnel-mtu', () => {
  const daemon = daemonFacts({ services: spread('tunnel') });
  const path = { address: RS1, link: 'eth0', linkMtu: 1500, largestAnswered: 1396, smallestLost: 1400 };
  test('finds a way that carries less than the link says, and tells the server what to announce', () => {
    const [finding] = found(tunnelMtu, { daemon, paths: [path] });
    expect(finding?.servers).toEqual([RS1]);
    expect(JSON.stringify(finding?.cures[0]?.commands)).toContain(`size set ${1396 - 20 - 40}"`);
  });
  test('finds a client that repeats what is too large while it is dropped', () => {
    const stuck = traffic(flow({ fins: 0, mostRepeated: { times: 4, packetBytes: 1500, seconds: 3 } }));
    const later = daemonFacts({ services: spread('tunnel'), drops: { mtu: 4 } });
    expect(found(tunnelMtu, { before: daemon, daemon: later, traffic: stuck })[0]?.what).toContain('too large');
    // One too large in all this time is how a client learns of it.
    const once = daemonFacts({ services: spread('tunnel'), drops: { mtu: 1 } });
    expect(
      outcome(tunnelMtu, {
        before: daemon,
        daemon: once,
        traffic: stuck,
        paths: [{ ...path, smallestLost: null, largestAnswered: 1500 }],
      }),
    ).toBe('fine');
    // One that was told and sends less is as it should be.
    const told = traffic(flow({ mostRepeated: { times: 1, packetBytes: 1500, seconds: 3 } }));
    expect(
      outcome(tunnelMtu, {
        before: daemon,
        daemon: later,
        traffic: told,
        paths: [{ ...path, smallestLost: null, largestAnswered: 1500 }],
      }),
    ).toBe('fine');
  });
  test('does not take a server that answers no echoes for a narrow way', () => {
    expect(outcome(tunnelMtu, { daemon, paths: [{ ...path, largestAnswered: 0, smallestLost: 128 }] })).toBe(
      'cannotTell',
    );
    expect(outcome(tunnelMtu, { paths: [path] })).toBe('notApplicable');
  });
});

describe('offloads', () => {
  test('finds LRO with any back end, and UDP super-frames with pcap where there is UDP', () => {
    expect(found(offloads, { offloads: { eth0: { 'large-receive-offload': true } } })[0]?.cures[0]?.commands).toEqual([
      ['ethtool', '-K', 'eth0', 'lro', 'off'],
    ]);
    const list = { eth0: { 'rx-gro-list': true } };
    const udp = [service({ key: { protocol: 'udp', address: VIP, port: 53 } })];
    expect(outcome(offloads, { offloads: list, daemon: daemonFacts({ io: 'pcap', services: udp }) })).toBe('found');
    expect(outcome(offloads, { offloads: list, daemon: daemonFacts({ services: udp }) })).toBe('fine');
    expect(outcome(offloads, { offloads: list, daemon: daemonFacts({ io: 'pcap' }) })).toBe('fine');
  });
  test('looks at links that are served only, and not at all without packets', () => {
    expect(outcome(offloads, { offloads: { eth9: { 'large-receive-offload': true } } })).toBe('fine');
    expect(outcome(offloads, { daemon: daemonFacts({ plane: 'proxy' }) })).toBe('notApplicable');
  });
});

describe('server-silent', () => {
  test('finds the NAT server that gets clients and answers none', () => {
    const daemon = daemonFacts({ connections: waiting(RS2), services: [silentServer(RS2)] });
    expect(found(serverSilent, { daemon })[0]).toMatchObject({ servers: [RS2] });
  });
  test('finds a server of direct routing that does not take the virtual address', () => {
    const direct = [
      { server: RS2, virtual: VIP, port: 80, mac: SERVER_MACS[1], outcome: 'silent' as const, fromElsewhere: [] },
    ];
    const daemon = daemonFacts({ services: spread('direct') });
    expect(found(serverSilent, { daemon, direct })[0]?.cures[0]?.commands).toContainEqual([
      'ip',
      'address',
      'add',
      `${VIP}/32`,
      'dev',
      'lo',
    ]);
    const refused = direct.map((each) => ({ ...each, outcome: 'refused' as const }));
    expect(found(serverSilent, { daemon, direct: refused })[0]?.evidence[1]?.says).toContain('RST');
    const fine = direct.map((each) => ({ ...each, outcome: 'answered' as const }));
    expect(outcome(serverSilent, { daemon, direct: fine })).toBe('fine');
  });
  test('lets be: a single connection that is just being made, one that others follow, and a server that is down', () => {
    const one = daemonFacts({ services: spread('direct'), connections: waiting(RS2).slice(0, 1) });
    expect(outcome(serverSilent, { daemon: one })).toBe('fine');
    const answered = [...waiting(RS2), { state: 'ESTABLISHED', server: RS2, clientPort: 5 }];
    expect(outcome(serverSilent, { daemon: daemonFacts({ services: spread('direct'), connections: answered }) })).toBe(
      'fine',
    );
    const connects = SERVERS.map((address) => ({
      address,
      port: 80,
      outcome: 'silent' as const,
      error: null,
      tookMs: 1,
    }));
    expect(
      outcome(serverSilent, {
        daemon: daemonFacts({ connections: waiting(RS2), services: [silentServer(RS2)] }),
        connects,
      }),
    ).toBe('fine');
  });
  test('finds a server that takes connections and says nothing, where others answer', () => {
    const answers = (server: string, clientPort: number, dataSegments: number) => ({
      server,
      serverPort: 80,
      to: CLIENT,
      toPort: clientPort,
      segments: 3,
      synAcks: 1,
      dataSegments,
      resets: 0,
    });
    const asked = traffic(...[1, 2, 3, 4].map((number) => flow({ clientPort: number })));
    const servers = [answers(RS1, 1, 0), answers(RS1, 2, 0), answers(RS2, 3, 4), answers(RS2, 4, 4)];
    const counted = daemonFacts({
      services: [
        service(
          {},
          SERVERS.map((address) => destination({ address }, statistics(9, 90, 60))),
        ),
      ],
    });
    const seen = { daemon: counted, traffic: { ...asked, servers } };
    expect(found(serverSilent, seen)[0]).toMatchObject({ servers: [RS1] });
    // Nobody answers: then it is the protocol, or the watch was too short.
    expect(
      outcome(serverSilent, {
        ...seen,
        traffic: { ...asked, servers: servers.map((each) => ({ ...each, dataSegments: 0 })) },
      }),
    ).toBe('fine');
    // The client has not asked yet, or it was this host's own probe.
    const idle = traffic(
      ...[1, 2, 3, 4].map((number) => flow({ clientPort: number, dataSegments: number > 2 ? 1 : 0 })),
    );
    expect(outcome(serverSilent, { ...seen, traffic: { ...idle, servers } })).toBe('fine');
    const probes = servers.map((each) => ({ ...each, to: '192.168.1.10' }));
    expect(outcome(serverSilent, { ...seen, traffic: { ...asked, servers: probes } })).toBe('fine');
  });
  test('finds a server with weight that refuses connections, and one that is gone and that nobody checks', () => {
    const refusing = (result: 'refused' | 'silent') => ({
      connects: SERVERS.map((address) => ({
        address,
        port: 80,
        outcome: address === RS1 ? result : ('connected' as const),
        error: null,
        tookMs: 1,
      })),
    });
    const [finding] = found(serverSilent, refusing('refused'));
    expect(finding).toMatchObject({
      servers: [RS1],
      cures: [{ on: RS1 }, { on: 'here', undo: [expect.arrayContaining(['-w', '1'])] }],
    });
    const drained = daemonFacts({
      services: [
        service(
          {},
          SERVERS.map((address) => destination({ address, weight: address === RS1 ? 0 : 1 })),
        ),
      ],
    });
    expect(outcome(serverSilent, { ...refusing('refused'), daemon: drained })).toBe('fine');
    const gone = { hosts: { probes: [{ address: RS1, link: 'eth0', asked: 3, answers: [] }], elsewhere: [] } };
    expect(found(serverSilent, { ...refusing('silent'), ...gone })[0]?.what).toContain('is not there');
    // Not asked by ARP: it could be behind a router.
    expect(outcome(serverSilent, refusing('silent'))).toBe('fine');
    // A server of direct routing may listen on the virtual address alone.
    const direct = [
      { server: RS1, virtual: VIP, port: 80, mac: SERVER_MACS[0], outcome: 'answered' as const, fromElsewhere: [] },
    ];
    expect(
      outcome(serverSilent, { ...refusing('refused'), daemon: daemonFacts({ services: spread('direct') }), direct }),
    ).toBe('fine');
  });
});

describe('weights', () => {
  const zero = [
    service(
      {},
      SERVERS.map((address) => destination({ address, weight: 0 })),
    ),
  ];
  test('finds a service whose weights are all 0, and gives those weight that accept connections', () => {
    const [finding] = found(weights, { daemon: daemonFacts({ services: zero }) });
    expect(finding?.cures[0]?.commands).toContainEqual([
      'uipvsadm',
      '-e',
      '-t',
      `${VIP}:80`,
      '-r',
      `${RS1}:80`,
      '-m',
      '-w',
      '1',
    ]);
    expect(finding?.cures[0]?.undo).toHaveLength(3);
  });
  test('leaves weights of servers alone that a check has found down', () => {
    const server = {
      address: RS1,
      port: 80,
      state: 'down' as const,
      since: '',
      result: null,
      failures: 3,
      failuresMax: 1,
      nextCheckAt: null,
      changes: [],
    };
    const servers = SERVERS.map((address) => ({ ...server, address }));
    const told = {
      key: { protocol: 'tcp' as const, address: VIP, port: 80 },
      check: '',
      fallback: null,
      fallbackInUse: false,
      servers,
    };
    const report = {
      program: 'uldirectord',
      pid: 1,
      configuration: '',
      startedAt: '',
      renewSeconds: 10,
      services: [told],
    };
    const health = [{ source: 'x', receivedAt: '', stale: false, report }];
    const [finding] = found(weights, { daemon: daemonFacts({ services: zero, health }) });
    expect(finding?.cures).toEqual([]);
    expect(JSON.stringify(finding?.evidence)).toContain('down');
  });
  test('finds a service without servers, and is content with one that has weight', () => {
    expect(found(weights, { daemon: daemonFacts({ services: [service({}, [])] }) })[0]?.what).toContain(
      'has no server',
    );
    const one = [service({}, [destination({ weight: 0 }), destination({ address: RS2 })])];
    expect(outcome(weights, { daemon: daemonFacts({ services: one }) })).toBe('fine');
  });
});

describe('hash-weight', () => {
  const hashed = (scheduler: string, schedulerFlags: readonly (1 | 2)[] = [], weight = 0) => ({
    daemon: daemonFacts({
      services: [
        service({ scheduler, schedulerFlags, persistenceTimeoutSeconds: 60 }, [
          destination({ weight }),
          destination({ address: RS2 }),
        ]),
      ],
    }),
  });
  test('finds mh and sh without a fallback, and keeps everything else of the service', () => {
    const [finding] = found(hashWeight, hashed('mh', [2]));
    expect(finding?.cures[0]).toMatchObject({
      commands: [['uipvsadm', '-E', '-t', `${VIP}:80`, '-s', 'mh', '-b', 'mh-fallback,mh-port', '-p', '60']],
      undo: [['uipvsadm', '-E', '-t', `${VIP}:80`, '-s', 'mh', '-b', 'mh-port', '-p', '60']],
    });
    expect(outcome(hashWeight, hashed('sh'))).toBe('found');
    expect(found(hashWeight, hashed('dh'))[0]?.cures[0]?.commands[0]).toContain('sh');
  });
  test('is content with a fallback, with weights, and with other schedulers', () => {
    expect(outcome(hashWeight, hashed('mh', [1]))).toBe('fine');
    expect(outcome(hashWeight, hashed('mh', [], 1))).toBe('fine');
    expect(outcome(hashWeight, hashed('wrr'))).toBe('notApplicable');
  });
});

describe('keepalive', () => {
  const orphan = flow({ syns: 0, openings: 0, firstFlags: 0x10, acknowledgments: 4, fins: 0 });
  const short = { timeouts: { tcpSeconds: 30, tcpFinSeconds: 120, udpSeconds: 300 } };
  test('finds a connection in its middle that the table does not know', () => {
    const [finding] = found(keepalive, { daemon: daemonFacts(short), traffic: traffic(orphan) });
    expect(finding?.cures[0]).toMatchObject({ undo: [['uipvsadm', '--set', '30', '120', '300']] });
  });
  test('lets be: one that is known, the late end of one, and a daemon younger than its timeout', () => {
    const known = daemonFacts({ ...short, connections: [{ state: 'ESTABLISHED' }] });
    expect(outcome(keepalive, { daemon: known, traffic: traffic(orphan) })).toBe('fine');
    expect(outcome(keepalive, { daemon: daemonFacts(short), traffic: traffic({ ...orphan, fins: 1 }) })).toBe('fine');
    expect(outcome(keepalive, { daemon: daemonFacts({ ...short, uptimeSeconds: 20 }), traffic: traffic(orphan) })).toBe(
      'notApplicable',
    );
  });
  test('finds one that was seen to begin, fell silent for longer than the timeout, and went on in vain', () => {
    const back = flow({ silenceSeconds: 40, fins: 0, mostRepeated: { times: 3, packetBytes: 90, seconds: 3 } });
    expect(found(keepalive, { daemon: daemonFacts(short), traffic: traffic(back) })[0]?.evidence[1]?.says).toContain(
      '40.0 s',
    );
    expect(outcome(keepalive, { daemon: daemonFacts(short), traffic: traffic({ ...back, silenceSeconds: 20 }) })).toBe(
      'fine',
    );
    expect(outcome(keepalive, { traffic: traffic(back) })).toBe('fine');
  });
});

describe('ports', () => {
  test('finds full NAT without ports, by the counter', () => {
    const before = daemonFacts({ drops: { 'ports-used-up': 5 } });
    expect(
      found(ports, { before, daemon: daemonFacts({ drops: { 'ports-used-up': 9 } }) })[0]?.evidence[0]?.says,
    ).toContain('4 more');
    expect(outcome(ports, { before, daemon: before })).toBe('fine');
  });
  test('finds a client that holds nearly every port it can have', () => {
    const rows = Array.from({ length: 26_000 }, (_, index) => ({ state: 'TIME_WAIT', clientPort: 1024 + index }));
    expect(found(ports, { daemon: daemonFacts({ connections: rows }) })[0]?.what).toContain(CLIENT);
    expect(outcome(ports, { daemon: daemonFacts({ connections: rows.slice(0, 20_000) }) })).toBe('fine');
  });
  test('finds a client that goes round in few ports', () => {
    const connections = Array.from({ length: 20 }, (_, index) => ({ state: 'TIME_WAIT', clientPort: 40_000 + index }));
    const flows = connections.map(({ clientPort }) => flow({ clientPort, openings: 2 }));
    expect(found(ports, { daemon: daemonFacts({ connections }), traffic: traffic(...flows) })[0]?.what).toContain(
      'runs out',
    );
    const fresh = connections.map(({ clientPort }) => flow({ clientPort: clientPort + 1000 }));
    expect(outcome(ports, { daemon: daemonFacts({ connections }), traffic: traffic(...fresh) })).toBe('fine');
  });
});

describe('clock', () => {
  const clocks = (byClock: number, byKernel = 3600) => ({
    clock: {
      daemonByClockSeconds: byClock,
      daemonByKernelSeconds: byKernel,
      watchByClockSeconds: 5,
      watchByKernelSeconds: 5,
    },
  });
  test('finds a clock that was set forward or back, and not one that NTP moved or a slow start', () => {
    expect(found(clock, clocks(7200))[0]?.evidence[0]?.says).toContain('3600 s forward');
    expect(found(clock, clocks(600))[0]?.evidence[0]?.says).toContain('3000 s back');
    expect(outcome(clock, clocks(3601))).toBe('fine');
    expect(outcome(clock, clocks(3580))).toBe('fine');
    expect(outcome(clock, clocks(864_100, 863_700))).toBe('fine');
  });
  test('finds one that is set while it looks', () => {
    const jump = { ...clocks(3600).clock, watchByClockSeconds: -55 };
    expect(found(clock, { clock: jump })[0]?.evidence[0]?.says).toContain('60 s back');
  });
});

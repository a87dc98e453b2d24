import { describe, expect, test } from 'vitest';
import {
  labIdOf,
  namespaceName,
  planChecksums,
  planNamespaces,
  planNetwork,
  planServerPower,
} from '../../src/lab/plan.ts';
import { LAB_MODES, oneHostTopology, tutorialTopology } from '../../src/lab/topology.ts';

const ID = '0a1b2c';
const ALL = [
  ...LAB_MODES.map((mode) => tutorialTopology(mode)),
  ...LAB_MODES.map((mode) => tutorialTopology(mode, { family: 'ipv6' })),
  oneHostTopology(),
];
const lines = (commands: readonly (readonly string[])[]) => commands.map((command) => command.join(' '));

describe('the plan of a network', () => {
  test('makes every namespace before it uses one', () => {
    for (const topology of ALL) {
      const plan = planNetwork(topology, ID);
      const made = plan
        .filter((command) => command[1] === 'netns' && command[2] === 'add')
        .map((command) => command[3]);
      expect(made).toEqual(planNamespaces(topology, ID));
      expect(lines(plan.slice(0, made.length)).every((line) => line.startsWith('ip netns add '))).toBe(true);
    }
  });

  test('never names a link, an address or a setting outside a namespace of the lab', () => {
    for (const topology of ALL) {
      for (const command of planNetwork(topology, ID)) {
        const line = command.join(' ');
        const inside =
          /^ip netns (add|exec) uipvs-0a1b2c-/.test(line) ||
          /^ip -n uipvs-0a1b2c-/.test(line) ||
          /^ip link add name \S+ netns uipvs-0a1b2c-\S+ type veth peer name \S+ netns uipvs-0a1b2c-switch$/.test(line);
        expect(inside, line).toBe(true);
      }
    }
  });

  test('full NAT: the servers have no gateway at all, so answers can only go to the director', () => {
    const plan = lines(planNetwork(tutorialTopology('fullnat'), ID));
    expect(plan.filter((line) => line.includes('route add'))).toEqual([]);
    expect(plan).toContain('ip -n uipvs-0a1b2c-director address add 192.168.1.120/24 dev eth0');
    expect(plan).toContain('ip -n uipvs-0a1b2c-client address add 192.168.1.100/24 dev eth0');
  });

  test('masq: the client is on another network and the director is the gateway of both sides', () => {
    const plan = lines(planNetwork(tutorialTopology('masq'), ID));
    expect(plan).toContain('ip -n uipvs-0a1b2c-client route add default via 10.0.0.1');
    for (const name of ['rs1', 'rs2', 'rs3']) {
      expect(plan).toContain(`ip -n uipvs-0a1b2c-${name} route add default via 192.168.1.10`);
    }
    expect(plan).toContain('ip -n uipvs-0a1b2c-switch link set client-eth0 master br-clients up');
    expect(plan).toContain('ip -n uipvs-0a1b2c-switch link set rs1-eth0 master br-servers up');
  });

  test('direct routing: every server holds the virtual address on lo and keeps quiet about it', () => {
    const plan = lines(planNetwork(tutorialTopology('dr'), ID));
    for (const name of ['rs1', 'rs2', 'rs3']) {
      const space = `uipvs-0a1b2c-${name}`;
      const quiet = plan.indexOf(`ip netns exec ${space} sysctl -q -w net.ipv4.conf.all.arp_ignore=1`);
      const address = plan.indexOf(`ip -n ${space} address add 192.168.1.120/32 dev lo`);
      expect(quiet).toBeGreaterThanOrEqual(0);
      expect(address).toBeGreaterThan(quiet);
    }
  });

  test('tunnels: the servers hold the virtual address as with direct routing', () => {
    expect(planNetwork(tutorialTopology('tun'), ID)).toEqual(planNetwork(tutorialTopology('dr'), ID));
  });

  test('IPv6: addresses are there at once, and nobody is called from the virtual one', () => {
    const plan = lines(planNetwork(tutorialTopology('dr', { family: 'ipv6' }), ID));
    expect(plan).toContain('ip -n uipvs-0a1b2c-director address add fd00:1::10/64 dev eth0 nodad');
    expect(plan).toContain('ip -n uipvs-0a1b2c-director address add fd00:1::120/64 dev eth0 nodad preferred_lft 0');
    expect(plan).toContain('ip -n uipvs-0a1b2c-rs1 address add fd00:1::120/128 dev lo nodad');
  });

  test('one host: no links at all, only the virtual address on lo', () => {
    expect(lines(planNetwork(oneHostTopology(), ID))).toEqual([
      'ip netns add uipvs-0a1b2c-director',
      'ip -n uipvs-0a1b2c-director link set lo up',
      'ip -n uipvs-0a1b2c-director address add 192.168.1.120/32 dev lo',
    ]);
  });

  test('names of links fit into the fifteen characters that the kernel allows', () => {
    for (const topology of ALL) {
      for (const command of planNetwork(topology, ID)) {
        const named = command.flatMap((word, index) => (command[index - 1] === 'name' ? [word] : []));
        for (const name of named) expect(name.length, name).toBeLessThanOrEqual(15);
      }
    }
  });
});

test('the lab of a namespace is read from its name, and from no other name', () => {
  expect(labIdOf(namespaceName(ID, 'rs3'))).toBe(ID);
  expect(labIdOf(namespaceName(ID, 'switch'))).toBe(ID);
  for (const foreign of [
    'uipvs-0a1b2c-web',
    'uipvs-zzzzzz-client',
    'uipvs-0a1b2-client',
    'my-uipvs-0a1b2c-client',
    'blue',
  ]) {
    expect(labIdOf(foreign), foreign).toBeNull();
  }
});

test('a server that is broken loses its link, and gets its gateway back when it is mended', () => {
  const topology = tutorialTopology('masq');
  expect(lines(planServerPower(topology, ID, '192.168.1.12', 'off'))).toEqual([
    'ip -n uipvs-0a1b2c-rs2 link set eth0 down',
  ]);
  expect(lines(planServerPower(topology, ID, '192.168.1.12', 'on'))).toEqual([
    'ip -n uipvs-0a1b2c-rs2 link set eth0 up',
    'ip -n uipvs-0a1b2c-rs2 route replace default via 192.168.1.10',
  ]);
});

test('checksums are finished towards those who verify them', () => {
  const ports = (place: 'at-receivers' | 'at-director') =>
    planChecksums(tutorialTopology('masq'), ID, place).map((command) => command[command.indexOf('-K') + 1]);
  expect(ports('at-receivers')).toEqual(['client-eth0', 'rs1-eth0', 'rs2-eth0', 'rs3-eth0']);
  expect(ports('at-director')).toEqual(['director-eth0', 'director-eth1']);
});

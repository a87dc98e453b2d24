/**
 * The suite for back ends that carry live traffic, in network namespaces of their own: the shared one, and what
 * only real sockets can show: a transfer with default offloads through a bridge built from the back end.
 */
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PacketIoOptions } from '../../src/packet-io/packet-io.ts';
import { collect, frameOn, packetIoConformance, type Rig } from './conformance.ts';
import type { FrameToSend } from './support/agent.ts';
import { Agent, AgentProgram } from './support/agent-process.ts';
import { packetFrame } from './support/frames.ts';
import { Namespaces, namespacesRefused } from './support/namespaces.ts';

const TRANSFER_BYTES = 20 * 1024 * 1024;
const DATAGRAMS = 200;

export interface LiveSubject {
  readonly kind: string;
  /** Why the whole suite is skipped here, or `null`. */
  readonly refused: string | null;
  /** The first frame of a link may be lost after it was attached. */
  readonly losesFirstFrame: boolean;
  /** Lives from events, and its `wait` returns at once. */
  readonly waits?: false;
  /** What the process of the back end is started with besides. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Why no super-frames reach it, or `null`. */
  readonly noSuperFrames?: string | null;
  /** What the back end is opened with. */
  readonly options?: PacketIoOptions;
  /** Why the test with a link that goes down is skipped, or `null`. */
  readonly linkDownRefused: string | null;
}

export function liveConformance(live: LiveSubject): void {
  const { kind, refused, linkDownRefused } = live;
  const reason = refused ?? namespacesRefused();
  let program: AgentProgram;
  beforeAll(() => {
    if (reason === null) program = new AgentProgram();
  });
  afterAll(() => program?.remove());

  packetIoConformance(kind, reason, (links) => createLiveRig(program, live, links));

  describe.skipIf(reason !== null)(`${kind}: the link to the host`, () => {
    let rig: LiveRig;
    beforeAll(async () => {
      rig = await createLiveRig(program, live, 2);
    });
    afterAll(() => rig?.close());

    test('sees a packet on the loopback link once, and what it sends there does not come back', async () => {
      const lo = rig.spaces.link(rig.director, 'lo');
      // The stack takes packets of the loopback network only from itself.
      rig.spaces.exec(rig.director, 'ip', 'address', 'add', '10.117.9.1/32', 'dev', 'lo');
      await rig.agent.order('attach', { link: lo });
      await rig.agent.order('collectIp', { on: true });
      await rig.agent.order('udpListen', { address: '10.117.9.1', port: 4444 });
      if (live.losesFirstFrame) await rig.agent.order('udpSend', { address: '10.117.9.1', port: 4444, text: 'lost' });
      await rig.agent.order('udpSend', { address: '10.117.9.1', port: 4444, text: 'by the stack' });
      const [seen] = await collect(rig.subject, 1);
      expect(seen?.link).toBe(lo.index);
      const frame = packetFrame({
        protocol: 'udp',
        payload: Buffer.from('by the link'),
        source: [10, 117, 9, 2],
        destination: [10, 117, 9, 1],
        destinationPort: 4444,
        destinationMac: '000000000000',
      });
      expect(await rig.subject.send([{ link: lo.index, frame: frame.toString('hex') }])).toBe(1);
      await until(async () => (await rig.agent.order('heard')).includes('by the link'));
      expect((await rig.agent.order('heard')).slice(-2)).toEqual(['by the stack', 'by the link']);
      expect(await rig.subject.seen()).toEqual([]);
      await rig.agent.order('detach', { index: lo.index });
    });

    test('frames of all lengths keep their order and their bytes', async () => {
      const lo = rig.spaces.link(rig.director, 'lo');
      rig.spaces.exec(rig.director, 'ip', 'address', 'add', '10.117.8.1/32', 'dev', 'lo');
      await rig.agent.order('attach', { link: lo });
      await rig.agent.order('collectIp', { on: true });
      await rig.agent.order('udpListen', { address: '10.117.8.1', port: 4445 });
      if (live.losesFirstFrame) await rig.agent.order('udpSend', { address: '10.117.8.1', port: 4445, text: 'lost' });
      const sizes = [10, 30_000, 40, 9_000, 9_300, 50_000, 1, 60_000, 1_472];
      await rig.agent.order('udpSendSizes', { address: '10.117.8.1', port: 4445, sizes });
      const seen = (await collect(rig.subject, sizes.length)).map(({ frame }) =>
        Buffer.from(frame, 'hex').subarray(42),
      );
      expect(seen.map((payload) => payload.length)).toEqual(sizes);
      expect(seen.every((payload, i) => payload.equals(Buffer.alloc(payload.length, i + 1)))).toBe(true);
      await rig.agent.order('detach', { index: lo.index });
    });

    test('what the host itself sends over a link is not received', async () => {
      rig.spaces.exec(rig.director, 'ip', 'address', 'add', '10.118.0.1/24', 'dev', 'd0');
      rig.spaces.exec(rig.director, 'ip', 'neigh', 'add', '10.118.0.2', 'lladdr', '02:00:00:00:00:02', 'dev', 'd0');
      await rig.agent.order('collectIp', { on: true });
      await rig.far.order('collectIp', { on: true });
      await rig.agent.order('udpSend', { address: '10.118.0.2', port: 9, text: 'outward' });
      expect(await collect(rig.outside, 1)).toHaveLength(1);
      await collect(rig.subject, 0);
    });

    test('frames of a VLAN are not taken for frames without one', async () => {
      const tagged = Buffer.from(frameOn(0, 'tagged').frame, 'hex');
      const frame = Buffer.concat([tagged.subarray(0, 12), Buffer.from('81000005', 'hex'), tagged.subarray(12)]);
      await rig.outside.send([{ link: rig.outsideLinks[0]!, frame: frame.toString('hex') }]);
      await rig.outside.send([frameOn(rig.outsideLinks[0]!, 'untagged')]);
      expect(await collect(rig.subject, 1)).toHaveLength(1);
    });

    test('a link that does not exist is refused with its name', async () => {
      const link = { index: 9999, name: 'nowhere', mac: new Uint8Array(6), mtu: 1500, loopback: false };
      await expect(rig.agent.order('attach', { link })).rejects.toThrow(/cannot serve link nowhere: /);
    });

    test('the rest of its frames pass when one partial checksum cannot be finished', async () => {
      const frames: FrameToSend[] = [
        frameOn(rig.links[0]!, 'first'),
        { ...frameOn(rig.links[0]!, 'not IP'), flags: 1 },
        frameOn(rig.links[0]!, 'last'),
      ];
      await rig.subject.send(frames);
      const texts = (await rig.outside.seen().then(async (early) => [...early, ...(await settle(rig))])).map((each) =>
        Buffer.from(each.frame, 'hex').toString('latin1'),
      );
      expect(texts.some((text) => text.includes('first'))).toBe(true);
      expect(texts.some((text) => text.includes('last'))).toBe(true);
    });

    test('an unfinished checksum of the kernel is flagged, and the flag is honoured', async () => {
      const outside = rig.outsideSpace;
      rig.spaces.exec(outside, 'ip', 'address', 'add', '10.117.0.1/24', 'dev', 'o1');
      rig.spaces.exec(outside, 'ip', 'neigh', 'add', '10.117.0.2', 'lladdr', '02:00:00:00:00:02', 'dev', 'o1');
      await rig.agent.order('collectIp', { on: true });
      await rig.far.order('collectIp', { on: true });
      await rig.far.order('udpSend', { address: '10.117.0.2', port: 9, text: 'from a socket' });
      const [seen] = await collect(rig.subject, 1);
      expect(seen).toMatchObject({ link: rig.links[1], flags: 1, segmentBytes: 0 });

      for (const own of [true, false]) {
        const payload = Buffer.from(`answer ${own}`);
        const partial = packetFrame({ protocol: 'udp', payload, checksum: 'partial' }).toString('hex');
        expect(await rig.subject.send([{ link: rig.links[1]!, frame: partial, flags: 1 }], own)).toBe(1);
        const [arrived] = await collect(rig.outside, 1);
        expect(arrived?.frame).toBe(packetFrame({ protocol: 'udp', payload }).toString('hex'));
      }
    });

    for (const own of [true, false]) {
      test(`cuts a super-frame made by ${own ? 'itself' : 'another'} into frames that fit`, async () => {
        await rig.far.order('collectIp', { on: true });
        const payload = randomBytes(2500);
        const parts = [payload.subarray(0, 1000), payload.subarray(1000, 2000), payload.subarray(2000)];
        const link = rig.links[1]!;
        for (const protocol of ['tcp', 'udp'] as const) {
          const frame = packetFrame({ protocol, payload, checksum: 'partial' }).toString('hex');
          expect(await rig.subject.send([{ link, frame, flags: 1, segmentBytes: 1000 }], own)).toBe(1);
          const arrived = await collect(rig.outside, 3);
          expect(arrived.map((each) => each.frame)).toEqual(
            parts.map((part, i) =>
              packetFrame({ protocol, payload: part, sequence: 1 + i * 1000, identification: 7 + i }).toString('hex'),
            ),
          );
        }
        const unknown = packetFrame({ protocol: 'udp', payload, checksum: 'partial' }).toString('hex');
        expect(await rig.subject.send([{ link, frame: unknown, flags: 1 }, frameOn(link, 'next')], own)).toBe(1);
        await collect(rig.outside, 1);
      });
    }

    const title = 'a link that goes down and comes back is served again, one that goes away harms nothing';
    test.skipIf(linkDownRefused !== null)(
      linkDownRefused ? `${title} (skipped: ${linkDownRefused})` : title,
      async () => {
        rig.spaces.exec(rig.director, 'ip', 'link', 'set', 'd0', 'down');
        const before = Object.keys((await rig.subject.counters()).transmitErrors);
        expect(await rig.subject.send([frameOn(rig.links[0]!, 'into the void'), frameOn(rig.links[1]!, 'alive')])).toBe(
          1,
        );
        expect(await collect(rig.outside, 1)).toHaveLength(1);
        const errors = (await rig.subject.counters()).transmitErrors;
        expect([...before, ...Object.keys(errors)]).toContain('ENETDOWN');
        if (rig.subject.wait !== null) {
          // That it went down is told once, not again and again.
          rig.spaces.exec(rig.director, 'ip', 'link', 'set', 'd0', 'up');
          rig.spaces.exec(rig.director, 'ip', 'link', 'set', 'd0', 'down');
          await rig.subject.wait(50);
          expect(await rig.subject.wait(150)).toBeGreaterThanOrEqual(140);
        }

        rig.spaces.exec(rig.director, 'ip', 'link', 'set', 'd0', 'up');
        await until(async () => {
          await rig.subject.send([frameOn(rig.links[0]!, 'back')]);
          await rig.outside.send([frameOn(rig.outsideLinks[0]!, 'hello again')]);
          return (await rig.subject.seen()).length > 0 && (await rig.outside.seen()).length > 0;
        });

        rig.spaces.exec(rig.director, 'ip', 'link', 'del', 'd0');
        await settle(rig);
        await rig.subject.seen();
        expect(await rig.subject.send([frameOn(rig.links[0]!, 'gone'), frameOn(rig.links[1]!, 'alive')])).toBe(1);
        await rig.outside.send([frameOn(rig.outsideLinks[1]!, 'still here')]);
        expect(await collect(rig.subject, 1)).toHaveLength(1);
        await rig.subject.detach(0);
      },
    );
  });

  describe.skipIf(reason !== null)(`${kind}: a bridge between a client and a server`, () => {
    const variants = [
      { name: 'default offloads', setUp: () => {} },
      {
        // What leaves is finished by the director's kernel and checked by the server's.
        name: 'offloads of the outgoing links off',
        setUp: (bridge: Bridge) => {
          for (const [space, link] of [
            [bridge.director, 'd0'],
            [bridge.director, 'd1'],
          ] as const) {
            bridge.spaces.exec(space, 'ethtool', '-K', link, 'tx', 'off', 'tso', 'off', 'gso', 'off');
          }
        },
      },
      {
        name: 'offloads of the hosts off, and receive offload of the director on',
        setUp: (bridge: Bridge) => {
          for (const [space, link] of [
            [bridge.client, 'c0'],
            [bridge.server, 's0'],
          ] as const) {
            bridge.spaces.exec(space, 'ethtool', '-K', link, 'tx', 'off', 'tso', 'off', 'gso', 'off');
          }
          for (const link of ['d0', 'd1']) bridge.spaces.exec(bridge.director, 'ethtool', '-K', link, 'gro', 'on');
        },
      },
    ];
    for (const variant of variants) {
      test(`carries TCP both ways and UDP intact: ${variant.name}`, async () => {
        const bridge = await createBridge(program, live);
        try {
          variant.setUp(bridge);
          const [server, client] = await transferTcp(bridge);
          expect(server.receivedHash).toBe(client.sentHash);
          expect(client.receivedHash).toBe(server.sentHash);
          expect(server.bytes + client.bytes).toBe(2 * TRANSFER_BYTES);
          expect(await transferUdp(bridge)).toEqual({ arrived: DATAGRAMS, intact: DATAGRAMS });
          const counters = await bridge.agent.order('counters');
          expect(counters.transmitErrors).toEqual({});
        } finally {
          await bridge.close();
        }
      });
    }

    test('every segment of a super-frame has valid checksums in the capture of a receiver', async (context) => {
      if (tsharkRefused !== null) return context.skip(tsharkRefused);
      const bridge = await createBridge(program, live);
      const folder = mkdtempSync(join(tmpdir(), 'pio-capture-'));
      try {
        // The director's kernel must cut and sum what leaves; the server's is not to join it again.
        bridge.spaces.exec(bridge.director, 'ethtool', '-K', 'd1', 'tx', 'off', 'tso', 'off', 'gso', 'off');
        bridge.spaces.exec(bridge.server, 'ethtool', '-K', 's0', 'gro', 'off');
        const file = join(folder, 'server.pcap');
        const words = [
          'netns',
          'exec',
          bridge.server,
          'tcpdump',
          '-i',
          's0',
          '-n',
          '-U',
          '-Q',
          'in',
          '-c',
          '400',
          '-w',
          file,
        ];
        const capture = spawn('ip', [...words, 'tcp and greater 200'], { stdio: ['ignore', 'ignore', 'pipe'] });
        await new Promise<void>((resolve) =>
          capture.stderr.on('data', (chunk) => String(chunk).includes('listening') && resolve()),
        );
        const ended = new Promise((resolve) => capture.once('exit', resolve));
        const received = await transferTcp(bridge);
        await ended;
        const rows = readCapture(file);
        expect(rows).toHaveLength(400);
        expect(rows.filter(({ length }) => length > 1514)).toEqual([]);
        expect(rows.filter(({ length }) => length > 500).length).toBeGreaterThan(50);
        expect(rows.filter(({ ip, tcp }) => ip !== 'Good' || tcp !== 'Good')).toEqual([]);
        expect(received[0].receivedHash).toBe(received[1].sentHash);
      } finally {
        await bridge.close();
        rmSync(folder, { recursive: true });
      }
    });

    test('a super-frame whose segments are too long for the link it leaves by is cut smaller', async (context) => {
      if (typeof live.noSuperFrames === 'string') return context.skip(live.noSuperFrames);
      if (tsharkRefused !== null) return context.skip(tsharkRefused);
      const bridge = await createBridge(program, live, 1300);
      const folder = mkdtempSync(join(tmpdir(), 'pio-capture-'));
      try {
        bridge.spaces.exec(bridge.director, 'ethtool', '-K', 'd1', 'tx', 'off', 'tso', 'off', 'gso', 'off');
        bridge.spaces.exec(bridge.server, 'ethtool', '-K', 's0', 'gro', 'off');
        const file = join(folder, 'server.pcap');
        const words = [
          'netns',
          'exec',
          bridge.server,
          'tcpdump',
          '-i',
          's0',
          '-n',
          '-U',
          '-Q',
          'in',
          '-c',
          '20',
          '-w',
          file,
        ];
        const capture = spawn('ip', [...words, 'tcp and greater 1250'], { stdio: ['ignore', 'ignore', 'pipe'] });
        await new Promise<void>((resolve) =>
          capture.stderr.on('data', (chunk) => String(chunk).includes('listening') && resolve()),
        );
        const ended = new Promise((resolve) => capture.once('exit', resolve));
        // Nobody tells the sender, so single frames that are too long get lost: the transfer need not end.
        const server = start(bridge.server, TCP_SERVER);
        await server.ready;
        const client = start(bridge.client, TCP_CLIENT);
        await ended;
        for (const each of [server, client]) each.stop();
        const rows = readCapture(file);
        expect(rows).toHaveLength(20);
        expect(rows.filter(({ length }) => length > 1314)).toEqual([]);
        expect(rows.filter(({ ip, tcp }) => ip !== 'Good' || tcp !== 'Good')).toEqual([]);
      } finally {
        await bridge.close();
        rmSync(folder, { recursive: true });
      }
    });

    test('a partial checksum is valid in the capture of a receiver', async () => {
      const bridge = await createBridge(program, live);
      try {
        bridge.spaces.exec(bridge.director, 'ethtool', '-K', 'd1', 'tx', 'off');
        const capture = spawn(
          'ip',
          ['netns', 'exec', bridge.server, 'tcpdump', '-i', 's0', '-n', '-vv', '-c', '1', 'udp', 'port', '5555'],
          { stdio: ['ignore', 'pipe', 'pipe'] },
        );
        let text = '';
        capture.stdout.on('data', (chunk) => (text += chunk));
        await new Promise<void>((resolve) =>
          capture.stderr.on('data', (chunk) => String(chunk).includes('listening') && resolve()),
        );
        const ended = new Promise((resolve) => capture.once('exit', resolve));
        bridge.spaces.exec(bridge.client, process.execPath, '-e', UDP_ONE);
        await ended;
        expect(text).toContain('udp sum ok');
      } finally {
        await bridge.close();
      }
    });
  });
}

const tsharkRefused =
  onPath('tshark') && onPath('tcpdump') && onPath('ethtool') ? null : 'needs tshark, tcpdump, ethtool';

function onPath(program: string): boolean {
  return ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'].some((folder) =>
    existsSync(join(folder, program)),
  );
}

/** What tshark says about each packet: its length, and whether the checksums are `Good`. */
function readCapture(file: string): { length: number; ip: string; tcp: string }[] {
  const fields = ['frame.len', 'ip.checksum.status', 'tcp.checksum.status'].flatMap((field) => ['-e', field]);
  const checks = ['-o', 'ip.check_checksum:TRUE', '-o', 'tcp.check_checksum:TRUE'];
  const text = execFileSync('tshark', ['-r', file, ...checks, '-T', 'fields', ...fields], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  // tshark 4.0 prints 1, later ones print the word.
  const status = (value = '') => (value === '1' ? 'Good' : value);
  const rows = text.trimEnd().split('\n');
  return rows.map((row) => {
    const [length, ip, tcp] = row.split('\t');
    return { length: Number(length), ip: status(ip), tcp: status(tcp) };
  });
}

export interface LiveRig extends Rig {
  readonly spaces: Namespaces;
  readonly director: string;
  readonly agent: Agent;
  readonly outsideSpace: string;
  readonly far: Agent;
}

/** The subject in one namespace with links d0, d1, ...; their far ends o0, o1, ... in another one. */
export async function createLiveRig(program: AgentProgram, live: LiveSubject, count: number): Promise<LiveRig> {
  const spaces = new Namespaces();
  const agents: Agent[] = [];
  const close = async () => {
    for (const each of agents) await each.order('close').catch(() => {});
    for (const each of agents) await each.stop();
    spaces.remove();
  };
  try {
    const director = spaces.add('d');
    const outside = spaces.add('o');
    for (let i = 0; i < count; i++) spaces.cable(director, `d${i}`, outside, `o${i}`);
    const places = Array.from({ length: count }, (_, i) => i);
    const inner = places.map((i) => spaces.link(director, `d${i}`));
    const outer = places.map((i) => spaces.link(outside, `o${i}`));
    const agent = await startAgent(program, director, live, agents);
    const far = await startAgent(program, outside, { kind: 'packet-mmsg' }, agents);
    const attach = async (place: number) => {
      await agent.order('attach', { link: inner[place] });
      if (live.losesFirstFrame) await far.order('send', { frames: [frameOn(outer[place]?.index ?? 0, 'lost')] });
    };
    for (const link of outer) await far.order('attach', { link });
    for (const place of places) await attach(place);
    return {
      spaces,
      director,
      agent,
      outsideSpace: outside,
      far,
      links: inner.map((link) => link.index),
      outsideLinks: outer.map((link) => link.index),
      subject: {
        send: (frames, own) => agent.order('send', { frames, own }),
        seen: () => agent.order('seen'),
        attach,
        detach: (place) => agent.order('detach', { index: inner[place]?.index }),
        links: () => agent.order('links'),
        counters: () => agent.order('counters'),
        linkCounters: () => agent.order('linkCounters'),
        wait: live.waits === false ? null : (timeoutMs) => agent.order('wait', { timeoutMs }),
      },
      outside: {
        send: (frames, own) => far.order('send', { frames, own }),
        seen: () => far.order('seen'),
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

interface Bridge {
  readonly spaces: Namespaces;
  readonly client: string;
  readonly server: string;
  readonly director: string;
  readonly agent: Agent;
  close(): Promise<void>;
}

/** client c0 - d0 director d1 - s0 server, where the director is nothing but the back end. */
async function createBridge(program: AgentProgram, live: LiveSubject, outgoingMtu = 1500): Promise<Bridge> {
  const spaces = new Namespaces();
  const agents: Agent[] = [];
  const close = async () => {
    for (const each of agents) await each.order('close').catch(() => {});
    for (const each of agents) await each.stop();
    spaces.remove();
  };
  try {
    const [client, director, server] = [spaces.add('c'), spaces.add('d'), spaces.add('s')];
    spaces.cable(director, 'd0', client, 'c0');
    spaces.cable(director, 'd1', server, 's0');
    // Of the director's end alone: the server announces segments of the usual length all the same.
    spaces.exec(director, 'ip', 'link', 'set', 'd1', 'mtu', String(outgoingMtu));
    spaces.exec(client, 'ip', 'address', 'add', '10.117.0.1/24', 'dev', 'c0');
    spaces.exec(server, 'ip', 'address', 'add', '10.117.0.2/24', 'dev', 's0');
    const agent = await startAgent(program, director, live, agents);
    const links = ['d0', 'd1'].map((name) => spaces.link(director, name));
    for (const link of links) await agent.order('attach', { link });
    await agent.order('bridge', { links: links.map((link) => link.index) });
    return { spaces, client, server, director, agent, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function startAgent(
  program: AgentProgram,
  space: string,
  { kind, options, environment = {} }: Pick<LiveSubject, 'kind' | 'options' | 'environment'>,
  agents: Agent[],
): Promise<Agent> {
  const agent = await Agent.start(program, space, environment);
  agents.push(agent);
  const refused = await agent.order('open', { kind, options });
  if (refused !== null) throw new Error(`${kind}: ${refused}`);
  return agent;
}

const COMMON = `
const { createHash, randomBytes } = require('node:crypto');
const hash = (bytes) => createHash('sha256').update(bytes).digest('hex');
const data = randomBytes(${TRANSFER_BYTES});
const talk = (socket) => {
  const received = createHash('sha256');
  let bytes = 0;
  socket.on('data', (chunk) => { received.update(chunk); bytes += chunk.length; });
  socket.on('end', () => console.log(JSON.stringify({ sentHash: hash(data), receivedHash: received.digest('hex'), bytes })));
  socket.on('close', () => process.exit());
  socket.end(data);
};`;
const TCP_SERVER = `${COMMON}
require('node:net').createServer({ allowHalfOpen: true }, talk).listen(7777, () => console.error('listening'));`;
const TCP_CLIENT = `${COMMON}
talk(require('node:net').connect({ port: 7777, host: '10.117.0.2', allowHalfOpen: true }));`;

interface Transfer {
  sentHash: string;
  receivedHash: string;
  bytes: number;
}

async function transferTcp(bridge: Bridge): Promise<[server: Transfer, client: Transfer]> {
  const server = start(bridge.server, TCP_SERVER);
  await server.ready;
  const client = start(bridge.client, TCP_CLIENT);
  const answers = await Promise.all([server.output, client.output]);
  return [JSON.parse(answers[0]), JSON.parse(answers[1])];
}

/** Datagrams that fit, that are fragmented, and empty ones; each names its own hash. */
const UDP_SERVER = `
const { createHash } = require('node:crypto');
let arrived = 0, intact = 0;
const socket = require('node:dgram').createSocket({ type: 'udp4', recvBufferSize: 1 << 21 }, (message) => {
  if (message.toString() === 'end') { console.log(JSON.stringify({ arrived, intact })); process.exit(); }
  arrived++;
  const body = message.subarray(64);
  if (createHash('sha256').update(body).digest('hex') === message.toString('latin1', 0, 64)) intact++;
});
socket.bind(7777, () => console.error('listening'));`;
const UDP_CLIENT = `
const { createHash, randomBytes } = require('node:crypto');
const socket = require('node:dgram').createSocket('udp4');
const sizes = [0, 1, 900, 1408, 5000];
let n = 0;
const next = () => {
  if (n === ${DATAGRAMS}) return socket.send('end', 7777, '10.117.0.2', () => setTimeout(end, 100));
  const body = randomBytes(sizes[n++ % sizes.length]);
  socket.send(Buffer.concat([Buffer.from(createHash('sha256').update(body).digest('hex')), body]), 7777, '10.117.0.2', next);
};
const end = () => socket.send('end', 7777, '10.117.0.2', () => process.exit());
next();`;
const UDP_ONE = `const socket = require('node:dgram').createSocket('udp4');
socket.send('one datagram with some text', 5555, '10.117.0.2', () => socket.close());`;

async function transferUdp(bridge: Bridge): Promise<{ arrived: number; intact: number }> {
  const server = start(bridge.server, UDP_SERVER);
  await server.ready;
  const client = start(bridge.client, UDP_CLIENT);
  const result = JSON.parse(await server.output);
  await client.output;
  return result;
}

/** A Node process with that script inside a namespace; `ready` when it has said that it listens. */
function start(space: string, script: string): { ready: Promise<void>; output: Promise<string>; stop(): void } {
  const child = spawn('ip', ['netns', 'exec', space, process.execPath, '-e', script], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  let complaint = '';
  child.stdout.on('data', (chunk) => (text += chunk));
  const ready = new Promise<void>((resolve) =>
    child.stderr.on('data', (chunk) => {
      complaint += chunk;
      if (complaint.includes('listening')) resolve();
    }),
  );
  // A transfer that hangs is a failure, not a test that never ends.
  const timer = setTimeout(() => child.kill('SIGKILL'), 60_000);
  const output = new Promise<string>((resolve, reject) =>
    child.once('close', () => {
      clearTimeout(timer);
      if (text === '' && complaint !== '' && !complaint.includes('listening')) reject(new Error(complaint));
      else resolve(text);
    }),
  );
  return { ready, output, stop: () => void child.kill('SIGKILL') };
}

async function until(condition: () => Promise<boolean>, patienceMs = 8000): Promise<void> {
  const end = performance.now() + patienceMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error('it did not happen in time');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function settle(rig: LiveRig) {
  await new Promise((resolve) => setTimeout(resolve, 100));
  return rig.outside.seen();
}

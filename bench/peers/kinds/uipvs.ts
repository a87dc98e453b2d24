/** uipvs with each way that this build has to carry traffic: found by asking its programs, not by a list here. */
import { writeFileSync } from 'node:fs';
import { Director, packageProgram } from '../../../src/lab/director.ts';
import { runCommand } from '../../../src/lab/host.ts';
import { PORTS, SERVERS, VIRTUAL } from '../network.ts';
import type { Ability, Peer } from '../peer.ts';
import type { Place } from '../place.ts';

/** One entry of `uipvs io --json`. */
interface BackEnd {
  readonly name: string;
  readonly available: boolean;
  readonly reason: string | null;
  /** `on`, or why the engine sees every packet. */
  readonly fastPath: string;
}

const SERVICES = [
  ...service('-t', PORTS.http, SERVERS),
  ...service('-t', PORTS.bulk, [SERVERS[0]]),
  ...service('-u', PORTS.echo, [SERVERS[0]]),
  ...service('-u', PORTS.discard, [SERVERS[0]]),
];

function service(protocol: string, port: number, servers: readonly string[]): string[] {
  return [
    `-A ${protocol} ${VIRTUAL}:${port} -s rr`,
    ...servers.map((address) => `-a ${protocol} ${VIRTUAL}:${port} -r ${address}:${port} -m -w 1`),
  ];
}

/** Every way of this build, the default first. */
export async function findUipvsPeers(): Promise<Peer[]> {
  const { stdout } = await runCommand([...packageProgram('uipvs'), 'io', '--json']);
  const packets: readonly Ability[] = ['packets', 'tcp', 'udp'];
  const backEnds = JSON.parse(stdout) as readonly BackEnd[];
  const peers = backEnds.flatMap(({ name, available, reason, fastPath }, place) => {
    const absent = available ? null : (reason ?? 'not available here');
    const plain = uipvs(name, `uipvs, NAT, ${name}`, ['--io', name], packets, absent);
    // What the engine does by itself shows beside the default.
    if (place > 0 || fastPath !== 'on') return [plain];
    const words = ['--io', name, '--fast-path', 'off'];
    return [plain, uipvs(`${name}-engine`, `uipvs, NAT, ${name}, --fast-path off`, words, packets, absent)];
  });
  const help = await runCommand([...packageProgram('uipvsd'), '--help']);
  // A back end may be a data plane of the same name as well.
  const named = new Set(['auto', 'packet', ...peers.map(({ name }) => name)]);
  const others = parseDataPlanes(help.stdout).filter((name) => !named.has(name));
  return [
    ...peers,
    ...others.map((name) => uipvs(name, `uipvs, ${name}`, ['--data-plane', name], ['tcp', 'udp'], null)),
  ];
}

/** The choices of `--data-plane` in the help of uipvsd; none where it has no such word. */
export function parseDataPlanes(help: string): string[] {
  const found = /--data-plane\b[\s\S]*?\(choices:\s*([^)]*?)(?:,\s*default:[^)]*)?\)/.exec(help);
  return [...(found?.[1] ?? '').matchAll(/"([^"]+)"/g)].map(([, name]) => name);
}

function uipvs(
  name: string,
  summary: string,
  words: readonly string[],
  abilities: readonly Ability[],
  absent: string | null,
): Peer {
  return {
    name,
    summary,
    group: 'uipvs',
    abilities,
    cabling: 'through-director',
    forwarding: false,
    target: VIRTUAL,
    absent,
    async start(place: Place) {
      const { lab } = place;
      const director = new Director(lab, place.signal);
      // When it ends too early the measurements fail and say so.
      await director.startDaemon([...words, '--log-level', 'warn'], () => {});
      writeFileSync(lab.path('services'), `${SERVICES.join('\n')}\n`);
      const restore = [...packageProgram('uipvsadm-restore'), lab.path('services')];
      await lab.mustRun(place.director, ['sh', '-c', 'input="$3"; "$1" "$2" < "$input"', 'sh', ...restore]);
    },
  };
}

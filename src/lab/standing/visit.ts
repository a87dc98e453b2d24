/** Going into a lab that stands, whoever built it: typing lines on its hosts, asking its servers as the client does. */
import { fileURLToPath } from 'node:url';
import type { AskedAnswer } from '../ask-client.ts';
import { type Finished, LabError, runCommand, SEARCH_PATH } from '../host.ts';
import type { HostCommand } from '../plan.ts';
import { Lab } from '../run.ts';
import type { LabHost, LabTopology } from '../topology.ts';

const ASK_CLIENT = fileURLToPath(new URL('../ask-client.js', import.meta.url));
const ARP_CLIENT = fileURLToPath(new URL('../arp-client.js', import.meta.url));

/** How a client asks. */
export interface Question {
  readonly protocol?: 'http' | 'udp';
  /** Host that asks; the client unless said. */
  readonly from?: string;
  readonly address?: string;
  readonly port?: number;
  readonly count: number;
  /** Address that it asks from, of those it has. */
  readonly source?: string;
  /** At once. */
  readonly concurrency?: number;
  /** Patience with each answer. */
  readonly timeoutMs?: number;
  /** Sends so much with every request. */
  readonly uploadBytes?: number;
  /** Asks twice on each connection, with such a pause between. */
  readonly idleMs?: number;
}

export interface Answers {
  readonly asked: number;
  readonly answered: number;
  /** Answers by the name of the server. */
  readonly byServer: Readonly<Record<string, number>>;
  /** Addresses that servers saw the client at. */
  readonly seenAs: readonly string[];
  /** Why others were not answered: the reason and how often. */
  readonly failures: Readonly<Record<string, number>>;
  /** `12 of 12 answered: rs1 4, rs2 4, rs3 4` */
  readonly text: string;
}

export class Visit {
  readonly lab: Lab;
  readonly signal: AbortSignal;

  constructor(lab: Lab, signal: AbortSignal) {
    this.lab = lab;
    this.signal = signal;
  }

  static of(topology: LabTopology, labId: string, signal: AbortSignal): Visit {
    return new Visit(new Lab(topology, signal, labId), signal);
  }

  /** The host of that name; a LabError names those there are. */
  host(name: string): LabHost {
    const found = this.lab.topology.hosts.find((host) => host.name === name);
    if (found !== undefined) return found;
    const names = this.lab.topology.hosts.map((host) => host.name).join(', ');
    throw new LabError(`this lab has no host "${name}"; it has ${names}`);
  }

  /** The command that runs `command` on a host, with our programs on its PATH. */
  onHost(name: string, command: HostCommand): HostCommand {
    return this.lab.onHost(this.host(name), ['env', `PATH=${this.lab.path('bin')}:${SEARCH_PATH}`, ...command]);
  }

  /** Types a line on a host, to its end. */
  sh(name: string, line: string): Promise<Finished> {
    return runCommand(this.onHost(name, ['sh', '-c', line]), { signal: this.signal, labId: this.lab.id });
  }

  /** The same; a LabError shows what it said when it does not end with 0. */
  async mustSh(name: string, line: string): Promise<string> {
    const { code, stdout, stderr } = await this.sh(name, line);
    if (code === 0) return stdout;
    throw new LabError(`\`${line}\` on ${name} ended with ${code}: ${(stderr.trim() || stdout.trim()).slice(-500)}`);
  }

  /** Asks the service, or whatever is at `address`, with one connection or socket for each question. */
  async ask(question: Question): Promise<Answers> {
    const { topology } = this.lab;
    const { protocol = 'http', from = 'client', count } = question;
    const words = [
      ...[protocol, question.address ?? topology.virtualAddress, String(question.port ?? topology.virtualPort)],
      ...[String(count), '--concurrency', String(question.concurrency ?? count)],
      ...option('--timeout', question.timeoutMs),
      ...option('--source', question.source),
      ...option('--upload', question.uploadBytes),
      ...option('--idle', question.idleMs),
    ];
    const { code, stdout, stderr } = await runCommand(
      this.lab.onHost(this.host(from), [process.execPath, ASK_CLIENT, ...words]),
      { signal: this.signal, labId: this.lab.id },
    );
    if (code !== 0) throw new LabError(`the lab’s own client ended with ${code}: ${stderr.trim()}`);
    return sumUp(JSON.parse(stdout) as AskedAnswer[]);
  }

  /**
   * Who answers ARP for an address, as a host of the lab hears it: names of hosts and links, `rs1 eth0`. An answer of
   * nobody that we know is told by its MAC address.
   */
  async arpAnswers(address: string, from = 'client'): Promise<string[]> {
    const host = this.host(from);
    const source = host.links[0]?.addresses[0]?.split('/')[0] ?? '0.0.0.0';
    const words = [process.execPath, ARP_CLIENT, host.links[0]?.name ?? 'eth0', source, address];
    const { code, stdout, stderr } = await runCommand(this.lab.onHost(host, words), {
      signal: this.signal,
      labId: this.lab.id,
    });
    if (code !== 0) throw new LabError(`asking for ${address} by ARP ended with ${code}: ${stderr.trim()}`);
    const owners = await this.#macAddresses();
    return (JSON.parse(stdout) as string[]).map((mac) => owners.get(mac) ?? mac).sort();
  }

  async #macAddresses(): Promise<Map<string, string>> {
    const owners = new Map<string, string>();
    for (const host of this.lab.topology.hosts) {
      const links = JSON.parse(await this.mustSh(host.name, 'ip -j link')) as { ifname: string; address?: string }[];
      for (const { ifname, address } of links) if (address !== undefined) owners.set(address, `${host.name} ${ifname}`);
    }
    return owners;
  }
}

function option(name: string, value: string | number | undefined): string[] {
  return value === undefined ? [] : [name, String(value)];
}

function sumUp(all: readonly AskedAnswer[]): Answers {
  const byServer: Record<string, number> = {};
  const failures: Record<string, number> = {};
  for (const { from, error } of all) {
    if (from !== null) byServer[from] = (byServer[from] ?? 0) + 1;
    else failures[error ?? 'no reason'] = (failures[error ?? 'no reason'] ?? 0) + 1;
  }
  const answered = all.filter(({ from }) => from !== null).length;
  const told = (counts: Readonly<Record<string, number>>) =>
    Object.entries(counts)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, count]) => `${name} ${count}`)
      .join(', ');
  const parts = [answered > 0 ? `: ${told(byServer)}` : '', answered < all.length ? `; ${told(failures)}` : ''];
  return {
    asked: all.length,
    answered,
    byServer,
    failures,
    seenAs: [...new Set(all.flatMap(({ seenAs }) => (seenAs === null ? [] : [seenAs])))].sort(),
    text: `${answered} of ${all.length} answered${parts.join('')}`,
  };
}

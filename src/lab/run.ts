/** A lab that is up: its network, the programs in it, and the way to take it all down again. */
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { hasProgram, mustRun, type RunOptions, runCommand, startCommand } from './host.ts';
import { claimLab, labFolder, removeLab } from './leftovers.ts';
import { type HostCommand, namespaceName, planChecksums, planNetwork } from './plan.ts';
import { clientOf, directorOf, hostsOf, type LabHost, type LabTopology } from './topology.ts';

/**
 * Starts a program with the lab's own folders over /run and /var/log, which the director's programs write to, and over
 * /etc/sysctl.d. `ip netns exec` has given it a mount namespace of its own already, so nobody else sees them.
 */
const WITH_OWN_FOLDERS = `mount -n --bind "$1" /run && mount -n --bind "$2" /var/log || exit
if [ -d /etc/sysctl.d ]; then mount -n --bind "$3" /etc/sysctl.d || exit; fi
shift 3 && exec "$@"`;

const DIRECTOR_FOLDERS = ['run', 'log', 'sysctl.d'];

/** A second director has folders of its own. */
function folderOf(topology: LabTopology, host: LabHost, name: string): string {
  return host === directorOf(topology) ? name : `${host.name}/${name}`;
}

export class Lab {
  readonly id: string;
  readonly topology: LabTopology;
  /** Temporary folder of this lab. */
  readonly folder: string;
  /** Whether clients and servers verify checksums (their cables finish them); needs ethtool. */
  readonly verifiesChecksums: boolean;
  readonly #signal: AbortSignal;

  /**
   * Only notes the lab; `build` makes it. `signal` stops whatever is going on, except `close`. With the `id` of a lab
   * that is up already it is that one.
   */
  constructor(topology: LabTopology, signal: AbortSignal, id?: string) {
    this.id = id ?? randomBytes(3).toString('hex');
    this.topology = topology;
    this.#signal = signal;
    this.verifiesChecksums = topology.isolated && hasProgram('ethtool');
    this.folder = id === undefined ? claimLab(this.id) : labFolder(id);
    if (id !== undefined) return;
    for (const host of hostsOf(topology, 'director')) {
      for (const name of DIRECTOR_FOLDERS) mkdirSync(this.path(folderOf(topology, host, name)), { recursive: true });
    }
  }

  async build(): Promise<void> {
    if (!this.topology.isolated) return;
    for (const command of planNetwork(this.topology, this.id)) await mustRun(command, { signal: this.#signal });
    if (this.verifiesChecksums) await this.carryOut(planChecksums(this.topology, this.id, 'at-receivers'));
  }

  async carryOut(commands: readonly HostCommand[]): Promise<void> {
    for (const command of commands) await mustRun(command, { signal: this.#signal });
  }

  /** The command that runs `command` on one of the lab's hosts. */
  onHost(host: LabHost, command: HostCommand): HostCommand {
    if (!this.topology.isolated) {
      const places = [`UIPVS_SOCKET=${this.path('run/uipvs/lab.sock')}`, `UIPVS_RUN_DIR=${this.path('run')}`];
      return ['env', ...places, ...command];
    }
    const enter = ['ip', 'netns', 'exec', namespaceName(this.id, host.name)];
    if (host.role !== 'director') return [...enter, ...command];
    return [
      ...enter,
      'sh',
      '-c',
      WITH_OWN_FOLDERS,
      'sh',
      ...DIRECTOR_FOLDERS.map((name) => this.path(folderOf(this.topology, host, name))),
      ...command,
    ];
  }

  /** A path in the lab's folder. */
  path(name: string): string {
    return join(this.folder, name);
  }

  run(host: LabHost, command: HostCommand, options: RunOptions = {}) {
    return runCommand(this.onHost(host, command), { signal: this.#signal, labId: this.id, ...options });
  }

  mustRun(host: LabHost, command: HostCommand) {
    return mustRun(this.onHost(host, command), { signal: this.#signal, labId: this.id });
  }

  /** Starts a program whose standard input and output are pipes. */
  start(host: LabHost, command: HostCommand): ChildProcess {
    return startCommand(this.onHost(host, command), this.id, { stdio: ['pipe', 'pipe', 'pipe'] });
  }

  /** Starts a program that writes into `log/<name>.log` of the lab's folder. */
  startLogged(host: LabHost, command: HostCommand, name: string): ChildProcess {
    const log = openSync(this.path(`log/${name}.log`), 'a');
    return startCommand(this.onHost(host, command), this.id, { stdio: ['ignore', log, log] });
  }

  get director(): LabHost {
    return directorOf(this.topology);
  }

  get client(): LabHost {
    return clientOf(this.topology);
  }

  /** Ends every process of the lab and removes its namespaces and files. Says what would not go. */
  close(): Promise<string[]> {
    return removeLab(this.id);
  }
}

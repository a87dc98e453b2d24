/** What is known of a lab that stands: for people, and with `--json` for other programs. */
import { existsSync, readdirSync } from 'node:fs';
import { endpoint } from '../addresses.ts';
import { runCommand } from '../host.ts';
import { labFolder } from '../leftovers.ts';
import { namespaceName } from '../plan.ts';
import type { LabChoice } from './kind.ts';
import { isStanding, type StandingState } from './state.ts';

export interface StandingStatus {
  readonly name: string;
  readonly lab: string;
  readonly broken: boolean;
  readonly id: string;
  readonly since: string;
  /** `gone`: after a reboot, or a crash. */
  readonly condition: 'up' | 'being built' | 'gone';
  /** `192.168.1.120:80` */
  readonly virtualAddress: string;
  /** The control socket of uipvsd, as it is seen from this host; `null` when uipvsd is not there. */
  readonly socket: string | null;
  /** Logs and configurations. */
  readonly folder: string;
  readonly hosts: readonly {
    readonly name: string;
    readonly role: string;
    readonly namespace: string;
    readonly addresses: readonly string[];
    readonly processes: number;
  }[];
  readonly symptom: string | null;
}

export async function describe(
  state: StandingState,
  { kind, fault }: LabChoice,
  signal: AbortSignal,
): Promise<StandingStatus> {
  const { topology } = kind;
  const there = isStanding(state);
  const hosts = topology.hosts.map(async (host) => {
    const namespace = namespaceName(state.id, host.name);
    const pids = there ? (await runCommand(['ip', 'netns', 'pids', namespace], { signal })).stdout : '';
    return {
      ...{ name: host.name, role: host.role, namespace },
      addresses: [...host.links.flatMap((link) => link.addresses), ...host.loopbackAddresses],
      processes: pids.split('\n').filter((line) => line !== '').length,
    };
  });
  return {
    ...{ name: state.name, lab: state.lab, broken: fault !== null, id: state.id, since: state.since },
    condition: there ? state.phase : 'gone',
    virtualAddress: endpoint(topology.virtualAddress, topology.virtualPort),
    socket: socketOf(state.id),
    folder: labFolder(state.id),
    hosts: await Promise.all(hosts),
    symptom: fault?.symptom ?? null,
  };
}

/** In the director's /run, which is a folder of the lab. */
function socketOf(labId: string): string | null {
  const folder = `${labFolder(labId)}/run/uipvs`;
  const found = existsSync(folder) ? readdirSync(folder).find((name) => name.endsWith('.sock')) : undefined;
  return found === undefined ? null : `${folder}/${found}`;
}

export function statusText(status: StandingStatus): string {
  const { name, lab, condition, since } = status;
  const lines = [
    `${name}${name === lab ? '' : ` (${lab})`}: ${condition === 'gone' ? `gone; remove the rest with uipvs lab down ${name}` : condition}, since ${since}`,
    ...(status.symptom === null ? [] : [`  what users say  ${status.symptom}`]),
    `  service         ${status.virtualAddress}`,
    `  API socket      ${status.socket ?? 'none: uipvsd is not there'}`,
    `  files           ${status.folder}`,
    ...status.hosts.map(
      (host) =>
        `  ${host.name.padEnd(14)}  ${host.addresses.join(', ')}; ${host.processes} process${host.processes === 1 ? '' : 'es'}`,
    ),
  ];
  return `${lines.join('\n')}\n`;
}

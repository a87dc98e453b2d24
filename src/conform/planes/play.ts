/**
 * The conformance suite of data planes: what a real kernel's ipvsadm printed, typed again over any data plane. Played
 * are the recordings that consist of commands, settings and files alone, for those need no packets and no virtual
 * time; a case is left out only because of a capability that the data plane declares not to have.
 */
import type { IpvsadmIo, IpvsadmTable } from '../../ipvsadm/io.ts';
import { runIpvsadm } from '../../ipvsadm/ipvsadm.ts';
import type { Answer, Command, CommandName } from '../../model/commands.ts';
import type { DataPlane } from '../../model/data-plane.ts';
import { IpvsError } from '../../model/errors.ts';
import { DEFAULT_TIMEOUTS, defaultSettings, readSetting, SETTING_NAMES } from '../../model/settings.ts';
import type { Difference } from '../difference.ts';
import { createRecordedNames } from '../names.ts';
import { readProcFile } from '../proc.ts';
import type { CommandStep, RecordedStep, Recording } from '../recording.ts';
import { playSysctl } from '../sysctl.ts';
import { compareCommand, compareFile } from '../texts.ts';
import { Leniency } from '../tolerances.ts';
import { missingCapability } from './needs.ts';

export type PlaneOutcome =
  | { readonly outcome: 'passed' }
  | { readonly outcome: 'failed'; readonly step: number; readonly what: string; readonly difference: Difference }
  /** The capability that this data plane declares not to have. */
  | { readonly outcome: 'left-out'; readonly capability: string };

/** Files that say the same whatever the machine is and however many processors it has. */
const FILES = /^\/proc\/(net\/ip_vs|net\/ip_vs_conn|net\/ip_vs_conn_sync|net\/ip_vs_stats|sys\/net\/ipv4\/vs\/\w+)$/;

/** Whether a recording can be played over a data plane that carries real traffic in real time. */
export function isPlayableAnywhere({ category, steps }: Recording): boolean {
  return category === 'cli' && steps.every(isPlayableStep);
}

function isPlayableStep(step: RecordedStep): boolean {
  if (step.do === 'file') return FILES.test(step.path);
  return step.do === 'cmd' || step.do === 'note' || step.do === 'sysctl';
}

/** Plays one recording over an emptied table. Never throws for what the data plane does. */
export async function playOnPlane(recording: Recording, plane: DataPlane): Promise<PlaneOutcome> {
  await empty(plane);
  const leniency = new Leniency();
  const names = createRecordedNames();
  const watched = new WatchedTable(plane, leniency);
  for (const [step, recorded] of recording.steps.entries()) {
    let difference: Difference | null = null;
    try {
      difference = await playStep(recorded, watched, names, leniency);
    } catch (error) {
      const came = error instanceof Error ? (error.stack ?? error.message) : String(error);
      difference = { field: 'the data plane', kernel: 'did this step', came };
    }
    if (watched.missing !== null) return { outcome: 'left-out', capability: watched.missing };
    if (difference !== null) return { outcome: 'failed', step, what: describe(recorded), difference };
  }
  return { outcome: 'passed' };
}

/** Notes when a command asked for what the data plane does not claim to be able to do. */
class WatchedTable implements IpvsadmTable {
  missing: string | null = null;
  readonly #plane: DataPlane;
  readonly #leniency: Leniency;

  constructor(plane: DataPlane, leniency: Leniency) {
    this.#plane = plane;
    this.#leniency = leniency;
  }

  async execute<N extends CommandName>(command: Command<N>): Promise<Answer<N>> {
    this.missing ??= missingCapability(command as Command, this.#plane.capabilities);
    this.#refuseWhatWasNotThere(command as Command);
    return this.#plane.execute(command);
  }

  async close(): Promise<void> {}

  /** Tolerance `missing-scheduler`: Debian's kernel was built without it. */
  #refuseWhatWasNotThere(command: Command): void {
    if (command.name !== 'addService' && command.name !== 'editService') return;
    if (command.service.scheduler !== 'twos') return;
    this.#leniency.use('missing-scheduler');
    throw new IpvsError('ENOENT', 'the recorded kernel had no scheduler twos');
  }
}

async function playStep(
  step: RecordedStep,
  table: IpvsadmTable,
  names: IpvsadmIo['names'],
  leniency: Leniency,
): Promise<Difference | null> {
  if (step.do === 'cmd') return playCommand(step, table, names, leniency);
  if (step.do === 'file') return compareFile(step, await readProcFile(table, step.path), leniency);
  return step.do === 'sysctl' ? playSysctl(table, step) : null;
}

async function playCommand(
  step: CommandStep,
  table: IpvsadmTable,
  names: IpvsadmIo['names'],
  leniency: Leniency,
): Promise<Difference | null> {
  let stdout = '';
  let stderr = '';
  const exit = await runIpvsadm(step.argv.slice(1), {
    programName: step.argv[0] as string,
    names,
    async *stdin() {
      yield step.stdin ?? '';
    },
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
    connect: async () => table,
  });
  const procText = (await readProcFile(table, '/proc/net/ip_vs_conn')) ?? '';
  return compareCommand(step, { stdout, stderr, exit }, procText, leniency);
}

/** As after the start: no services, no daemons, every timeout and setting at its default. */
async function empty(plane: DataPlane): Promise<void> {
  await plane.execute({ name: 'flush' });
  const { daemons } = await plane.execute<'listSyncDaemons'>({ name: 'listSyncDaemons' });
  for (const { role } of daemons) await plane.execute({ name: 'stopSyncDaemon', role });
  await plane.execute({ name: 'setTimeouts', timeouts: DEFAULT_TIMEOUTS });
  const { settings } = await plane.execute<'listSettings'>({ name: 'listSettings' });
  const defaults = defaultSettings();
  for (const setting of SETTING_NAMES) {
    const value = readSetting(defaults, setting);
    // A kernel's default queue length follows from its memory; settings of modules that are not loaded are not there.
    if (settings[setting] === value || settings[setting] === undefined || setting === 'sync_qlen_max') continue;
    await plane.execute({ name: 'setSetting', setting, value });
  }
  await plane.execute({ name: 'zero' });
}

function describe(step: RecordedStep): string {
  if (step.do === 'cmd') return step.argv.join(' ');
  if (step.do === 'file') return `file ${step.path}`;
  return step.do === 'sysctl' ? `sysctl ${step.name}=${step.value}` : step.do;
}

/**
 * Carries out the steps of a plan, all or none: when one is refused, or when it is time to stop, those before it are
 * taken back in reverse order. A data plane that goes away in the middle cannot be asked to take anything back; that
 * is told.
 */
import type { Command } from '../model/commands.ts';
import type { DataPlane } from '../model/data-plane.ts';
import { IpvsError } from '../model/errors.ts';
import type { ActualBalancer, ChangeStep } from './change-plan.ts';
import { allServices } from './pages.ts';

export type ApplyOutcome =
  | { readonly type: 'applied' }
  | {
      /** `refused`: a step was; `interrupted`: the caller wanted to stop. */
      readonly type: 'refused' | 'interrupted';
      /** The step that was refused, or before which it was stopped. */
      readonly step: ChangeStep;
      readonly reason: string;
      /** Steps that were carried out and taken back. */
      readonly takenBack: number;
      /** What could not be taken back, and why: the table is not as it was. */
      readonly left: readonly { readonly command: Command; readonly reason: string }[];
    };

export interface ApplyOptions {
  /** After each step that was carried out. */
  done?(step: ChangeStep, number: number): void | Promise<void>;
  /** Asked before each step: true stops. */
  interrupted?(): boolean;
}

export async function applyChanges(
  dataPlane: Pick<DataPlane, 'execute'>,
  steps: readonly ChangeStep[],
  options: ApplyOptions = {},
): Promise<ApplyOutcome> {
  const carriedOut: ChangeStep[] = [];
  for (const [index, step] of steps.entries()) {
    if (options.interrupted?.() === true) return takeBack(dataPlane, carriedOut, 'interrupted', step, 'interrupted');
    try {
      await dataPlane.execute(step.command);
    } catch (error) {
      if (!(error instanceof IpvsError)) throw error;
      return takeBack(dataPlane, carriedOut, 'refused', step, error.message);
    }
    carriedOut.push(step);
    await options.done?.(step, index + 1);
  }
  return { type: 'applied' };
}

async function takeBack(
  dataPlane: Pick<DataPlane, 'execute'>,
  carriedOut: readonly ChangeStep[],
  type: 'refused' | 'interrupted',
  step: ChangeStep,
  reason: string,
): Promise<ApplyOutcome> {
  const left: { command: Command; reason: string }[] = [];
  for (const { inverse } of [...carriedOut].reverse()) {
    for (const command of inverse) {
      try {
        await dataPlane.execute(command);
      } catch (error) {
        if (!(error instanceof IpvsError)) throw error;
        left.push({ command, reason: error.message });
      }
    }
  }
  return { type, step, reason, takenBack: carriedOut.length, left };
}

/** Everything that a plan compares. What the data plane does not have is empty. */
export async function readActual(dataPlane: DataPlane): Promise<ActualBalancer> {
  const orEmpty = async <T>(question: Promise<readonly T[]>): Promise<readonly T[]> => {
    try {
      return await question;
    } catch (error) {
      if (error instanceof IpvsError && error.code === 'EOPNOTSUPP') return [];
      throw error;
    }
  };
  const services = await allServices(dataPlane);
  const timeouts = await dataPlane.execute<'getTimeouts'>({ name: 'getTimeouts' });
  const { settings } = await dataPlane.execute<'listSettings'>({ name: 'listSettings' });
  const markRules = await orEmpty(
    dataPlane.execute<'listMarkRules'>({ name: 'listMarkRules' }).then(({ rules }) => rules),
  );
  const syncDaemons = await orEmpty(
    dataPlane.execute<'listSyncDaemons'>({ name: 'listSyncDaemons' }).then(({ daemons }) => daemons),
  );
  return { services, timeouts, settings, markRules, syncDaemons };
}

/** A director from a configuration file, for looking at what it would do where no daemon runs. */
import { desiredBalancer } from '../config/desired.ts';
import { type DesiredBalancer, NOBODY_OUTSIDE, planChanges } from '../control/change-plan.ts';
import { OfflineDirector } from '../explain/offline.ts';
import { IpvsError } from '../model/errors.ts';
import { inFileOrder } from '../model/file-problem.ts';
import { isMarkKey } from '../model/service.ts';
import type { Cli } from './cli.ts';
import { problemLine } from './convert.ts';
import type { FormatName } from './format-names.ts';

/** Reads the file; its warnings go to standard error. Rejects with FileRefused, or an IpvsError that names the step. */
export async function readDesired(cli: Cli, path: string, from: FormatName | undefined): Promise<DesiredBalancer> {
  const { detectFormat, FORMATS, readText } = await import('./formats.ts');
  const text = readText(path);
  const format = from === undefined ? detectFormat(path, text) : FORMATS[from];
  const read = await format.read(text, path);
  const told = inFileOrder([...read.warnings, ...read.lost]);
  await cli.stderr(told.map((problem) => `${problemLine(path, problem, 'warning')}\n`).join(''));
  return desiredBalancer(read.blueprint);
}

/**
 * `peers`: addresses of the packets to come; on the made-up network everybody is a neighbour. `address`: the director's
 * own, `null`: it has only those of its services.
 */
export function createOfflineDirector(
  desired: DesiredBalancer,
  peers: readonly string[],
  address: string | null,
): OfflineDirector {
  const virtual = desired.services.flatMap(({ spec: { key } }) => (isMarkKey(key) ? [] : [key.address]));
  // The first address is what full NAT uses.
  const own = address === null ? virtual : [address, ...virtual];
  const servers = desired.services.flatMap(({ destinations, fallback }) => [
    ...destinations.map(({ address }) => address),
    ...(fallback === null ? [] : [fallback.address]),
  ]);
  const director = new OfflineDirector({ own, others: [...servers, ...peers] });
  const actual = {
    services: [],
    timeouts: director.execute<'getTimeouts'>({ name: 'getTimeouts' }),
    settings: director.execute<'listSettings'>({ name: 'listSettings' }).settings,
    markRules: [],
    syncDaemons: [],
  };
  const { steps } = planChanges({ ...desired, syncDaemons: [] }, actual, {
    mayDelete: { service: () => false, markRule: () => false, syncDaemon: () => false },
    outside: NOBODY_OUTSIDE,
  });
  for (const { command } of steps) {
    try {
      director.execute(command);
    } catch (error) {
      if (!(error instanceof IpvsError)) throw error;
      throw new IpvsError(error.code, `the configuration cannot be carried out: ${error.message}`);
    }
  }
  return director;
}

/** The settings of net.ipv4.vs that a daemon starts with: those of the host's files, then those of its command line. */
import type { Logger } from '../control/logger.ts';
import type { DataPlane } from '../model/data-plane.ts';
import { IpvsError } from '../model/errors.ts';
import { type FileSettings, readSystemFiles } from './sysctl-files.ts';
import { readSettingWish } from './sysctl-names.ts';

/**
 * Returns what was set: `conntrack=1 (/etc/sysctl.d/lvs.conf:2)`. What a file has wrong is logged; a mistake on the
 * command line is an IpvsError.
 */
export async function applyStartSettings(
  dataPlane: DataPlane,
  typed: readonly string[],
  logger: Logger,
  files: FileSettings = readSystemFiles(),
): Promise<string[]> {
  const applied: string[] = [];
  for (const complaint of files.complaints) logger.warn(complaint);
  for (const { setting, value, place } of files.settings) {
    try {
      await dataPlane.execute<'setSetting'>({ name: 'setSetting', setting, value });
      logger.info(`net.ipv4.vs.${setting} = ${value}, as ${place} says`);
      applied.push(`${setting}=${value} (${place})`);
    } catch (error) {
      if (!(error instanceof IpvsError)) throw error;
      logger.warn(`${place}: ${error.message}`);
    }
  }
  for (const word of typed) {
    const { setting, value } = readSettingWish(word);
    if (value === undefined) throw new IpvsError('EINVAL', `--sysctl ${word} must be of the form name=value`);
    await dataPlane.execute<'setSetting'>({ name: 'setSetting', setting, value });
    applied.push(`${setting}=${value} (--sysctl)`);
  }
  return applied;
}

/** `sysctl` steps: settings of the engine, with the refusals of the kernel. */
import type { IpvsadmTable } from '../ipvsadm/io.ts';
import type { Command } from '../model/commands.ts';
import { type ErrorCode, IpvsError } from '../model/errors.ts';
import type { Difference } from './difference.ts';
import type { SysctlStep } from './recording.ts';

const PREFIX = 'net.ipv4.vs.';

/** What the system says when writing to the file fails, by code. */
const ERROR_TEXTS: Partial<Readonly<Record<ErrorCode, string>>> = {
  EINVAL: 'Invalid argument',
  ENOENT: 'No such file or directory',
  EPERM: 'Operation not permitted',
  ERANGE: 'Numerical result out of range',
};

export async function playSysctl(dataPlane: IpvsadmTable, step: SysctlStep): Promise<Difference | null> {
  const kernel = step.error ?? 'took it';
  if (!step.name.startsWith(PREFIX)) return { field: 'setting', kernel, came: 'this setting is none of IPVS' };
  const setting = step.name.slice(PREFIX.length);
  let came = 'took it';
  try {
    await dataPlane.execute({ name: 'setSetting', setting, value: step.value } as unknown as Command);
  } catch (error) {
    if (!(error instanceof IpvsError)) throw error;
    came = ERROR_TEXTS[error.code] ?? `${error.code}: ${error.message}`;
  }
  return kernel === came ? null : { field: 'setting', kernel, came };
}

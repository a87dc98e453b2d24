/** The settings of net.ipv4.vs where the kernel keeps them. */
import { readFileSync, writeFileSync } from 'node:fs';
import { IpvsError } from '../../model/errors.ts';
import { requireSettingName, SETTING_NAMES, type SettingName } from '../../model/settings.ts';

const FOLDER = '/proc/sys/net/ipv4/vs';

export class SettingFiles {
  readonly #folder: string;

  constructor(folder = FOLDER) {
    this.#folder = folder;
  }

  /** ENOENT: no such setting, or this kernel has not got it. */
  read(name: SettingName): string {
    return this.#reach(name, (path) => readFileSync(path, 'utf8').replace(/\n$/, ''));
  }

  /** EINVAL: the kernel does not take it. */
  write(name: SettingName, value: unknown): void {
    if (typeof value !== 'string') throw new IpvsError('EINVAL', 'the value of a setting must be text');
    this.#reach(name, (path) => writeFileSync(path, value), value);
  }

  /** Those that this kernel has. */
  all(): Record<SettingName, string> {
    const found: Partial<Record<SettingName, string>> = {};
    for (const name of SETTING_NAMES) {
      try {
        found[name] = this.read(name);
      } catch (error) {
        if (!(error instanceof IpvsError) || error.code !== 'ENOENT') throw error;
      }
    }
    return found as Record<SettingName, string>;
  }

  #reach<T>(name: SettingName, work: (path: string) => T, value?: string): T {
    const setting = requireSettingName(name);
    try {
      return work(`${this.#folder}/${setting}`);
    } catch (error) {
      throw refusal(setting, value, error as NodeJS.ErrnoException);
    }
  }
}

function refusal(setting: SettingName, value: string | undefined, cause: NodeJS.ErrnoException): IpvsError {
  switch (cause.code) {
    case 'ENOENT':
      return new IpvsError('ENOENT', `this kernel has no setting ${setting}`, { cause });
    case 'EINVAL':
    case 'ERANGE':
      return new IpvsError('EINVAL', `the kernel does not take ${JSON.stringify(value)} for ${setting}`, { cause });
    case 'EPERM':
    case 'EACCES':
    case 'EROFS':
      return new IpvsError('EPERM', `net.ipv4.vs.${setting} cannot be changed from here (${cause.code})`, { cause });
    default:
      return new IpvsError('EIO', `net.ipv4.vs.${setting}: ${cause.message}`, { cause });
  }
}

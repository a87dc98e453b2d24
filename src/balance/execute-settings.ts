/** The commands about settings of net.ipv4.vs, the same for every data plane that keeps a `Settings`. */
import type { Answer, Command, CommandName } from '../model/commands.ts';
import { IpvsError } from '../model/errors.ts';
import {
  readSetting,
  requireSettingName,
  SETTING_NAMES,
  type SettingName,
  type Settings,
  writeSetting,
} from '../model/settings.ts';
import type { TableEnvironment } from './table-environment.ts';

/** Carries out a command about settings, and returns its answer; `undefined`: it is about something else. */
export function executeSettingCommand(
  settings: Settings,
  environment: TableEnvironment,
  command: Command,
): Answer<CommandName> | undefined {
  switch (command.name) {
    case 'getSetting':
      return { value: readSetting(settings, requireSettingName(command.setting)) };
    case 'setSetting':
      if (typeof command.value !== 'string') throw new IpvsError('EINVAL', 'the value of a setting must be text');
      writeSetting(settings, requireSettingName(command.setting), command.value);
      environment.lblcExpirationSeconds = settings.lblc_expiration;
      environment.lblcrExpirationSeconds = settings.lblcr_expiration;
      return null;
    case 'listSettings': {
      const values = SETTING_NAMES.map((name) => [name, readSetting(settings, name)]);
      return { settings: Object.fromEntries(values) as Record<SettingName, string> };
    }
    default:
      return undefined;
  }
}

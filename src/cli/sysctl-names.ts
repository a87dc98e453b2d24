/** How people write settings of net.ipv4.vs: `net.ipv4.vs.conntrack`, `net/ipv4/vs/conntrack` or `conntrack`. */
import { nearestWord } from '../control/nearest.ts';
import { IpvsError } from '../model/errors.ts';
import { SETTING_NAMES, type SettingName } from '../model/settings.ts';

export const SETTING_PREFIX = 'net.ipv4.vs.';
const FOLDER = '/proc/sys/net/ipv4/vs/';

export interface SettingWish {
  readonly setting: SettingName;
  /** Absent: read it. */
  readonly value?: string;
}

/** `NAME` or `NAME=VALUE`. ENOENT for an unknown name, with the nearest. */
export function readSettingWish(word: string): SettingWish {
  const equals = word.indexOf('=');
  const name = (equals < 0 ? word : word.slice(0, equals)).trim();
  const key = name.replaceAll('/', '.').replace(/^(?:\.proc\.sys\.)?net\.ipv4\.vs\./, '');
  const setting = SETTING_NAMES.find((known) => known === key);
  if (setting === undefined) {
    const nearest = nearestWord(key, SETTING_NAMES);
    const hint =
      nearest === null ? '; `uipvs sysctl -a` prints all of them' : `; did you mean ${SETTING_PREFIX}${nearest}?`;
    const path = key.includes('.') ? `/proc/sys/${key.replaceAll('.', '/')}` : `${FOLDER}${key}`;
    throw new IpvsError('ENOENT', `cannot stat ${path}: No such file or directory${hint}`);
  }
  return equals < 0 ? { setting } : { setting, value: word.slice(equals + 1) };
}

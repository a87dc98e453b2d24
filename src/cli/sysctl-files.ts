/**
 * The settings of net.ipv4.vs that the host's files want: where a kernel has no IPVS, sysctl(8) cannot set them at boot,
 * so uipvsd reads the same files in the same order. Source: sysctl.d(5), sysctl.conf(5).
 */
import { readdirSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { SETTING_NAMES, type SettingName } from '../model/settings.ts';

/** A file in an earlier one hides those of the same name in later ones. */
const FOLDERS = ['/etc/sysctl.d', '/run/sysctl.d', '/usr/local/lib/sysctl.d', '/usr/lib/sysctl.d', '/lib/sysctl.d'];
/** Read after all others. */
const LAST_FILE = '/etc/sysctl.conf';
const PREFIX = 'net.ipv4.vs.';

export interface FileSetting {
  readonly setting: SettingName;
  readonly value: string;
  /** `/etc/sysctl.d/lvs.conf:2` */
  readonly place: string;
}

export interface FileSettings {
  /** Each setting once: the last line that names it wins. */
  readonly settings: readonly FileSetting[];
  /** Sentences about files and lines that were passed over. */
  readonly complaints: readonly string[];
}

/** What all of the host's files say together. `root`: for tests. Never throws. */
export function readSystemFiles(root = ''): FileSettings {
  const files = new Map<string, string>();
  for (const folder of FOLDERS) {
    for (const name of namesIn(join(root, folder))) if (!files.has(name)) files.set(name, join(folder, name));
  }
  const ordered = [...files].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, path]) => path);
  const texts: SysctlFile[] = [];
  const complaints: string[] = [];
  for (const path of [...ordered, LAST_FILE]) {
    try {
      // Debian links 99-sysctl.conf to it.
      if (path !== LAST_FILE && realpathSync(join(root, path)) === realPath(join(root, LAST_FILE))) continue;
      texts.push({ path, text: readFileSync(join(root, path), 'utf8') });
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'ENOENT') complaints.push(`${path} cannot be read: ${code}`);
    }
  }
  const { settings, complaints: more } = settingsOf(texts);
  return { settings, complaints: [...complaints, ...more] };
}

export interface SysctlFile {
  readonly path: string;
  readonly text: string;
}

/** The pure part: files in the order in which they are read. */
export function settingsOf(files: readonly SysctlFile[]): FileSettings {
  const found = new Map<SettingName, FileSetting>();
  const complaints: string[] = [];
  for (const { path, text } of files) {
    text.split('\n').forEach((line, index) => {
      // `-` in front: no matter if it fails. Words may be joined by dots or slashes.
      const match = /^\s*-?\s*([^\s#;=][^\s=]*)\s*=\s*(.*?)\s*$/.exec(line);
      const name = match?.[1]?.replaceAll('/', '.') ?? '';
      if (match === null || !name.startsWith(PREFIX)) return;
      const place = `${path}:${index + 1}`;
      const key = name.slice(PREFIX.length);
      const setting = SETTING_NAMES.find((known) => known === key);
      if (setting === undefined) {
        complaints.push(`${place}: there is no setting ${name}`);
        return;
      }
      found.delete(setting);
      found.set(setting, { setting, value: match[2] as string, place });
    });
  }
  return { settings: [...found.values()], complaints };
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => name.endsWith('.conf'));
  } catch {
    return []; // Most hosts lack some of them.
  }
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/** `uipvs sysctl`: the settings of net.ipv4.vs, read and changed in the words of sysctl(8). */
import { readFileSync } from 'node:fs';
import { IpvsError } from '../model/errors.ts';
import { SETTING_NAMES, type SettingName } from '../model/settings.ts';
import { type Cli, type ConnectedDaemon, withDaemon } from './cli.ts';
import { USAGE_EXIT_CODE, type Word } from './command-line.ts';
import { type FileSettings, readSystemFiles, settingsOf } from './sysctl-files.ts';
import { readSettingWish, SETTING_PREFIX, type SettingWish } from './sysctl-names.ts';

export function sysctlWord(cli: Cli): Word {
  return {
    name: 'sysctl',
    summary: 'show or change the settings that the kernel has in net.ipv4.vs',
    operands: '[NAME[=VALUE]...]',
    operandChoices: SETTING_NAMES.map((name) => `${SETTING_PREFIX}${name}`),
    options: [
      { flags: '-a, --all', description: 'print all of them' },
      { flags: '-n, --values', description: 'print values without their names' },
      { flags: '-w, --write', description: 'what is given must be NAME=VALUE, as with sysctl -w' },
      { flags: '-p, --load [file]', description: 'take over what a file says (default: /etc/sysctl.conf)' },
      { flags: '--system', description: 'take over what /etc/sysctl.conf and the files of sysctl.d(5) say' },
      { flags: '--json', description: 'print a JSON object: setting (without net.ipv4.vs.) and its text' },
    ],
    notes: `NAME is net.ipv4.vs.conntrack, net/ipv4/vs/conntrack or conntrack. VALUE is what would be written to the
file in /proc: decimal, hexadecimal with 0x, octal with 0; sync_threshold takes two numbers. Of files only the lines
about net.ipv4.vs are read; uipvsd reads them when it starts, too.

Settings: ${wrap(SETTING_NAMES)}`,
    run: async ({ all, values, write, json, load, system, operands }) => {
      const files = filesFor(load, system === true);
      for (const complaint of files?.complaints ?? []) await cli.stderr(`uipvs sysctl: ${complaint}\n`);
      const fromFiles = (files?.settings ?? []).map(({ setting, value }) => `${setting}=${value}`);
      const typed = [...fromFiles, ...(operands as readonly string[])];
      const passedOver = files !== null && files.complaints.length > 0;
      if (files !== null && typed.length === 0) {
        if (!passedOver) await cli.stderr('uipvs sysctl: no line is about net.ipv4.vs\n');
        return passedOver ? 1 : 0;
      }
      const complaint = complaintAbout(typed, all === true, write === true);
      if (complaint !== null) {
        await cli.stderr(`uipvs sysctl: ${complaint}\n`);
        return USAGE_EXIT_CODE;
      }
      const style: Style = json === true ? 'json' : values === true ? 'values' : 'lines';
      const exitCode = await withDaemon(cli, (daemon) => carryOut(cli, daemon, typed, all === true, style));
      return exitCode === 0 && passedOver ? 1 : exitCode;
    },
  };
}

const DEFAULT_FILE = '/etc/sysctl.conf';

/** `load`: a path, or true for the usual one. `null`: no file is asked for. */
function filesFor(load: unknown, system: boolean): FileSettings | null {
  if (system) return readSystemFiles();
  if (load === undefined) return null;
  const path = load === true ? DEFAULT_FILE : String(load);
  try {
    return settingsOf([{ path, text: readFileSync(path, 'utf8') }]);
  } catch (error) {
    return { settings: [], complaints: [`cannot open ${path}: ${(error as NodeJS.ErrnoException).code}`] };
  }
}

type Style = 'json' | 'values' | 'lines';

function complaintAbout(typed: readonly string[], all: boolean, write: boolean): string | null {
  if (all && typed.length > 0) return 'type either --all or names';
  if (!all && typed.length === 0) return 'which setting? -a prints all of them';
  const plain = typed.find((word) => !word.includes('='));
  return write && plain !== undefined ? `"${plain}" must be of the form name=value` : null;
}

/** Goes on behind a refused word, as sysctl does. */
async function carryOut(
  cli: Cli,
  daemon: ConnectedDaemon,
  typed: readonly string[],
  all: boolean,
  style: Style,
): Promise<number> {
  const shown: [name: string, value: string][] = [];
  let exitCode = 0;
  if (all) {
    const { settings } = await daemon.execute<'listSettings'>({ name: 'listSettings' });
    for (const name of Object.keys(settings).sort()) shown.push([name, settings[name as SettingName]]);
  }
  for (const word of typed) {
    try {
      const wish = readSettingWish(word);
      shown.push([wish.setting, await fulfil(daemon, wish)]);
    } catch (error) {
      if (!(error instanceof IpvsError)) throw error;
      exitCode = 1;
      await cli.stderr(`uipvs: ${error.message}\n`);
    }
  }
  if (style === 'json') await cli.stdout(`${JSON.stringify(Object.fromEntries(shown), null, 2)}\n`);
  else {
    const line = ([name, value]: [string, string]): string =>
      style === 'values' ? value : `${SETTING_PREFIX}${name} = ${value}`;
    await cli.stdout(shown.map((one) => `${line(one)}\n`).join(''));
  }
  return exitCode;
}

/** The value there is now. */
async function fulfil(daemon: ConnectedDaemon, { setting, value }: SettingWish): Promise<string> {
  if (value !== undefined) {
    try {
      await daemon.execute<'setSetting'>({ name: 'setSetting', setting, value });
    } catch (error) {
      if (!(error instanceof IpvsError) || error.code !== 'EINVAL') throw error;
      const text = `setting key "${SETTING_PREFIX}${setting}": Invalid argument: ${error.message}`;
      throw new IpvsError('EINVAL', text, { cause: error });
    }
  }
  return (await daemon.execute<'getSetting'>({ name: 'getSetting', setting })).value;
}

/** Names in lines of a width that a help text has. */
function wrap(names: readonly string[]): string {
  let text = '';
  let width = 'Settings: '.length;
  for (const name of names) {
    if (width + name.length + 2 > 100) {
      text += '\n  ';
      width = 2;
    }
    text += `${name}${name === names.at(-1) ? '' : ', '}`;
    width += name.length + 2;
  }
  return text;
}

/** `uipvs sysctl`: the settings of net.ipv4.vs, read and changed in the words of sysctl(8). */
import { nearestWord } from '../control/nearest.ts';
import { IpvsError } from '../model/errors.ts';
import { SETTING_NAMES, type SettingName } from '../model/settings.ts';
import { type Cli, type ConnectedDaemon, withDaemon } from './cli.ts';
import { USAGE_EXIT_CODE, type Word } from './command-line.ts';

const PREFIX = 'net.ipv4.vs.';
const FOLDER = '/proc/sys/net/ipv4/vs/';

interface Wish {
  readonly setting: SettingName;
  /** Absent: read it. */
  readonly value?: string;
}

export function sysctlWord(cli: Cli): Word {
  return {
    name: 'sysctl',
    summary: 'show or change the settings that the kernel has in net.ipv4.vs',
    operands: '[NAME[=VALUE]...]',
    operandChoices: SETTING_NAMES.map((name) => `${PREFIX}${name}`),
    options: [
      { flags: '-a, --all', description: 'print all of them' },
      { flags: '-n, --values', description: 'print values without their names' },
      { flags: '-w, --write', description: 'what is given must be NAME=VALUE, as with sysctl -w' },
      { flags: '--json', description: 'print a JSON object: setting (without net.ipv4.vs.) and its text' },
    ],
    notes: `NAME is net.ipv4.vs.conntrack, net/ipv4/vs/conntrack or conntrack. VALUE is what would be written to the
file in /proc: decimal, hexadecimal with 0x, octal with 0; sync_threshold takes two numbers.

Settings: ${wrap(SETTING_NAMES)}`,
    run: async ({ all, values, write, json, operands }) => {
      const typed = operands as readonly string[];
      const complaint = complaintAbout(typed, all === true, write === true);
      if (complaint !== null) {
        await cli.stderr(`uipvs sysctl: ${complaint}\n`);
        return USAGE_EXIT_CODE;
      }
      const style: Style = json === true ? 'json' : values === true ? 'values' : 'lines';
      return withDaemon(cli, (daemon) => carryOut(cli, daemon, typed, all === true, style));
    },
  };
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
      const wish = readWish(word);
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
      style === 'values' ? value : `${PREFIX}${name} = ${value}`;
    await cli.stdout(shown.map((one) => `${line(one)}\n`).join(''));
  }
  return exitCode;
}

/** ENOENT for an unknown name, with the nearest. */
function readWish(word: string): Wish {
  const equals = word.indexOf('=');
  const name = (equals < 0 ? word : word.slice(0, equals)).trim();
  const key = name.replaceAll('/', '.').replace(/^(?:\.proc\.sys\.)?net\.ipv4\.vs\./, '');
  const setting = SETTING_NAMES.find((known) => known === key);
  if (setting === undefined) {
    const nearest = nearestWord(key, SETTING_NAMES);
    const hint = nearest === null ? '; `uipvs sysctl -a` prints all of them' : `; did you mean ${PREFIX}${nearest}?`;
    const path = key.includes('.') ? `/proc/sys/${key.replaceAll('.', '/')}` : `${FOLDER}${key}`;
    throw new IpvsError('ENOENT', `cannot stat ${path}: No such file or directory${hint}`);
  }
  return equals < 0 ? { setting } : { setting, value: word.slice(equals + 1) };
}

/** The value there is now. */
async function fulfil(daemon: ConnectedDaemon, { setting, value }: Wish): Promise<string> {
  if (value !== undefined) {
    try {
      await daemon.execute<'setSetting'>({ name: 'setSetting', setting, value });
    } catch (error) {
      if (!(error instanceof IpvsError) || error.code !== 'EINVAL') throw error;
      const text = `setting key "${PREFIX}${setting}": Invalid argument: ${error.message}`;
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

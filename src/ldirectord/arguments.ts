/**
 * The command line of ldirectord(8): `[-d] [--] [CONFIG] ACTION`. Options stand before the words. Ours are
 * `--foreground`, and the action `check`, which may stand before its file and be followed by `--json`.
 */
import { basename } from 'node:path';

export const ACTIONS = [
  'start',
  'stop',
  'restart',
  'try-restart',
  'reload',
  'force-reload',
  'status',
  'check',
] as const;
export type Action = (typeof ACTIONS)[number];

export interface Invocation {
  readonly debug: boolean;
  /** Stays in the foreground but is otherwise the daemon: log file, pid file. */
  readonly foreground: boolean;
  /** For `check`. */
  readonly json: boolean;
  readonly action: Action;
  /** As typed, or the default. */
  readonly configuration: string;
  /** Part of the pid file's name and of every log line. */
  readonly name: string;
}

export type ParsedArguments = Invocation | 'help' | 'version' | 'usage';

const DEFAULT_CONFIGURATION = 'ldirectord.cf';
const DEFAULT_NAME = 'ldirectord';
const OPTIONS = {
  debug: ['-d', '--debug'],
  help: ['-h', '-?', '--help'],
  version: ['-v', '--version'],
  foreground: ['--foreground'],
  json: ['--json'],
} as const;

export const USAGE = `Usage: uldirectord [-d|--debug|--foreground] [--] [CONFIG] ${ACTIONS.filter((action) => action !== 'check').join('|')}
       uldirectord [--json] [CONFIG] check
       uldirectord -h|-?|--help|-v|--version

CONFIG is looked for as /etc/ha.d/CONFIG, /etc/ha.d/conf/CONFIG and CONFIG; the default is ${DEFAULT_CONFIGURATION}.
  -d, --debug     stay in the foreground, log to standard error, more of it
  --foreground    stay in the foreground, log as configured
  --json          print JSON (check)

check says what CONFIG means and what is wrong with it, and touches nothing.

Exit codes: 0 done; 1 no such file, no daemon to reload, or a stale pid file; 2 CONFIG is wrong; 3 not running
(status); 255 the words were not understood.
`;

export function parseArguments(words: readonly string[]): ParsedArguments {
  const options = new Set<keyof typeof OPTIONS>();
  let at = 0;
  for (; at < words.length && words[at].startsWith('-') && words[at] !== '-'; at++) {
    if (words[at] === '--') {
      at += 1;
      break;
    }
    // Short ones may be bundled: -dv is -d -v.
    const each = words[at].startsWith('--') ? [words[at]] : [...words[at].slice(1)].map((letter) => `-${letter}`);
    for (const written of each) {
      const option = (Object.keys(OPTIONS) as (keyof typeof OPTIONS)[]).find((name) =>
        (OPTIONS[name] as readonly string[]).includes(written),
      );
      if (option === undefined) return 'usage';
      options.add(option);
    }
  }
  if (options.has('help')) return 'help';
  if (options.has('version')) return 'version';
  let rest = words.slice(at);
  if (rest.includes('check')) {
    if (rest.includes('--json')) options.add('json');
    rest = rest.filter((word) => word !== '--json');
    if (rest[0] === 'check' && rest[1] !== undefined && !isAction(rest[1])) rest = [rest[1], 'check'];
  }
  const [first, second] = rest;
  const action = second ?? first;
  if (!isAction(action)) return 'usage';
  const configuration = second === undefined ? DEFAULT_CONFIGURATION : first;
  return {
    debug: options.has('debug'),
    foreground: options.has('foreground'),
    json: options.has('json'),
    action,
    configuration,
    name: second === undefined ? DEFAULT_NAME : basename(configuration),
  };
}

function isAction(word: string | undefined): word is Action {
  return (ACTIONS as readonly (string | undefined)[]).includes(word);
}

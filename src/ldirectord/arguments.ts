/** The command line of ldirectord(8): `[-d] [--] [CONFIG] ACTION`. Options stand before the words. */
import { basename } from 'node:path';

export const ACTIONS = ['start', 'stop', 'restart', 'try-restart', 'reload', 'force-reload', 'status'] as const;
export type Action = (typeof ACTIONS)[number];

export interface Invocation {
  readonly debug: boolean;
  /** Stays in the foreground but is otherwise the daemon: log file, pid file. */
  readonly foreground: boolean;
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
} as const;

export const USAGE = `Usage: uldirectord [-d|--debug|--foreground] [--] [CONFIG] ${ACTIONS.join('|')}
       uldirectord -h|-?|--help|-v|--version

CONFIG is looked for as /etc/ha.d/CONFIG, /etc/ha.d/conf/CONFIG and CONFIG; the default is ${DEFAULT_CONFIGURATION}.
A CONFIG that ends in .yaml or .yml is a native file of uipvs (\`uipvs convert --example\` prints one).
  -d, --debug     stay in the foreground, log to standard error, more of it
  --foreground    stay in the foreground, log as configured
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
  const [first, second] = words.slice(at);
  const action = second ?? first;
  if (!(ACTIONS as readonly (string | undefined)[]).includes(action)) return 'usage';
  const configuration = second === undefined ? DEFAULT_CONFIGURATION : first;
  return {
    debug: options.has('debug'),
    foreground: options.has('foreground'),
    action: action as Action,
    configuration,
    name: second === undefined ? DEFAULT_NAME : basename(configuration),
  };
}

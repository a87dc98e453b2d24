import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SCHEDULERS } from '../../src/balance/schedulers/index.ts';
import { type ParseEnvironment, systemEnvironment } from '../../src/ldirectord/config/environment.ts';
import { ConfigurationError, formatExcerpt, formatProblem } from '../../src/ldirectord/config/problem.ts';
import { SCHEDULER_NAMES } from '../../src/ldirectord/config/traps.ts';
import type { Configuration, GlobalSettings } from '../../src/ldirectord/config/types.ts';
import { parseConfiguration } from '../../src/ldirectord/config.ts';
import { bracketed, describeVirtual } from './describe.ts';

const EXAMPLES = join(import.meta.dirname, 'examples');
const NAMES = readdirSync(EXAMPLES)
  .filter((name) => name.endsWith('.cf'))
  .map((name) => name.slice(0, -3));

const environment: ParseEnvironment = { ...systemEnvironment, hostName: () => 'director.example' };

interface Recorded {
  readonly valid: boolean;
  readonly virtual: unknown;
  readonly global_non_default: unknown;
  readonly warnings?: string[];
  readonly error_line: number;
  readonly error_message: string;
  readonly stderr: string;
}

function example(name: string): { text: string; recorded: Recorded } {
  return {
    text: readFileSync(join(EXAMPLES, `${name}.cf`), 'utf8'),
    recorded: JSON.parse(readFileSync(join(EXAMPLES, `${name}.json`), 'utf8')),
  };
}

const parse = (text: string) => parseConfiguration(text, environment);

async function errorOf(text: string): Promise<ConfigurationError> {
  const error = await parse(text).then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ConfigurationError);
  return error as ConfigurationError;
}

/** Facts that are null or absent count as not mentioned; everything mentioned on either side is compared. */
function mentioned(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(mentioned);
  if (value === null || typeof value !== 'object') return value;
  const entries = Object.entries(value).filter(([, each]) => each !== null && each !== undefined);
  return Object.fromEntries(entries.map(([name, each]) => [name, mentioned(each)]));
}

function describeGlobals(globals: Readonly<GlobalSettings>): Record<string, unknown> {
  const yesNo = (value: boolean, usual: boolean) => (value === usual ? null : value ? 'yes' : 'no');
  const number = (value: number | null, usual: number | null) => (value === usual ? null : value);
  const fallback = (value: GlobalSettings['fallback']) => {
    if (value === null) return null;
    const each = { address: bracketed(value.address), port: value.port, forward: value.forward, weight: 1 };
    return { tcp: each, udp: each };
  };
  return {
    checktimeout: globals.checkTimeoutSeconds,
    negotiatetimeout: globals.negotiateTimeoutSeconds,
    checkinterval: number(globals.checkIntervalSeconds, 10),
    checkcount: number(globals.checkCount, 1),
    failurecount: number(globals.failureCount, 1),
    autoreload: yesNo(globals.autoReload, false),
    callback: globals.callback,
    fallback: fallback(globals.fallback),
    fallback6: fallback(globals.fallback6),
    fallbackcommand: globals.fallbackCommand,
    logfile: globals.logFile === '/var/log/ldirectord.log' ? null : globals.logFile,
    emailalert: globals.emailAlert,
    emailalertfrom: globals.emailAlertFrom,
    emailalertfreq: number(globals.emailAlertSeconds, 0),
    emailalertstatus: globals.emailAlertStates.length === 4 ? null : globals.emailAlertStates,
    smtp: globals.smtp,
    execute: globals.execute.length === 0 ? null : globals.execute,
    supervised: yesNo(globals.supervised, false),
    fork: yesNo(globals.fork, false),
    quiescent: yesNo(globals.quiescent, false),
    readdquiescent: yesNo(globals.readdQuiescent, false),
    cleanstop: yesNo(globals.cleanStop, true),
    maintenancedir: globals.maintenanceDirectory,
  };
}

function originalWarnings(configuration: Configuration): string[] {
  return configuration.warnings
    .filter((warning) => warning.origin === 'ldirectord')
    .map(({ line, text }) => (line > 0 ? `line ${line}: ${text}` : text));
}

describe('files that ldirectord accepts mean here what they mean there', () => {
  test.each(NAMES.filter((name) => name < '50'))('%s', async (name) => {
    const { text, recorded } = example(name);
    const configuration = await parse(text);
    expect(recorded.valid).toBe(true);
    // Recordings give a URL only where a check of the service uses one, and for http_proxy also an empty one.
    const virtuals = configuration.virtuals.map((virtual) => mentioned(describeVirtual(virtual)));
    expect(virtuals).toEqual(mentioned(recorded.virtual));
    expect(mentioned(describeGlobals(configuration.globals))).toEqual(mentioned(recorded.global_non_default));
    expect(originalWarnings(configuration)).toEqual(recorded.warnings ?? []);
  });
});

test('of 67 recorded files ldirectord accepts 19 and refuses 48', () => {
  const verdicts = NAMES.map((name) => example(name).recorded.valid);
  expect({ accepted: verdicts.filter(Boolean).length, refused: verdicts.filter((valid) => !valid).length }).toEqual({
    accepted: 19,
    refused: 48,
  });
});

describe('files that ldirectord refuses are refused at the same line with the same text', () => {
  test.each(NAMES.filter((name) => name >= '50'))('%s', async (name) => {
    const { text, recorded } = example(name);
    const error = await errorOf(text);
    expect(error.line).toBe(recorded.error_line);
    expect(error.message.split('\n')[0]).toBe(recorded.error_message);
    const printed = `${formatProblem('Error', 7, '/a.cf', { line: error.line, text: error.message })}\n`;
    expect(printed.replace('[7]', '[<pid>]').replace('/a.cf', '<path>')).toBe(recorded.stderr);
    expect(error.column).toBeGreaterThanOrEqual(1);
  });
});

describe('an error says what would have been right', () => {
  test.each([
    ['checktimout=5\n', 1, 1, 'checktimeout'],
    ['virtual=10.0.0.1:80\n\tchecktype=pnig\n', 2, 12, 'ping'],
    ['virtual=10.0.0.1:80\n\treal=10.0.0.2 mask\n', 2, 16, 'masq'],
    ['virtual=10.0.0.1:80\n\tservice=htp\n', 2, 10, 'http'],
    ['virtual=10.0.0.1:80\n\tschedular=rr\n', 2, 12, 'scheduler'],
    ['quiescent = Yes\n', 1, 13, 'yes'],
    ['virtual=10.0.0.1:80\n    scheduler=RR\n', 2, 15, 'rr'],
  ])('%j', async (text, line, column, nearest) => {
    const error = await errorOf(text);
    expect({ line: error.line, column: error.column, nearest: error.nearest }).toEqual({ line, column, nearest });
    expect(error.hint).toContain(nearest);
  });

  test('an unquoted request is told to use quotes', async () => {
    const error = await errorOf('virtual=10.0.0.1:80\n\trequest=index.html\n');
    expect(error.expected).toContain('double quotes');
  });

  test('an indented line outside a block is told why', async () => {
    expect((await errorOf('virtual=10.0.0.1:80\n\n\tscheduler=rr\n')).expected).toContain('empty line');
  });
});

describe('an error is shown where it is', () => {
  const shown = async (text: string) => formatExcerpt(await errorOf(text), text);

  test('with the line, a mark below the column and what would have been right', async () => {
    expect(await shown('virtual=10.0.0.1:80\n\treal=10.0.0.2:80 mask\n')).toBe(
      '  2 | \treal=10.0.0.2:80 mask\n' +
        '    | \t                 ^ did you mean "masq"? expected gate, masq or ipip\n',
    );
  });

  test('a long line is cut round the mark', async () => {
    const text = `virtual=10.0.0.1:80\n\treal=10.0.0.2:80 ${' '.repeat(400)}mask\n`;
    const [line, mark] = (await shown(text)).split('\n');
    expect(line.length).toBeLessThan(120);
    expect(line.slice(mark.indexOf('^')).startsWith('mask')).toBe(true);
  });

  test('characters that a terminal would obey are not passed on', async () => {
    const excerpt = await shown('\u001b]0;x\u0007checktimout=1\n');
    for (const obeyed of ['\u001b', '\u0007']) expect(excerpt).not.toContain(obeyed);
  });

  test.each([
    ['quiescent=yes\r\n', 'carriage return'],
    ['virtual=10.0.0.1:80\n\treal=10.0.0.2\u00a0mask\n', 'no-break space'],
    ['\uFEFFchecktimeout=5\n', 'byte order mark'],
    ['check\0timeout=5\n', 'NUL'],
  ])('what cannot be seen in %j is said', async (text, words) => {
    expect(await shown(text)).toContain(words);
  });
});

describe('traps get a warning of our own', () => {
  const ours = async (text: string) =>
    (await parse(text)).warnings.filter((warning) => warning.origin === 'uipvs').map(({ line, text }) => [line, text]);

  const block = (line: string) => `virtual=10.0.0.1:80\n\treal=10.0.0.2:80 masq\n\t${line}\n`;

  test('the schedulers that are known are those there are', () => {
    expect([...SCHEDULER_NAMES].sort()).toEqual(Object.keys(SCHEDULERS).sort());
  });

  test.each([
    ['an address without a port', 'virtual=192.168.1.120\n\treal=10.0.0.2 gate\n\tchecktype=ping\n', 1, 'mark 192'],
    ['a lost receive string', 'virtual=10.0.0.1:80\n\treal=10.0.0.2:80 masq "/a","b"\n', 2, 'begins with a slash'],
    ['a lost upper threshold', 'virtual=10.0.0.1:80\n\treal=10.0.0.2:80 masq u:2 l:1\n', 2, '"u:2"'],
    ['another port with gate', 'virtual=10.0.0.1:80\n\treal=10.0.0.2:81 gate\n', 2, 'with port 80'],
    [
      'a global fallback and a mark',
      'fallback=127.0.0.1\nvirtual=5\n\treal=10.0.0.2 gate\n\tchecktype=ping\n',
      2,
      'marks',
    ],
    ['dns without receive', 'virtual=10.0.0.1:53\n\treal=10.0.0.2:53 masq\n', 1, 'always fails'],
    ['checktype=off', 'virtual=10.0.0.1:80\n\tchecktype=off\n\tfallback=127.0.0.1\n', 2, 'only its fallback'],
    ['an unknown scheduler', block('scheduler=wrrr'), 3, 'did you mean wrr?'],
    ['a netmask alone', block('netmask=255.255.255.0'), 3, 'without persistent'],
    ['a mask that is none', block('persistent=1\n\tnetmask=255.0.255.0'), 4, 'is no mask'],
    ['a time without end', block('persistent=9999999'), 3, '2678400'],
    ['one packet over tcp', block('ops=yes'), 3, 'only udp'],
    ['external without a program', block('checktype=external'), 3, '/bin/true'],
    ['a port nobody knows', 'virtual=10.0.0.1:8080\n\treal=10.0.0.2:80 masq\n', 1, 'nothing is checked'],
    ['HEAD with receive', block('httpmethod=HEAD\n\treceive="ok"'), 3, 'no body'],
    ['nobody to serve', 'virtual=10.0.0.1:80\n\tscheduler=rr\n', 1, 'answers nobody'],
    ['a server twice', block('real=10.0.0.2:80 masq 7'), 3, 'in line 2 already'],
    ['a weight beyond all', 'virtual=10.0.0.1:80\n\treal=10.0.0.2:80 masq 9999999999\n', 2, 'weight'],
    ['thresholds the wrong way', 'virtual=10.0.0.1:80\n\treal=10.0.0.2:80 masq l:9 u:2\n', 2, 'lower threshold'],
    ['words behind a service', 'virtual=10.0.0.1:80 tcp\n\treal=10.0.0.2:80 masq\n', 1, '"tcp" has no effect'],
    ['a unit that is not seconds', 'checkinterval=5m\n', 1, 'is read as 5'],
    ['fork', 'fork=yes\n', 1, 'not needed'],
    ['a mail frequency alone', 'emailalertfreq=60\n', 1, 'blocks that have their own'],
    ['words behind smtp', 'smtp=mail.example:2525\n', 1, 'port 25'],
    ['lines from Windows', 'checkinterval=5\r\ncheckcount=1\r\n', 1, 'carriage return'],
    ['a blank from a web page', block('checkinterval\u00a0=5'), 3, 'no ordinary one'],
  ])('%s', async (_, text, line, words) => {
    const warnings = await ours(text);
    expect(warnings).toHaveLength(1);
    expect(warnings[0][0]).toBe(line);
    expect(warnings[0][1]).toContain(words);
  });

  test('an ordinary file has none', async () => {
    expect(await ours(example('01-user-ping').text)).toEqual([]);
  });
});

describe('corners of the grammar', () => {
  test('checkinterval in a block is warned about without a line unless fork=yes', async () => {
    const block = 'virtual=10.0.0.1:80\n\tcheckinterval=3\n';
    const plain = await parse(block);
    expect(originalWarnings(plain)).toEqual(['checkinterval in virtual service tcp:10.0.0.1:80 ignored when fork=no']);
    expect(plain.virtuals[0].effective.checkIntervalSeconds).toBe(10);
    expect((await parse(`fork=yes\n${block}`)).virtuals[0].effective.checkIntervalSeconds).toBe(3);
  });

  test('a file without a newline at its end is read whole', async () => {
    const configuration = await parse('virtual=10.0.0.1:80\n\treal=10.0.0.2:80 masq');
    expect(configuration.virtuals[0].real).toHaveLength(1);
  });

  test('a line of four blanks ends a block, one of five is an unknown command', async () => {
    expect((await parse('virtual=10.0.0.1:80\n\tscheduler=rr\n    \n')).virtuals).toHaveLength(1);
    expect((await errorOf('virtual=10.0.0.1:80\n     \n')).message).toBe('Unknown command "     \n"');
  });

  test('an octet above 255 is an address that cannot be resolved', async () => {
    expect((await errorOf('virtual=300.1.1.1:80\n\tscheduler=rr\n')).message).toBe(
      'invalid address for virtual service',
    );
  });

  test('a range has one server for each address, and a bound', async () => {
    const { virtuals } = await parse('virtual=10.0.0.1:80\n\treal=10.0.0.254->10.0.1.1:80 gate 4\n');
    expect(virtuals[0].real.map((real) => real.address)).toEqual(['10.0.0.254', '10.0.0.255', '10.0.1.0', '10.0.1.1']);
    expect((await errorOf('virtual=10.0.0.1:80\n\treal=10.0.0.0->11.0.0.0:80 gate\n')).message).toContain('65536');
  });

  test('the bare word supervised works and is warned about', async () => {
    const configuration = await parse('supervised\n');
    expect(configuration.globals.supervised).toBe(true);
    expect(originalWarnings(configuration)).toEqual([
      'line 1: please update your config not to use a bare supervised directive',
    ]);
  });

  test('a line that nobody would write is refused, a long comment is not', async () => {
    const error = await errorOf(`virtual=10.0.0.1:80\n\treal=${'a'.repeat(1_000_000)}\n`);
    expect({ line: error.line, message: error.message }).toEqual({ line: 2, message: 'line too long' });
    expect((await parse(`#${'a'.repeat(1_000_000)}\n`)).virtuals).toEqual([]);
  });

  test('ranges cannot ask for more servers than there is memory', async () => {
    const wide = '\treal=10.0.0.0->10.0.127.255:80 gate\n';
    const error = await errorOf(`virtual=10.0.0.1:80\n${wide}${wide}${wide}`);
    expect(error.message).toBe('too many real servers');
  });

  test('any text is either accepted or refused with a line of the text, never anything else', async () => {
    const pieces = [
      'virtual=',
      '10.0.0.1:80',
      '\n',
      '\t',
      '    ',
      'real=',
      ' masq',
      '"',
      '#',
      'fallback=',
      '->',
      'l:1',
    ];
    const words = fc.oneof(fc.constantFrom(...pieces), fc.string({ maxLength: 6 }));
    await fc.assert(
      fc.asyncProperty(fc.array(words, { maxLength: 25 }), async (parts) => {
        const text = parts.join('');
        try {
          await parseConfiguration(text, {
            ...environment,
            resolveHost: async (name) => name,
            refusesAppend: () => null,
          });
        } catch (error) {
          expect(error).toBeInstanceOf(ConfigurationError);
          const { line } = error as ConfigurationError;
          expect(line).toBeGreaterThanOrEqual(1);
          expect(line).toBeLessThanOrEqual(text.split('\n').length);
        }
      }),
      { numRuns: 400 },
    );
  });
});

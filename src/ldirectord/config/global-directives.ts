/** The directives that stand in the first column: one table, read by `config.ts`. */
import { ConfigurationError } from './problem.ts';
import type { FallbackServer, GlobalSettings } from './types.ts';
import {
  emailAddresses,
  emailStates,
  firstNumber,
  notEmpty,
  parseFallback,
  resolvePort,
  smtpServer,
  type Written,
  withoutBrackets,
  yesNo,
} from './values.ts';

export const CHECKCOUNT_WARNING = "checkcount option is deprecated and slated for removal.  please see 'failurecount'";

export interface GlobalDirective {
  /** `quoted`: the double quotes are required and not part of the value. */
  readonly form: 'plain' | 'quoted';
  apply(settings: GlobalSettings, written: Written): void | Promise<void>;
}

export function defaultGlobals(): GlobalSettings {
  return {
    checkTimeoutSeconds: null,
    negotiateTimeoutSeconds: null,
    checkIntervalSeconds: 10,
    checkCount: 1,
    failureCount: 1,
    autoReload: false,
    callback: null,
    fallback: null,
    fallback6: null,
    fallbackCommand: null,
    logFile: '/var/log/ldirectord.log',
    emailAlert: null,
    emailAlertFrom: null,
    emailAlertSeconds: 0,
    emailAlertStates: ['starting', 'running', 'stopping', 'reloading'],
    smtp: null,
    execute: [],
    supervised: false,
    fork: false,
    quiescent: false,
    readdQuiescent: false,
    cleanStop: true,
    maintenanceDirectory: null,
  };
}

export const SYSLOG_FACILITIES =
  'auth authpriv cron daemon ftp kern lpr mail news syslog user uucp local0 local1 local2 local3 local4 local5 local6 local7'.split(
    ' ',
  );

export const GLOBAL_DIRECTIVES: Readonly<Record<string, GlobalDirective>> = {
  checktimeout: plain((settings, written) => {
    settings.checkTimeoutSeconds = firstNumber(written, 1, 'invalid check timeout value');
  }),
  negotiatetimeout: plain((settings, written) => {
    settings.negotiateTimeoutSeconds = firstNumber(written, 1, 'invalid negotiate timeout value');
  }),
  checkinterval: plain((settings, written) => {
    settings.checkIntervalSeconds = firstNumber(written, 1, 'invalid check interval value');
  }),
  checkcount: plain((settings, written) => {
    settings.checkCount = firstNumber(written, 1, 'invalid check count value');
    written.warn(CHECKCOUNT_WARNING, 'ldirectord');
  }),
  failurecount: plain((settings, written) => {
    settings.failureCount = firstNumber(written, 1, 'invalid failure count value');
  }),
  autoreload: plain((settings, written) => {
    settings.autoReload = yesNo(written, 'autoreload');
  }),
  callback: quoted((settings, written) => {
    settings.callback = written.value;
  }),
  fallback: plain(async (settings, written) => {
    settings.fallback = await globalFallback(written, 'ipv4');
  }),
  fallback6: plain(async (settings, written) => {
    settings.fallback6 = await globalFallback(written, 'ipv6');
  }),
  fallbackcommand: plain((settings, written) => {
    settings.fallbackCommand = notEmpty(written, 'invalid fallback command');
  }),
  logfile: quoted((settings, written) => {
    if (written.value.startsWith('/')) {
      const reason = written.environment.refusesAppend(written.value);
      if (reason !== null) {
        throw new ConfigurationError(written.place, `unable to open logfile: ${written.value}`, {
          expected: `a file that can be written (${reason})`,
        });
      }
    } else if (!SYSLOG_FACILITIES.includes(written.value)) {
      written.warn(`logfile: "${written.value}" is neither a path nor a syslog facility; the facility daemon is used`);
    }
    settings.logFile = written.value;
  }),
  emailalert: plain((settings, written) => {
    settings.emailAlert = emailAddresses(written);
  }),
  emailalertfrom: plain((settings, written) => {
    settings.emailAlertFrom = notEmpty(written, 'no email from address specified');
  }),
  emailalertfreq: plain((settings, written) => {
    settings.emailAlertSeconds = leadingNumber(written);
  }),
  emailalertstatus: plain((settings, written) => {
    settings.emailAlertStates = emailStates(written);
  }),
  smtp: plain((settings, written) => {
    settings.smtp = smtpServer(written);
  }),
  execute: plain((settings, written) => {
    if (!settings.execute.includes(written.value)) settings.execute.push(written.value);
  }),
  supervised: plain((settings, written) => {
    settings.supervised = yesNo(written, 'supervised');
  }),
  fork: plain((settings, written) => {
    settings.fork = yesNo(written, 'fork');
  }),
  quiescent: plain((settings, written) => {
    settings.quiescent = yesNo(written, 'quiescent');
  }),
  readdquiescent: plain((settings, written) => {
    settings.readdQuiescent = yesNo(written, 'readdquiescent');
  }),
  cleanstop: plain((settings, written) => {
    settings.cleanStop = yesNo(written, 'cleanstop');
  }),
  maintenancedir: plain((settings, written) => {
    settings.maintenanceDirectory = notEmpty(written, 'maintenance directory not specified');
    if (!written.environment.isDirectory(written.value)) {
      written.warn('maintenance directory does not exist', 'ldirectord');
    }
  }),
  timeout: plain((_, written) => {
    const text = 'timeout directive deprecated in favour of checktimeout and negotiatetimeout';
    throw new ConfigurationError(written.place, text, { expected: 'checktimeout or negotiatetimeout' });
  }),
  connecttimeout: plain((_, written) => {
    throw connectTimeoutError(written);
  }),
};

export function connectTimeoutError(written: Written): ConfigurationError {
  return new ConfigurationError(written.place, 'connecttimeout directive deprecated in favour of negotiatetimeout', {
    expected: 'negotiatetimeout',
  });
}

/** Unlike elsewhere the digits must stand first. */
export function leadingNumber(written: Written): number {
  const digits = /^\d+/.exec(written.value);
  if (digits !== null) return Number(digits[0]);
  throw new ConfigurationError(written.place, 'invalid email alert frequency', { expected: 'a number of seconds' });
}

async function globalFallback(written: Written, family: 'ipv4' | 'ipv6'): Promise<FallbackServer> {
  const { host, port: portText, forward, place } = parseFallback(written);
  const address = await written.environment.resolveHost(withoutBrackets(host), family);
  if (address === null) throw unresolvedFallback(written, family, host);
  if (portText === null) return { address, port: null, forward };
  // The original resolves the port for TCP and for UDP services and wants both; the numbers agree.
  const [port, udpPort] = ['tcp', 'udp'].map((protocol) => resolvePort(portText, protocol, written.environment));
  if (!port || !udpPort) {
    throw new ConfigurationError(place, 'invalid port for fallback server', {
      expected: 'a number from 1 to 65535 or the name of a service of both tcp and udp',
    });
  }
  return { address, port, forward };
}

export function unresolvedFallback(
  written: Pick<Written, 'place'>,
  family: 'ipv4' | 'ipv6',
  host: string,
): ConfigurationError {
  const version = family === 'ipv4' ? 'IPv4' : 'IPv6';
  const text = `invalid ${version} address or could not resolve for fallback server: ${host}`;
  return new ConfigurationError(written.place, text);
}

function plain(apply: GlobalDirective['apply']): GlobalDirective {
  return { form: 'plain', apply };
}

function quoted(apply: GlobalDirective['apply']): GlobalDirective {
  return { form: 'quoted', apply };
}

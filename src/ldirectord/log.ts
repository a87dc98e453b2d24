/** Where log lines go, and what they look like there: as with ldirectord. */
import { type ChildProcess, spawn } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { SYSLOG_FACILITIES } from './config/global-directives.ts';

export interface Log {
  (text: string): void;
  close(): void;
}

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** `Mon Nov 23 02:50:12 2026`, local time; days below ten are padded with a blank. */
export function formatDate(date: Date): string {
  const two = (number: number) => String(number).padStart(2, '0');
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  const day = String(date.getDate()).padStart(2, ' ');
  return `${DAYS[date.getDay()]} ${MONTHS[date.getMonth()]} ${day} ${time} ${date.getFullYear()}`;
}

/** `[Mon Nov 23 02:50:12 2026|user.cf|1234] TEXT` */
export function formatLogLine(date: Date, name: string, pid: number, text: string): string {
  return `[${formatDate(date)}|${name}|${pid}] ${text}`;
}

/** `[Mon Nov 23 02:50:12 2026] TEXT`, for supervised programs. */
export function formatPlainLine(date: Date, text: string): string {
  return `[${formatDate(date)}] ${text}`;
}

/** Sends one Unix datagram. Answers false when this process cannot send any; throws when nobody takes this one. */
export type SendDatagram = (path: string, text: string) => boolean;

export interface LogPlaces {
  complain(text: string): void;
  /** Absent: syslog is reached through logger(1). */
  readonly sendDatagram?: SendDatagram;
  /** Where syslog listens. */
  readonly syslogSocket?: string;
}

const SYSLOG_SOCKET = '/dev/log';
/** syslog(3): the number of a facility, times eight, and a level. */
const FACILITY_NUMBERS: Readonly<Record<string, number>> = Object.fromEntries(
  'kern user mail daemon auth syslog lpr news uucp cron authpriv ftp'
    .split(' ')
    .map((name, number): [string, number] => [name, number])
    .concat(Array.from({ length: 8 }, (_, local): [string, number] => [`local${local}`, 16 + local])),
);
const LEVEL_INFO = 6;

/** A path gets a line appended, opened for each line so that rotation is safe; anything else is a syslog facility. */
export function openLog(target: string, name: string, places: LogPlaces): Log {
  return target.startsWith('/') ? fileLog(target, name, places.complain) : syslogLog(target, places);
}

function fileLog(path: string, name: string, complain: (text: string) => void): Log {
  let complained = false;
  const log = (text: string): void => {
    try {
      appendFileSync(path, `${formatLogLine(new Date(), name, process.pid, text.replace(/\n$/, ''))}\n`);
      complained = false;
    } catch (error) {
      if (!complained) complain(`unable to write logfile ${path}: ${(error as Error).message}`);
      complained = true;
    }
  };
  return Object.assign(log, { close() {} });
}

/** Level info. Lines are lost while nobody listens, and the first of them is complained about. */
function syslogLog(facility: string, { complain, sendDatagram, syslogSocket = SYSLOG_SOCKET }: LogPlaces): Log {
  const known = SYSLOG_FACILITIES.includes(facility) ? facility : 'daemon';
  let throughLogger: Log | null = null;
  let complained = false;
  const log = (text: string): void => {
    const line = text.replace(/\n/g, ' ');
    try {
      if (throughLogger === null && sendDatagram?.(syslogSocket, formatSyslog(new Date(), known, line))) {
        complained = false;
        return;
      }
    } catch (error) {
      if (!complained) complain(`unable to log to syslog: ${(error as Error).message}`);
      complained = true;
      return;
    }
    throughLogger ??= loggerLog(known, complain);
    throughLogger(line);
  };
  return Object.assign(log, { close: () => throughLogger?.close() });
}

/** `<30>Nov  3 02:50:12 ldirectord[1234]: TEXT`, as syslog(3) writes to its socket. */
export function formatSyslog(date: Date, facility: string, text: string): string {
  const priority = (FACILITY_NUMBERS[facility] ?? 3) * 8 + LEVEL_INFO;
  return `<${priority}>${formatDate(date).slice(4, 19)} ldirectord[${process.pid}]: ${text}`;
}

/** The program logger(1) keeps the order of lines it reads from its standard input. */
function loggerLog(facility: string, complain: (text: string) => void): Log {
  let child: ChildProcess | null = null;
  const start = (): ChildProcess => {
    const words = ['-p', `${facility}.info`, '-t', `ldirectord[${process.pid}]`];
    const started = spawn('logger', words, { stdio: ['pipe', 'ignore', 'ignore'] });
    started.on('error', (error) => complain(`unable to log to syslog: ${error.message}`));
    started.stdin!.on('error', () => {});
    started.on('close', () => {
      if (child === started) child = null;
    });
    return started;
  };
  const log = (text: string): void => {
    child ??= start();
    child.stdin!.write(`${text}\n`);
  };
  return Object.assign(log, { close: () => void child?.stdin?.end() });
}

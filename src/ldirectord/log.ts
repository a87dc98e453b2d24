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

/** A path gets a line appended, opened for each line so that rotation is safe; anything else is a syslog facility. */
export function openLog(target: string, name: string, complain: (text: string) => void): Log {
  return target.startsWith('/') ? fileLog(target, name, complain) : syslogLog(target, complain);
}

function fileLog(path: string, name: string, complain: (text: string) => void): Log {
  let complained = false;
  const log = (text: string): void => {
    try {
      appendFileSync(path, `${formatLogLine(new Date(), name, process.pid, text.replace(/\n$/, ''))}\n`);
    } catch (error) {
      if (!complained) complain(`unable to write logfile ${path}: ${(error as Error).message}`);
      complained = true;
    }
  };
  return Object.assign(log, { close() {} });
}

/** The program logger(1) keeps the order of lines it reads from its standard input; level info. */
function syslogLog(facility: string, complain: (text: string) => void): Log {
  const known = SYSLOG_FACILITIES.includes(facility) ? facility : 'daemon';
  let child: ChildProcess | null = null;
  const start = (): ChildProcess => {
    const words = ['-p', `${known}.info`, '-t', `ldirectord[${process.pid}]`];
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
    child.stdin!.write(`${text.replace(/\n/g, ' ')}\n`);
  };
  return Object.assign(log, { close: () => void child?.stdin?.end() });
}

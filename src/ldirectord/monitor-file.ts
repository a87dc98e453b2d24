/** `monitorfile`: one line for each check result, `[DATE] [PID] IDENTITY [up|down] MESSAGE`. */
import { appendFileSync } from 'node:fs';
import type { CheckResult } from '../health/checker.ts';
import type { RealServer, VirtualServer } from './config/types.ts';
import { formatDate } from './log.ts';

/** `null`: results like this one are not written. */
export function formatMonitorLine(
  date: Date,
  pid: number,
  virtual: VirtualServer,
  server: RealServer,
  { healthy, message, body }: CheckResult,
): string | null {
  const { checkType } = virtual;
  if (checkType === 'on' || checkType === 'off' || checkType === 'external-perl') return null;
  if (checkType === 'ping' && !healthy) return null;
  const outcome = `[${healthy ? 'up' : 'down'}] ${encode(body ?? message) || '-'}`;
  return `[${formatDate(date)}] [${pid}] ${identity(virtual, server)} ${outcome}`;
}

/** A file that cannot be written is not worth stopping for. */
export function writeMonitorLine(virtual: VirtualServer, server: RealServer, result: CheckResult): void {
  if (virtual.monitorFile === null) return;
  const line = formatMonitorLine(new Date(), process.pid, virtual, server, result);
  if (line === null) return;
  try {
    appendFileSync(virtual.monitorFile, `${line}\n`);
  } catch {
    // It could be written when the configuration was read.
  }
}

/** What makes a check the same as another, with blanks between the parts. */
function identity(virtual: VirtualServer, server: RealServer): string {
  const { checkType } = virtual;
  const own = server.request !== null && server.receive !== null;
  const asks = checkType === 'negotiate' || checkType === 'combined';
  const parts = [
    checkType,
    asks ? virtual.service : checkType === 'external' ? virtual.checkCommand : '',
    virtual.protocol,
    server.address,
    server.port,
    virtual.virtualHost,
    virtual.checkPort,
    server.weight,
    server.forward,
    own ? server.request : virtual.request,
    own ? server.receive : virtual.receive,
  ];
  return parts
    .filter((part) => part !== null && part !== '')
    .join(':')
    .replace(/:+/g, ' ')
    .replaceAll('\\', '');
}

function encode(message: string): string {
  return message.replace(/[%|\r\n]/g, (character) => `%${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** What reading a configuration asks of the host: names, and whether files can be written. */
import { lookup } from 'node:dns/promises';
import { closeSync, openSync, readFileSync, statSync } from 'node:fs';
import { isIPv4, isIPv6, SocketAddress } from 'node:net';
import { hostname } from 'node:os';
import type { AddressFamily } from '../../model/service.ts';

export interface ParseEnvironment {
  /** Canonical address, or `null`. Numeric addresses are answered without asking anyone. */
  resolveHost(name: string, family: AddressFamily): Promise<string | null>;
  /** Port number of a service name; `protocol` `null`: of whichever protocol has it. */
  resolveService(name: string, protocol: string | null): number | null;
  /** Opens for appending and closes again; answers the reason when that fails. */
  refusesAppend(path: string): string | null;
  isDirectory(path: string): boolean;
  hostName(): string;
}

export const systemEnvironment: ParseEnvironment = {
  async resolveHost(name, family) {
    if (isIPv4(name)) return family === 'ipv4' ? name : null;
    if (isIPv6(name)) return family === 'ipv6' ? canonicalIpv6(name) : null;
    // Four numbers that are no address, and names that by RFC 6761 do not exist, need no name server.
    if (/^\d+(\.\d+){3}$/.test(name) || /(^|\.)invalid\.?$/i.test(name)) return null;
    try {
      const found = await lookup(name, { family: family === 'ipv4' ? 4 : 6 });
      return family === 'ipv6' ? canonicalIpv6(found.address) : found.address;
    } catch {
      return null;
    }
  },
  resolveService(name, protocol) {
    for (const row of readServices()) {
      if (row.names.includes(name) && (protocol === null || row.protocol === protocol)) return row.port;
    }
    return null;
  },
  refusesAppend(path) {
    try {
      closeSync(openSync(path, 'a'));
      return null;
    } catch (error) {
      return errorText(error);
    }
  },
  isDirectory(path) {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  },
  hostName() {
    return process.env.HOSTNAME || hostname();
  },
};

/** As inet_ntop(3) prints it. */
export function canonicalIpv6(address: string): string {
  return new SocketAddress({ address, family: 'ipv6' }).address;
}

interface ServiceRow {
  readonly names: readonly string[];
  readonly port: number;
  readonly protocol: string;
}

let services: readonly ServiceRow[] | null = null;

/** /etc/services, read once; a host without that file knows no names. Format: services(5). */
function readServices(): readonly ServiceRow[] {
  if (services !== null) return services;
  const rows: ServiceRow[] = [];
  let text = '';
  try {
    text = readFileSync('/etc/services', 'utf8');
  } catch {
    // No names then.
  }
  for (const line of text.split('\n')) {
    const match = /^([^\s#]+)\s+(\d+)\/(\w+)([^#]*)/.exec(line);
    if (match === null) continue;
    const aliases = match[4].trim().split(/\s+/).filter(Boolean);
    rows.push({ names: [match[1], ...aliases], port: Number(match[2]), protocol: match[3] });
  }
  services = rows;
  return rows;
}

const ERROR_TEXTS: Readonly<Record<string, string>> = {
  ENOENT: 'No such file or directory',
  EACCES: 'Permission denied',
  EPERM: 'Operation not permitted',
  EISDIR: 'Is a directory',
  ENOTDIR: 'Not a directory',
  EROFS: 'Read-only file system',
  ENOSPC: 'No space left on device',
};

/** The sentence strerror(3) has for a failed system call. */
export function errorText(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return ERROR_TEXTS[code ?? ''] ?? message;
}

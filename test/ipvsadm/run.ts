/** Runs `ipvsadm` against a table in memory and keeps what it printed. */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import type { IpvsadmIo, IpvsadmTable, NameService } from '../../src/ipvsadm/io.ts';
import { runIpvsadm } from '../../src/ipvsadm/ipvsadm.ts';
import { parseServicesFile } from '../../src/ipvsadm/services-file.ts';
import type { IpvsError } from '../../src/model/errors.ts';

export interface Run {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly stdin?: string;
  readonly names?: NameService;
  /** Nobody answers: why. */
  readonly unreachable?: IpvsError;
  /** Pieces of standard input, instead of one. */
  readonly pieces?: readonly string[];
}

export function run(table: IpvsadmTable, words: readonly string[], options: RunOptions = {}): Promise<Run> {
  return runProgram(table, (io) => runIpvsadm(words, io), options);
}

/** The same for any program that talks through an IpvsadmIo. */
export async function runProgram(
  table: IpvsadmTable,
  program: (io: IpvsadmIo) => Promise<number>,
  options: RunOptions = {},
): Promise<Run> {
  let stdout = '';
  let stderr = '';
  const io: IpvsadmIo = {
    programName: 'ipvsadm',
    names: options.names ?? TEST_NAMES,
    async *stdin() {
      yield* options.pieces ?? [options.stdin ?? ''];
    },
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
    async connect() {
      if (options.unreachable !== undefined) throw options.unreachable;
      return table;
    },
  };
  const exit = await program(io);
  return { exit, stdout, stderr };
}

/** Names from a hosts file and a services file given as text: nobody is asked. */
export function createFileNames(hostsText: string, servicesText: string): NameService {
  const services = parseServicesFile(servicesText);
  const lines = hostsText.split('\n').map((line) => line.replace(/#.*/, '').trim().split(/\s+/));
  return {
    findAddress: async (host) =>
      lines.find(([address, ...names]) => names.includes(host) && !address!.includes(':'))?.[0] ?? null,
    findHost: async (address) => lines.find(([first, name]) => first === address && name !== undefined)?.[1] ?? null,
    findPort: services.findPort,
    findService: services.findService,
  };
}

export const TEST_NAMES = createFileNames(
  `127.0.0.1 localhost
::1 localhost ip6-localhost
10.0.0.100 www.example.com www
fd00::100 www6.example.com www6
10.1.0.11 rs1.example.com rs1
fd00:1::11 rs1v6.example.com`,
  readExample('services'),
);

export function readExample(path: string): string {
  return readFileSync(new URL(`examples/${path}`, import.meta.url), 'utf8');
}

export function readCompressedExample<T>(path: string): T {
  return JSON.parse(gunzipSync(readFileSync(new URL(`examples/${path}`, import.meta.url))).toString('utf8'));
}

/** Programs of this host: running them to their end, starting them, and saying in one sentence what is missing. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { HostCommand } from './plan.ts';

/** A lab cannot go on; the message is for the person who started it. */
export class LabError extends Error {
  override readonly name = 'LabError';
}

/** The person, or the system, asked the lab to stop. */
export class LabInterrupted extends Error {
  override readonly name = 'LabInterrupted';
  readonly signal: NodeJS.Signals;
  constructor(signal: NodeJS.Signals) {
    super(`stopped by ${signal}`);
    this.signal = signal;
  }
}

export interface Finished {
  /** Exit status; 128 when a signal ended the program. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** PATH with the system folders that an ordinary user's PATH leaves out. */
export const SEARCH_PATH = [
  ...new Set([...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin', '/usr/bin', '/bin']),
]
  .filter((folder) => folder !== '')
  .join(delimiter);

/** The environment of everything a lab starts: no settings of another uipvs, and the mark of this lab. */
export function labEnvironment(labId: string | null): NodeJS.ProcessEnv {
  const environment: NodeJS.ProcessEnv = { ...process.env, PATH: SEARCH_PATH, LC_ALL: 'C' };
  for (const name of ['UIPVS_SOCKET', 'UIPVS_RUN_DIR']) delete environment[name];
  if (labId !== null) environment[LAB_MARK] = labId;
  return environment;
}

/** Environment variable by which the processes of a lab are recognised: its id. */
export const LAB_MARK = 'UIPVS_LAB';

export function hasProgram(name: string): boolean {
  return SEARCH_PATH.split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** The Debian and Ubuntu packages of the programs a lab may start. */
const PACKAGES: Readonly<Record<string, string>> = {
  ip: 'iproute2',
  nft: 'nftables',
  ab: 'apache2-utils',
  sysctl: 'procps',
  mount: 'util-linux',
  unshare: 'util-linux',
  ethtool: 'ethtool',
  tcpdump: 'tcpdump',
  ss: 'iproute2',
  dnsmasq: 'dnsmasq-base',
  dnsperf: 'dnsperf',
  vsftpd: 'vsftpd',
  curl: 'curl',
  ldirectord: 'ldirectord',
  ipvsadm: 'ipvsadm',
  iptables: 'iptables',
  keepalived: 'keepalived',
  ping: 'iputils-ping',
};

/** The packages of those programs that are missing here. */
export function missingPackages(names: readonly string[]): string[] {
  return [...new Set(names.filter((name) => !hasProgram(name)).map((name) => PACKAGES[name] ?? name))];
}

/** Throws a LabError that names the missing programs and the line that installs them. */
export function requirePrograms(names: readonly string[]): void {
  const missing = names.filter((name) => !hasProgram(name));
  if (missing.length === 0) return;
  const packages = missingPackages(missing).join(' ');
  throw new LabError(
    `the lab needs ${missing.join(', ')}; on Debian and Ubuntu: sudo apt-get install -y --no-install-recommends ${packages}`,
  );
}

export interface RunOptions {
  readonly labId?: string;
  /** Ends the program when aborted; the promise then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Called with each piece of standard error as it comes. */
  readonly onStderr?: (text: string) => void;
}

/** Runs a program to its end. Rejects with a LabError when it cannot be started at all. */
export function runCommand(command: HostCommand, options: RunOptions = {}): Promise<Finished> {
  return new Promise((resolve, reject) => {
    options.signal?.throwIfAborted();
    const child = startCommand(command, options.labId ?? null, { stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
      options.onStderr?.(text);
    });
    const stop = () => child.kill('SIGKILL');
    options.signal?.addEventListener('abort', stop, { once: true });
    child.on('error', (error) => reject(new LabError(`${command[0]} cannot be started: ${error.message}`)));
    child.on('close', (code) => {
      options.signal?.removeEventListener('abort', stop);
      if (options.signal?.aborted) reject(options.signal.reason);
      else resolve({ code: code ?? 128, stdout, stderr });
    });
  });
}

/** Runs a program that must end with 0; otherwise a LabError shows what it said. */
export async function mustRun(command: HostCommand, options: RunOptions = {}): Promise<Finished> {
  const finished = await runCommand(command, options);
  if (finished.code === 0) return finished;
  const said = (finished.stderr.trim() || finished.stdout.trim()).split('\n').slice(-8).join('\n');
  throw new LabError(`\`${command.join(' ')}\` ended with ${finished.code}${said === '' ? '' : `: ${said}`}`);
}

/** Starts a program in a process group of its own, so that Ctrl-C at the terminal reaches only the lab itself. */
export function startCommand(command: HostCommand, labId: string | null, options: SpawnOptions): ChildProcess {
  const [program, ...words] = command;
  return spawn(program, words, { ...options, env: labEnvironment(labId), detached: true });
}

/** Waits, unless aborted first; then it rejects with the signal's reason. */
export function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener('abort', stop, { once: true });
  });
}

/** How many times longer than usual to wait for anything: for emulated and very busy machines. */
const PATIENCE = Math.min(Math.max(Number(process.env['UIPVS_LAB_PATIENCE']) || 1, 1), 100);

/** Asks again and again until `probe` gives something other than `null`; `null` after `timeoutMs`. */
export async function waitFor<T>(
  probe: () => Promise<T | null> | T | null,
  options: { readonly timeoutMs: number; readonly everyMs: number; readonly signal?: AbortSignal },
): Promise<T | null> {
  const deadlineMs = performance.now() + options.timeoutMs * PATIENCE;
  for (;;) {
    const found = await probe();
    if (found !== null) return found;
    if (performance.now() >= deadlineMs) return null;
    await pause(options.everyMs, options.signal);
  }
}

/**
 * The program `uldirectord`: ldirectord's command line, files and exit statuses. `start` leaves a detached copy of
 * itself behind and ends when that has applied the table, so what goes wrong is seen where it was asked for.
 */
import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { ServiceManager } from '../control/service-manager.ts';
import type { DataPlane } from '../model/data-plane.ts';
import { type Invocation, parseArguments, USAGE } from './arguments.ts';
import { refuseUnsupported } from './checks.ts';
import { errorText } from './config/environment.ts';
import { ConfigurationError, formatExcerpt, formatProblem } from './config/problem.ts';
import type { Configuration, DaemonState } from './config/types.ts';
import { parseConfiguration } from './config.ts';
import { runDaemon } from './daemon.ts';
import { type Checked, checkReport, checkText } from './describe.ts';
import { calledByItself, executeOthers, type Others } from './execute.ts';
import type { HealthDesk } from './health-reporter.ts';
import { formatPlainLine, type Log, openLog, type SendDatagram } from './log.ts';
import { PidFile } from './pid-file.ts';

export interface ProgramIo {
  stdout(text: string): void;
  stderr(text: string): void;
  /** Hints that the original does not give are shown to people only. */
  readonly stderrIsTerminal: boolean;
  /** Rejects with a sentence while no data plane answers. */
  connect(): Promise<DataPlane>;
  /** Where health is told; absent: nowhere. */
  connectHealth?(): Promise<HealthDesk>;
  /** For syslog; absent: logger(1) has to do. */
  readonly sendDatagram?: SendDatagram;
  /** Told how the daemon fares. */
  readonly serviceManager?: ServiceManager;
  /** What starts this program again; its words must contain `ldirectord`. */
  readonly self: { readonly command: string; readonly words: readonly string[] };
  /** UIPVS_RUN_DIR: another directory for pid files. UIPVS_HA_DIR: another one for configurations. */
  readonly environment: NodeJS.ProcessEnv;
}

const DONE = 0;
const FAILED = 1;
const REFUSED = 2;
const NOT_RUNNING = 3;
const WRONG_USAGE = 255;

/** Set in the environment of the detached copy. */
const DETACHED = 'UIPVS_LDIRECTORD_DETACHED';
const VERSION_LINE = 'Linux Director v1.186-ha (uldirectord of uipvs)\n';
const STOP_POLL_MS = 100;
/** A device without an end is no configuration. */
const FILE_BYTES_MAX = 16 * 1024 * 1024;
const CHUNK_BYTES = 65_536;

/** What the detached copy tells the one that started it. */
interface StartReport {
  readonly applied: boolean;
}

/** Answers the exit status. `argv`: the words after the program's name. */
export async function runLdirectord(argv: readonly string[], io: ProgramIo): Promise<number> {
  const invocation = parseArguments(argv);
  if (invocation === 'version') io.stdout(VERSION_LINE);
  else if (invocation === 'help') io.stdout(USAGE);
  else if (invocation === 'usage') io.stderr(USAGE);
  else return new Program(invocation, argv, io).run();
  return invocation === 'usage' ? WRONG_USAGE : DONE;
}

class Program {
  readonly #invocation: Invocation;
  readonly #argv: readonly string[];
  readonly #io: ProgramIo;
  readonly #pidFile: PidFile;
  readonly #detached: boolean;

  constructor(invocation: Invocation, argv: readonly string[], io: ProgramIo) {
    this.#invocation = invocation;
    this.#argv = argv;
    this.#io = io;
    this.#pidFile = new PidFile(io.environment['UIPVS_RUN_DIR'] ?? '/var/run', invocation.name);
    this.#detached = io.environment[DETACHED] !== undefined;
    // What this one starts is no detached copy.
    delete process.env[DETACHED];
  }

  async run(): Promise<number> {
    const { action, configuration: written, name } = this.#invocation;
    if (calledByItself(this.#io.environment, name)) return DONE;
    const path = this.#findConfiguration();
    // A running daemon can be stopped whatever has become of its file.
    if (action === 'stop' && (path !== null || this.#pidFile.read().type === 'running')) return this.#stop();
    if (path === null) {
      this.#io.stderr(`Config file ${written} not found\n`);
      return FAILED;
    }
    if (action === 'status') return this.#status(path);
    if (action === 'check') return this.#check(path);
    const configuration = await this.#read(path);
    if (configuration === null) return REFUSED;
    const state = this.#pidFile.read();
    switch (action) {
      case 'start':
        return state.type === 'running' ? DONE : this.#start(path, configuration);
      case 'restart':
        await this.#stopAndWait();
        return this.#start(path, configuration);
      case 'try-restart':
        if (state.type !== 'running') return DONE;
        await this.#stopAndWait();
        return this.#start(path, configuration);
      default:
        if (state.type !== 'running') return FAILED;
        process.kill(state.pid, 'SIGHUP');
        return DONE;
    }
  }

  /** Absolute, because the daemon leaves this directory. */
  #findConfiguration(): string | null {
    const folder = this.#io.environment['UIPVS_HA_DIR'] ?? '/etc/ha.d';
    const { configuration } = this.#invocation;
    const places = [join(folder, configuration), join(folder, 'conf', configuration), resolve(configuration)];
    return places.find((place) => existsSync(place)) ?? null;
  }

  /** Says warnings and the error; `null` after an error. */
  async #read(path: string): Promise<Configuration | null> {
    const { stderr, stderrIsTerminal } = this.#io;
    const { configuration, error, text } = await loadConfiguration(path);
    // The detached copy reads the file once more; nobody hears it.
    for (const warning of configuration?.warnings ?? []) {
      stderr(`${formatProblem('Warning', process.pid, path, warning)}\n`);
    }
    if (error === null) return configuration;
    this.#sayError(path, error);
    if (stderrIsTerminal) stderr(formatExcerpt(error, text));
    return null;
  }

  #sayError(path: string, { line, message }: ConfigurationError): void {
    // The text may end in a blank after a newline, which the original prints too.
    this.#io.stderr(`${formatProblem('Error', process.pid, path, { line, text: message })}\n`);
  }

  async #check(path: string): Promise<number> {
    const { stdout, stderr } = this.#io;
    const checked = await loadConfiguration(path);
    const { error } = checked;
    if (this.#invocation.json) stdout(`${JSON.stringify(checkReport(checked), null, 2)}\n`);
    else if (error === null) stdout(checkText(checked));
    else {
      this.#sayError(path, error);
      stderr(checkText(checked));
    }
    return error === null ? DONE : REFUSED;
  }

  async #status(path: string): Promise<number> {
    const answer = this.#ownStatus(path);
    // Where the file is broken it is not known who belongs to it.
    const configuration = await readConfiguration(path).catch(() => null);
    const others = configuration?.globals.execute ?? [];
    await executeOthers(this.#others(), others, 'status', (text) => this.#io.stdout(`${text}\n`));
    return answer;
  }

  #ownStatus(path: string): number {
    const state = this.#pidFile.read();
    if (state.type === 'running') {
      this.#io.stderr(`ldirectord for ${path} is running with pid: ${state.pid}\n`);
      return DONE;
    }
    this.#io.stdout(`ldirectord is stopped for ${path}\n`);
    if (state.type === 'absent') return NOT_RUNNING;
    this.#io.stderr(`ldirectord stale pid file ${this.#pidFile.path} for ${path}\n`);
    return FAILED;
  }

  #stop(): number {
    const state = this.#pidFile.read();
    if (state.type === 'running') process.kill(state.pid, 'SIGTERM');
    return DONE;
  }

  async #stopAndWait(): Promise<void> {
    this.#stop();
    while (this.#pidFile.read().type === 'running') {
      await new Promise((wake) => setTimeout(wake, STOP_POLL_MS));
    }
  }

  async #start(path: string, configuration: Configuration): Promise<number> {
    const { debug, foreground } = this.#invocation;
    if (this.#detached) return this.#direct(path, configuration, true);
    if (debug || configuration.globals.supervised) return this.#direct(path, configuration, false);
    if (foreground) return this.#direct(path, configuration, true);
    return this.#detach();
  }

  /** Starts the detached copy and waits until it has applied the table, cannot reach one, or has ended. */
  #detach(): Promise<number> {
    const { self, environment, stderr } = this.#io;
    const child = spawn(self.command, [...self.words, ...this.#argv], {
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: { ...environment, [DETACHED]: '1' },
    });
    let complaints = '';
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      complaints += text;
    });
    return new Promise((answer) => {
      child.once('error', (error) => {
        stderr(`cannot start the daemon: ${error.message}\n`);
        answer(FAILED);
      });
      child.once('message', (report: StartReport) => {
        if (!report.applied) stderr('No data plane answers yet; the daemon tries again every second (see the log)\n');
        child.disconnect();
        child.stderr!.destroy();
        child.unref();
        answer(DONE);
      });
      child.once('exit', (status) => {
        stderr(complaints);
        answer(status ?? FAILED);
      });
    });
  }

  async #direct(path: string, configuration: Configuration, asDaemon: boolean): Promise<number> {
    const { debug } = this.#invocation;
    const log = this.#openLog(configuration, asDaemon);
    let current = log;
    const others = this.#others();
    const write = Object.assign((text: string) => current(text), { close: () => current.close() });
    if (asDaemon) {
      try {
        this.#pidFile.write(process.pid);
      } catch (error) {
        this.#io.stderr(`Can not open ${this.#pidFile.path}: ${errorText(error)}\n`);
        return FAILED;
      }
      process.chdir('/');
    }
    write(`Invoking ldirectord invoked as: ${['uldirectord', ...this.#argv].join(' ')} `);
    write(`Starting Linux Director v1.186-ha ${this.#detached ? 'as daemon' : 'in the foreground'}`);
    for (const warning of configuration.warnings) write(formatProblem('Warning', process.pid, path, warning));
    await runDaemon({
      path,
      configuration,
      read: () => readConfiguration(path),
      connect: this.#io.connect,
      ...(this.#io.connectHealth === undefined ? {} : { connectHealth: this.#io.connectHealth }),
      log: write,
      ...(debug ? { debug: (text: string) => this.#io.stderr(`${text}\n`) } : {}),
      moveLog: (fresh) => {
        if (!asDaemon) return;
        current.close();
        current = this.#openLog(fresh, asDaemon);
      },
      started: (applied) => {
        if (this.#detached) report({ applied });
      },
      entered: (state, sentence) => this.#tellServiceManager(state, sentence),
      others,
    });
    if (asDaemon) this.#pidFile.remove();
    write.close();
    return DONE;
  }

  /** `execute` means this program; other directories hold good for it as well. */
  #others(): Others {
    const { self, environment } = this.#io;
    return { ...self, environment, directory: process.cwd(), name: this.#invocation.name };
  }

  #tellServiceManager(state: DaemonState, sentence: string): void {
    const { serviceManager } = this.#io;
    if (state === 'running') serviceManager?.ready(sentence);
    else if (state === 'reloading') serviceManager?.reloading();
    else if (state === 'stopping') serviceManager?.stopping();
    else {
      serviceManager?.status(sentence);
      serviceManager?.guard(() => true);
    }
  }

  #openLog({ globals }: Configuration, asDaemon: boolean): Log {
    const { stderr, stdout, sendDatagram } = this.#io;
    if (asDaemon) {
      const complain = (text: string) => stderr(`${text}\n`);
      const places = sendDatagram === undefined ? { complain } : { complain, sendDatagram };
      return openLog(globals.logFile, this.#invocation.name, places);
    }
    const debug = this.#invocation.debug;
    const log = (text: string) => (debug ? stderr(`${text}\n`) : stdout(`${formatPlainLine(new Date(), text)}\n`));
    return Object.assign(log, { close() {} });
  }
}

/** To whoever started this copy; afterwards nobody listens, neither there nor at standard error. */
function report(message: StartReport): void {
  process.stderr.on('error', () => {});
  process.send?.(message, () => {
    if (process.connected) process.disconnect();
  });
}

/** Rejects with a ConfigurationError, also for what is right but cannot be done here. */
export async function readConfiguration(path: string): Promise<Configuration> {
  const { configuration, error } = await loadConfiguration(path);
  if (configuration === null) throw error;
  return configuration;
}

/** Reads the file once: it may be a pipe. */
async function loadConfiguration(path: string): Promise<Checked> {
  let text = '';
  try {
    text = readText(path);
    const configuration = await parseConfiguration(text);
    await refuseUnsupported(configuration);
    return { path, text, configuration, error: null };
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    return { path, text, configuration: null, error };
  }
}

/** Throws a ConfigurationError about the file as a whole. */
function readText(path: string): string {
  const chunks: Buffer[] = [];
  let bytes = 0;
  let fd: number | null = null;
  try {
    fd = openSync(path, 'r');
    for (;;) {
      const chunk = Buffer.alloc(CHUNK_BYTES);
      const length = readSync(fd, chunk);
      if (length === 0) return Buffer.concat(chunks).toString('utf8');
      chunks.push(chunk.subarray(0, length));
      bytes += length;
      if (bytes > FILE_BYTES_MAX) break;
    }
  } catch {
    throw new ConfigurationError({ line: 0, column: 1 }, `can not open file ${path}`);
  } finally {
    if (fd !== null) closeSync(fd);
  }
  throw new ConfigurationError({ line: 0, column: 1 }, `file ${path} has more than ${FILE_BYTES_MAX} bytes`);
}

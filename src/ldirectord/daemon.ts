/** The part that stays: directs until it is told to stop, and reads its file again when told to or when it changed. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import { systemClock } from '../health/clock.ts';
import type { DataPlane } from '../model/data-plane.ts';
import { CheckBench } from './check-bench.ts';
import type { ConfigurationError } from './config/problem.ts';
import { formatProblem } from './config/problem.ts';
import type { Configuration, DaemonState, RealServer } from './config/types.ts';
import { count } from './describe.ts';
import { Director } from './director.ts';
import { executeOthers, followOthers, type Others } from './execute.ts';
import { createReporter, type HealthDesk } from './health-reporter.ts';
import type { Log } from './log.ts';
import { MailAlerts } from './mail-alerts.ts';
import { MailQueue } from './mail-queue.ts';
import type { Mail } from './mail-transport.ts';
import { MaintenanceDirectory } from './maintenance.ts';
import { writeMonitorLine } from './monitor-file.ts';
import { createShell } from './shell.ts';

export interface DaemonOptions {
  readonly path: string;
  readonly configuration: Configuration;
  /** Reads the file again. Rejects with a ConfigurationError. */
  read(): Promise<Configuration>;
  connect(): Promise<DataPlane>;
  /** Where health is told, for `uipvs health`. Absent: nowhere. */
  connectHealth?(): Promise<HealthDesk>;
  readonly log: Log;
  /** Absent unless somebody debugs. */
  debug?(text: string): void;
  /** The log moves when a new configuration names another file. */
  moveLog(configuration: Configuration): void;
  /** Called once: whether the table was applied. */
  started(applied: boolean): void;
  /** What it is doing now, with a sentence; also when it stays in that state. */
  entered(state: DaemonState, sentence: string): void;
  /** Runs this program for another configuration. */
  readonly others: Others;
}

/** At the end mails get so much time; a dead mail server must not keep us from ending. */
const MAIL_FLUSH_MS = 3_000;
const STOP_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGABRT'] as const;

/** Settles when a signal has stopped it. */
export async function runDaemon(options: DaemonOptions): Promise<void> {
  const { log, path } = options;
  let { configuration } = options;
  let maintenance = maintenanceOf(configuration);
  const mails = createMails(configuration, log);
  let current: DaemonState = 'starting';
  const enter = (state: DaemonState, sentence: string): void => {
    // A start or reload that was under way when the end came does not change that.
    if (current === 'stopping') return;
    current = state;
    mails.alerts.enter(state);
    options.entered(state, sentence);
  };
  const reporter = createReporter(path, options.connectHealth, () => director.health());
  const director = new Director(configuration, {
    clock: systemClock,
    random: Math.random,
    bench: new CheckBench(),
    log: (text) => {
      log(text);
      mails.alerts.hear(text);
      if (current === 'running' && text.startsWith('The data plane')) enter('running', text);
    },
    connect: options.connect,
    runCommand: createShell(log),
    healthChanged: () => reporter?.changed(),
    inMaintenance: (server: RealServer) => maintenance?.holds(server) ?? false,
    record: (virtual, server, result) => {
      writeMonitorLine(virtual, server, result);
      mails.alerts.note(virtual, server, result);
      options.debug?.(
        `DEBUG2: ${virtual.checkType} ${server.address}:${server.port} ${result.healthy ? 'up' : 'down'} ${result.message}`,
      );
    },
  });

  let work: Promise<void> = Promise.resolve();
  const reload = (): void => {
    work = work.then(async () => {
      const before = configuration;
      enter('reloading', `reading ${path}`);
      try {
        configuration = await options.read();
      } catch (error) {
        const { line, message } = error as ConfigurationError;
        log(formatProblem('Error', process.pid, path, { line: line ?? 0, text: message }));
        log('The configuration is not taken over; the one before stays in force');
        enter('running', `line ${line} of ${path} is wrong; the configuration before stays in force`);
        return;
      }
      maintenance = maintenanceOf(configuration);
      mails.alerts.configure(configuration);
      options.moveLog(configuration);
      for (const warning of configuration.warnings) log(formatProblem('Warning', process.pid, path, warning));
      await director.reload(configuration);
      void followOthers(options.others, before.globals.execute, configuration.globals.execute, log);
      enter('running', summary(configuration));
    });
  };

  const stopSignal = new Promise<string>((resolve) => {
    for (const signal of STOP_SIGNALS) {
      process.once(signal, () => resolve(signal));
    }
  });
  const onHangUp = (): void => {
    log('Reloading Linux Director Daemon config on signal');
    reload();
  };
  process.on('SIGHUP', onHangUp);
  process.on('SIGPIPE', () => {});

  enter('starting', 'the first checks are under way');
  void executeOthers(options.others, configuration.globals.execute, 'start', log);
  work = director.start().then((applied) => {
    enter('running', applied ? summary(configuration) : 'no data plane answers; trying again every second');
    options.started(applied);
  });
  const stopWatching = watchFile(options, () => configuration, reload);
  const signal = await stopSignal;
  // A second one kills at once: the listeners are gone.
  stopWatching();
  process.removeListener('SIGHUP', onHangUp);
  enter('stopping', 'taking down');
  await Promise.all([
    director.stop(),
    reporter?.stop(),
    executeOthers(options.others, configuration.globals.execute, 'stop', log),
  ]);
  await mails.queue.flush(MAIL_FLUSH_MS);
  log(`Linux Director Daemon terminated on signal: ${signal.slice('SIG'.length)}`);
}

function createMails(configuration: Configuration, log: Log): { alerts: MailAlerts; queue: MailQueue } {
  const queue = new MailQueue({
    send: async (mail) => (await import('./mail-transport.ts')).sendMail(mail),
    log,
  });
  const options = { clock: systemClock, hostName: hostname(), send: (mail: Mail) => queue.push(mail), log };
  return { alerts: new MailAlerts(configuration, options), queue };
}

function summary({ virtuals }: Configuration): string {
  const servers = virtuals.reduce((sum, { real }) => sum + real.length, 0);
  return `${count(virtuals.length, 'virtual service')} with ${count(servers, 'real server')}`;
}

function maintenanceOf({ globals }: Configuration): MaintenanceDirectory | null {
  return globals.maintenanceDirectory === null
    ? null
    : new MaintenanceDirectory(globals.maintenanceDirectory, systemClock.nowMs);
}

/** Looks at the file's time once per check interval, and at its contents when that has changed. */
function watchFile({ path, log }: DaemonOptions, configuration: () => Configuration, reload: () => void): () => void {
  let seenMs = modifiedMs(path);
  let seenSum = checksum(path);
  let cancel: () => void = () => {};
  const schedule = (): void => {
    cancel = systemClock.after(configuration().globals.checkIntervalSeconds * 1_000, look);
  };
  const look = (): void => {
    const nowMs = modifiedMs(path);
    if (nowMs !== null && nowMs !== seenMs) {
      seenMs = nowMs;
      const sum = checksum(path);
      if (sum !== seenSum) {
        seenSum = sum;
        changed();
      }
    }
    schedule();
  };
  const changed = (): void => {
    const { autoReload, callback } = configuration().globals;
    log(`Configuration file '${path}' has changed on disk`);
    log(autoReload ? ' - reread new configuration' : ' - ignore new configuration');
    if (autoReload) reload();
    if (callback !== null && isExecutable(callback)) {
      spawn(callback, [path], { stdio: 'ignore' }).on('error', (error) => log(`callback failed: ${error.message}`));
    }
  };
  schedule();
  return () => cancel();
}

function modifiedMs(path: string): number | null {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? null;
}

function checksum(path: string): string {
  try {
    return createHash('sha256').update(readFileSync(path)).digest('hex');
  } catch {
    return '';
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The part that stays: directs until it is told to stop, and reads its file again when told to or when it changed. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { systemClock } from '../health/clock.ts';
import type { DataPlane } from '../model/data-plane.ts';
import { CheckBench } from './check-bench.ts';
import type { ConfigurationError } from './config/problem.ts';
import { formatProblem } from './config/problem.ts';
import type { Configuration, RealServer } from './config/types.ts';
import { Director } from './director.ts';
import { createReporter, type HealthDesk } from './health-reporter.ts';
import type { Log } from './log.ts';
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
}

const STOP_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGABRT'] as const;

/** Settles when a signal has stopped it. */
export async function runDaemon(options: DaemonOptions): Promise<void> {
  const { log, path } = options;
  let { configuration } = options;
  let maintenance = maintenanceOf(configuration);
  const reporter = createReporter(path, options.connectHealth, () => director.health());
  const director = new Director(configuration, {
    clock: systemClock,
    random: Math.random,
    bench: new CheckBench(),
    log,
    connect: options.connect,
    runCommand: createShell(log),
    healthChanged: () => reporter?.changed(),
    inMaintenance: (server: RealServer) => maintenance?.holds(server) ?? false,
    record: (virtual, server, result) => {
      writeMonitorLine(virtual, server, result);
      options.debug?.(
        `DEBUG2: ${virtual.checkType} ${server.address}:${server.port} ${result.healthy ? 'up' : 'down'} ${result.message}`,
      );
    },
  });

  let work: Promise<void> = Promise.resolve();
  const reload = (): void => {
    work = work.then(async () => {
      try {
        configuration = await options.read();
      } catch (error) {
        const { line, message } = error as ConfigurationError;
        log(formatProblem('Error', process.pid, path, { line: line ?? 0, text: message }));
        log('The configuration is not taken over; the one before stays in force');
        return;
      }
      maintenance = maintenanceOf(configuration);
      options.moveLog(configuration);
      await director.reload(configuration);
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

  work = director.start().then((applied) => options.started(applied));
  const stopWatching = watchFile(options, () => configuration, reload);
  const signal = await stopSignal;
  // A second one kills at once: the listeners are gone.
  stopWatching();
  process.removeListener('SIGHUP', onHangUp);
  await Promise.all([director.stop(), reporter?.stop()]);
  log(`Linux Director Daemon terminated on signal: ${signal.slice('SIG'.length)}`);
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

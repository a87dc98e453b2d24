/**
 * What a daemon tells the service manager that started it: sd_notify(3). Without one (no NOTIFY_SOCKET) nothing is
 * told, and a daemon need not know the difference.
 */

/** Delivers one message: lines of `NAME=value`. May throw or reject; a daemon goes on without. */
export type Notify = (socket: string, message: string) => void | Promise<void>;

export interface ServiceManager {
  ready(status: string): void;
  reloading(): void;
  stopping(): void;
  /** One line for `systemctl status`. */
  status(text: string): void;
  /**
   * From now on says that all is well, twice in each period of the watchdog, as long as `isWell` answers true. One
   * that does not answer is waited for, so a stuck part lets the watchdog bark.
   */
  guard(isWell: () => boolean | Promise<boolean>): void;
}

/** The variables of `environment` are used up, so that children do not speak in our name. */
export function takeServiceManager(
  environment: NodeJS.ProcessEnv,
  notify: Notify,
  complain: (text: string) => void,
): ServiceManager {
  const socket = take(environment, 'NOTIFY_SOCKET');
  const watchdogMicroseconds = Number(take(environment, 'WATCHDOG_USEC') ?? 0);
  const watchdogPid = take(environment, 'WATCHDOG_PID');
  const watched = watchdogMicroseconds > 0 && (watchdogPid === null || watchdogPid === String(process.pid));
  let complained = false;
  const deliver = async (to: string, lines: readonly string[]): Promise<void> => {
    try {
      await notify(to, lines.join('\n'));
    } catch (error) {
      if (!complained) complain(`the service manager cannot be told (${lines[0]}): ${(error as Error).message}`);
      complained = true;
    }
  };
  // In this order, however long one takes: the last word about a state is the one that counts.
  let last: Promise<void> = Promise.resolve();
  const tell = (...lines: string[]): Promise<void> => {
    if (socket !== null) last = last.then(() => deliver(socket, lines));
    return last;
  };
  return {
    ready: (status) => void tell('READY=1', `STATUS=${oneLine(status)}`),
    // A reload ends with `ready`. The time is that of CLOCK_MONOTONIC, which `Type=notify-reload` compares.
    reloading: () => void tell('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1_000n}`, 'STATUS=reloading'),
    stopping: () => void tell('STOPPING=1', 'STATUS=stopping'),
    status: (text) => void tell(`STATUS=${oneLine(text)}`),
    guard(isWell) {
      if (socket === null || !watched) return;
      const look = async (): Promise<void> => {
        if (await isWell()) await tell('WATCHDOG=1');
        setTimeout(look, watchdogMicroseconds / 2_000).unref();
      };
      void look();
    },
  };
}

function take(environment: NodeJS.ProcessEnv, name: string): string | null {
  const value = environment[name];
  delete environment[name];
  return value || null;
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim();
}

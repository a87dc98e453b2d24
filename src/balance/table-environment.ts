/** The world round a service table, as far as its schedulers and checks ask for it. */
import type { SchedulerEnvironment } from './scheduler.ts';
import type { SharedLoad } from './shared-load.ts';

/** Settings that may change while the table is used, with the kernel's defaults. */
export class TableEnvironment implements SchedulerEnvironment {
  readonly random: () => number;
  readonly peekRandom?: () => () => number;
  nowTicks: number;
  lblcExpirationSeconds = 86_400;
  lblcrExpirationSeconds = 86_400;
  /** net.ipv4.ip_unprivileged_port_start: where the data ports of FTP services begin. */
  unprivilegedPortStart = 1024;
  /** While one runs, destinations of another family than their service are refused. */
  syncDaemonRunning = false;

  /** Counts a server's connections together with other tables, by its name; `null`: there are none. */
  sharedLoadOf: ((server: string) => SharedLoad | null) | null = null;

  constructor(random: () => number, nowTicks: number, peekRandom?: () => () => number) {
    this.random = random;
    if (peekRandom !== undefined) this.peekRandom = peekRandom;
    this.nowTicks = nowTicks;
  }
}

/** Timeouts and tunables, with the kernel's names and defaults (net.ipv4.vs.*). */

/** `ipvsadm --set`: seconds. */
export interface Timeouts {
  readonly tcpSeconds: number;
  readonly tcpFinSeconds: number;
  readonly udpSeconds: number;
}

export const DEFAULT_TIMEOUTS: Timeouts = { tcpSeconds: 900, tcpFinSeconds: 120, udpSeconds: 300 };

/** Kernel ticks a second (HZ) of the recorded kernel; persistence timeouts in /proc are in ticks. */
export const TICKS_PER_SECOND = 250;

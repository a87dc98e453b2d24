/** Wakes a thread that sleeps in poll(2) over an eventfd. Works in every thread and needs no compiled package. */
import { writeSync } from 'node:fs';

const ONE = new Uint8Array(new BigUint64Array([1n]).buffer);

/** Adds one to the eventfd; a counter that is already set stays set. Throws when the descriptor is closed. */
export function wakeEventFd(fd: number): void {
  try {
    writeSync(fd, ONE);
  } catch (error) {
    // Full to the brim: the sleeper has been woken long ago.
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
  }
}

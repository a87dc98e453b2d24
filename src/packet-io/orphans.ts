/**
 * A worker thread that was ended from outside closes nothing. Its XDP programs would go on taking frames for sockets
 * that nobody reads, so its successor in the same process takes them off first. Those of a fast path, which several
 * workers have at once: `fast-path/owner.ts`. Source: proc(5), "fdinfo".
 */
import { readdirSync, readFileSync } from 'node:fs';
import type { Libc } from '../native/libc.ts';

/** Takes off every XDP program that this process holds on an interface. Returns how many there were. */
export function takeOffOrphans(libc: Libc): number {
  let closed = 0;
  for (const fd of readdirSync('/proc/self/fdinfo')) {
    if (!isXdpLink(fd)) continue;
    libc.close(Number(fd));
    closed++;
  }
  return closed;
}

function isXdpLink(fd: string): boolean {
  try {
    return /^link_type:\s*xdp$/m.test(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'));
  } catch {
    // The descriptor that was open for reading the folder.
    return false;
  }
}
